package launchd

import (
	"reflect"
	"testing"
)

func TestUnits(t *testing.T) {
	service := serviceUnit("com.example.agent", whole)
	golden(t, "agent.service", []byte(service))
	socket := socketUnit("com.example.agent", whole, whole.Sockets[0])
	golden(t, "agent_api.socket", []byte(socket))

	sockets, logs := made(service + socket)
	if !reflect.DeepEqual(sockets, []string{whole.Sockets[0].Path}) || !reflect.DeepEqual(logs, []string{whole.Log}) {
		t.Errorf("read back: %q %q", sockets, logs)
	}
}
