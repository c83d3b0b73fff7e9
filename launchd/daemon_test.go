package launchd

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A daemon is the Mac's and not a user's: another domain, another directory, and a socket that is one user's.
func TestADaemonIsInstalledAndRemoved(t *testing.T) {
	m := newMac(t, nil)
	dir := filepath.Join(m.home, "LaunchDaemons")
	m.launchctl = newDaemonctl(m.launchctl.path, dir, "com.example.agent")
	a := m.agent()
	a.Sockets[0].Owner = 501
	must(t, "install", m.Install(t.Context(), a))
	m.wantCalls("enable", "bootstrap")
	if s := status(t, m); s.State != Running || s.File != filepath.Join(dir, "com.example.agent.plist") {
		t.Errorf("installed: %+v", s)
	}
	data, err := os.ReadFile(filepath.Join(dir, "com.example.agent.plist"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "<key>SockPathOwner</key>\n\t\t\t\t<integer>501</integer>"; !strings.Contains(string(data), want) {
		t.Errorf("the plist has no %s:\n%s", want, data)
	}
	must(t, "uninstall", m.Uninstall(t.Context()))
	m.wantCalls("bootout")
	if files := m.files(); len(files) > 0 {
		t.Errorf("left after uninstall: %q", files)
	}
}

func TestDaemonsAreForMacs(t *testing.T) {
	if _, err := NewDaemon("../x"); err == nil {
		t.Error("a path is a label")
	}
	_, err := NewDaemon("com.example.daemon")
	if mac := runtime.GOOS == "darwin"; (err == nil) != mac {
		t.Errorf("on %s: %v", runtime.GOOS, err)
	}
}
