package agent_test

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// TestSocketsOfAServiceManager starts the agent as systemd does, with sockets that clients wait on already.
func TestSocketsOfAServiceManager(t *testing.T) {
	u := newUser(t)
	u.set("[docker]\nenable = false\n")
	dir := t.TempDir()
	files := []*os.File{listenAt(t, mustSocket(t, u)), listenAt(t, filepath.Join(dir, "docker.sock"))}
	waiting, err := net.Dial("unix", filepath.Join(dir, "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	cmd := exec.Command("sh", "-c", `export LISTEN_PID=$$; exec "$0"`, kit.Program("arcboxd"))
	cmd.Env = append(os.Environ(), "ARCBOX_HOME="+u.home.Root(), "LISTEN_FDS=2", "LISTEN_FDNAMES="+agentapi.ServiceSocket+":"+agentapi.ServiceDocker)
	cmd.ExtraFiles, cmd.Stderr = files, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		for _, f := range files {
			if name := f.Name(); !exists(name) {
				t.Errorf("the manager's socket %s is gone", name)
			}
		}
	}()
	if pid := u.agentPID(); pid != cmd.Process.Pid {
		t.Errorf("the agent that answers is process %d, not %d", pid, cmd.Process.Pid)
	}
	if _, err := waiting.Write([]byte("GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(waiting), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var why struct{ Message string }
	body, _ := bufio.NewReader(resp.Body).ReadString('\n')
	u.parse(body, &why)
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(why.Message, "docker.enable is false") {
		t.Errorf("who waits on Docker's socket is told %d, %q", resp.StatusCode, why.Message)
	}
}

// mustSocket is where u's control socket belongs.
func mustSocket(t *testing.T, u *user) string {
	t.Helper()
	path, err := u.home.Socket(agentapi.Socket)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// listenAt is a socket as a service manager hands it over, under its path.
func listenAt(t *testing.T, path string) *os.File {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := syscall.Dup(int(f.Fd()))
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	named := os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { named.Close() })
	return named
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
