//go:build linux

package agent

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// A daemon answers what is asked of dockerd.
type daemon struct {
	events chan string // sent to whoever follows them

	mu   sync.Mutex // guards list
	list string
}

// change has another list from now on, and tells of it.
func (d *daemon) change(list string) {
	d.mu.Lock()
	d.list = list
	d.mu.Unlock()
	d.events <- `{"Type":"container","Action":"start"}` + "\n"
}

func (d *daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case dockerAPI + "/containers/json":
		d.mu.Lock()
		defer d.mu.Unlock()
		io.WriteString(w, d.list)
	case dockerAPI + "/networks":
		io.WriteString(w, d.networks())
	case dockerAPI + "/events":
		http.NewResponseController(w).Flush()
		for {
			select {
			case e := <-d.events:
				io.WriteString(w, e)
				http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	default:
		http.NotFound(w, r)
	}
}

// next is the next note that is like what is wanted; others come before.
func next[T any](t *testing.T, h *host, notes <-chan T, want T) {
	t.Helper()
	var got T
	for {
		select {
		case got = <-notes:
			if reflect.DeepEqual(got, want) {
				return
			}
		case <-h.ctx.Done():
			t.Fatalf("the last note was %+v, want %+v", got, want)
		}
	}
}

func TestContainersAreTold(t *testing.T) {
	ports, running := make(chan guestapi.PortsNote, 64), make(chan int, 64)
	mux := ipc.NewMux()
	ipc.OnNote(mux, guestapi.Ports, func(_ context.Context, n *guestapi.PortsNote) { ports <- *n })
	ipc.OnNote(mux, guestapi.Report, func(_ context.Context, n *guestapi.ReportNote) { running <- n.Containers })
	h := serve(t, mux)
	l, err := net.Listen("unix", filepath.Join(h.dir, "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{events: make(chan string), list: `[{"Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},` +
		`{"IP":"::","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},{"PrivatePort":81,"Type":"tcp"},{"PublicPort":9,"Type":"sctp"}]},{"Ports":null,"Names":["/web","/other/db"],` +
		`"NetworkSettings":{"Networks":{"shop_default":{"IPAddress":"172.18.0.2","GlobalIPv6Address":""},"bridge":{"IPAddress":"172.17.0.3"}}},` +
		`"Labels":{"com.docker.compose.service":"front","com.docker.compose.project":"shop"}},{"Names":["/alone"]}]`}
	server := &http.Server{Handler: d}
	go server.Serve(l)
	defer server.Close()
	h.define(t, dockerd, telling(t, "0s"))
	must(t, h, guestapi.Watch, &guestapi.WatchReq{Load: 1000})
	next(t, h, ports, guestapi.PortsNote{})
	next(t, h, running, 0)
	must(t, h, guestapi.StartService, &guestapi.StartServiceReq{Name: dockerd})
	subnets := []string{"172.17.0.0/16"}
	both := []string{"172.17.0.3", "172.18.0.2"}
	next(t, h, ports, guestapi.PortsNote{
		Ports: []guestapi.Published{{Protocol: "tcp", Port: 8080}},
		Names: []guestapi.Named{{Name: "front.shop", Addresses: both}, {Name: "web", Addresses: both}}, Subnets: subnets,
	})
	next(t, h, running, 3)
	d.change(`[{"Ports":[{"PublicPort":53,"Type":"udp"}]}]`)
	next(t, h, ports, guestapi.PortsNote{Ports: []guestapi.Published{{Protocol: "udp", Port: 53}}, Subnets: subnets})
	must(t, h, guestapi.StopService, &guestapi.StopServiceReq{Name: dockerd})
	next(t, h, ports, guestapi.PortsNote{})
	next(t, h, running, 0)
}
