//go:build linux && !macshim

package launchd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestListenFDs(t *testing.T) {
	tests := []struct {
		name            string
		pid, fds, names string
		want            map[string][]uintptr
		managed         bool
	}{
		{"none", "", "", "", nil, false},
		{"another process's", "8", "1", "api", nil, false},
		{"one", "7", "1", "api", map[string][]uintptr{"api": {3}}, true},
		{"two of a name and another", "7", "3", "api:metrics:api", map[string][]uintptr{"api": {3, 5}, "metrics": {4}}, true},
		{"a name is missing", "7", "2", "api", nil, true},
		{"no names", "7", "1", "", map[string][]uintptr{"": {3}}, true},
		{"zero", "7", "0", "", nil, true},
		{"negative", "7", "-1", "", nil, true},
		{"no number", "7", "x", "api", nil, true},
		{"too many", "7", "257", strings.Repeat(":", 256), nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			env := map[string]string{"LISTEN_PID": tt.pid, "LISTEN_FDS": tt.fds, "LISTEN_FDNAMES": tt.names}
			got, err := listenFDs(func(k string) string { return env[k] }, 7)
			if !reflect.DeepEqual(got, tt.want) || (err == nil) != (tt.want != nil) || errors.Is(err, ErrNotManaged) != !tt.managed {
				t.Errorf("%q: %v, %v", env, got, err)
			}
		})
	}
}

func FuzzListenFDs(f *testing.F) {
	f.Add("1", "api")
	f.Add("3", "a:b:a")
	f.Fuzz(func(t *testing.T, n, names string) {
		env := map[string]string{"LISTEN_PID": "1", "LISTEN_FDS": n, "LISTEN_FDNAMES": names}
		got, err := listenFDs(func(k string) string { return env[k] }, 1)
		total := 0
		for _, fds := range got {
			total += len(fds)
		}
		if err == nil && (fmt.Sprint(total) != strings.TrimLeft(n, "+0") || total > maxFDs) {
			t.Errorf("%q %q: %v", n, names, got)
		}
	})
}

func TestOutsideOfAManagerNothingIsTaken(t *testing.T) {
	if _, err := Listeners("api"); !errors.Is(err, ErrNotManaged) {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNoSocketIsRefusedAndClosed(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	must(t, "create", err)
	if ls, err := listeners([]*os.File{f}); err == nil {
		t.Errorf("%v of a regular file", ls)
	}
	if err := f.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the descriptor is still open: %v", err)
	}
}

// systemd's own systemd-socket-activate opens the socket and starts the agent at the
// first connection.
func TestSocketActivation(t *testing.T) {
	tool, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Skip("systemd-socket-activate is not here (package systemd)")
	}
	self, err := os.Executable()
	must(t, "executable", err)
	path := filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool, "-l", path, "--fdname=api", "-E", asVar+"=agent", "-E", "AGENT_TEST=here", self)
	errs, err := cmd.StderrPipe()
	must(t, "pipe", err)
	must(t, "start", cmd.Start())
	defer cmd.Wait()
	defer cancel()
	if line, err := bufio.NewReader(errs).ReadString('\n'); err != nil || !strings.Contains(line, "Listening on") {
		t.Fatalf("systemd-socket-activate says %q, %v", line, err)
	}
	c, err := net.Dial("unix", path)
	must(t, "dial", err)
	defer c.Close()
	var pid, child int
	var word string
	if _, err := fmt.Fscanf(c, "%d %d %q\n", &pid, &child, &word); err != nil {
		t.Fatal(err)
	}
	if p, err := os.FindProcess(child); err == nil {
		p.Kill() // ours by way of the agent
	}
	if pid != cmd.Process.Pid || word != "here" {
		t.Errorf("process %d answers %q, started was %d", pid, word, cmd.Process.Pid)
	}
}
