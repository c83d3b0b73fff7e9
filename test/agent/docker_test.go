package agent_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// A docker is Docker's own command line in front of our socket.
type docker struct {
	t   *testing.T
	env []string
}

func newDocker(t *testing.T, u *user) *docker {
	t.Helper()
	path, err := u.home.Socket(agentapi.DockerSocket)
	if err != nil {
		t.Fatal(err)
	}
	return &docker{t, []string{"DOCKER_HOST=unix://" + path, "DOCKER_CONFIG=" + t.TempDir(), "DOCKER_BUILDKIT=0"}}
}

// of is the same command line, for a subtest.
func (d *docker) of(t *testing.T) *docker { return &docker{t, d.env} }

// try runs docker, which scripts/deps installs, with text as its standard input.
func (d *docker) try(stdin string, args ...string) result {
	d.t.Helper()
	return command(d.t, stdin, d.env, "docker", args...)
}

// run is try for what must succeed; it returns what it printed.
func (d *docker) run(args ...string) string {
	d.t.Helper()
	return strings.TrimSpace(d.try("", args...).must(d.t, "docker", args))
}

// containers is Docker's command line with the machine as its daemon.
func containers(t *testing.T, u *user) {
	d := newDocker(t, u)
	if out := d.run("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"); out != "linux/arm64" {
		t.Errorf("the server is %q", out)
	}
	if out := u.run("logs", "--component", "dockerd"); !strings.Contains(out, "API listen on") {
		t.Errorf("dockerd's log has %q", out)
	}
	d.run("import", "-c", "CMD [\"sh\"]", busyboxImage(t, u), "busybox")
	tests := []struct {
		name   string
		stdin  string
		args   []string
		out    string
		status int
	}{
		{"output and status", "", []string{"run", "--rm", "busybox", "sh", "-c", "echo out; exit 7"}, "out\n", 7},
		{"input to its end", "some\nlines\n", []string{"run", "--rm", "-i", "busybox", "cat"}, "some\nlines\n", 0},
		{"no such image", "", []string{"run", "--rm", "--pull", "never", "nothing"}, "", 125},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if r := d.try(tt.stdin, tt.args...); r.out != tt.out || r.status != tt.status {
				t.Errorf("exit %d, %q, %q; want %d, %q", r.status, r.out, r.err, tt.status, tt.out)
			}
		})
	}
	t.Run("many connections", func(t *testing.T) { connections(t, u, kit.Rounds(300, 2000)) })
	t.Run("one that goes on", func(t *testing.T) { goesOn(t, u, d) })
}

// connections has so many clients of dockerd at once, each with a connection of its own that it uses twice.
func connections(t *testing.T, u *user, n int) {
	path, err := u.home.Socket(agentapi.DockerSocket)
	if err != nil {
		t.Fatal(err)
	}
	type client struct {
		net.Conn
		r *bufio.Reader
	}
	var all []client
	for range n {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		all = append(all, client{c, bufio.NewReader(c)})
	}
	for range 2 {
		for _, c := range all {
			io.WriteString(c, "GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n")
		}
		for i, c := range all {
			resp, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatalf("client %d of %d: %v", i, n, err)
			}
			text, err := io.ReadAll(resp.Body)
			if string(text) != "OK" || err != nil {
				t.Fatalf("client %d of %d has %s, %q, %v", i, n, resp.Status, text, err)
			}
		}
	}
}

// exposed has a published port be the host's on all its addresses, and the loopback's alone again.
func exposed(t *testing.T, u *user, port string) {
	addr := otherAddress(t)
	connects := func() bool {
		c, err := net.DialTimeout("tcp4", net.JoinHostPort(addr, port), time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	if connects() {
		t.Error("what is published is everybody's")
	}
	u.run("config", "set", "machine.publish", "all")
	eventually(t, "the port to be everybody's", connects)
	fetches(t, port)
	u.run("config", "unset", "machine.publish")
	eventually(t, "the port to be this host's again", func() bool { return !connects() })
	fetches(t, port)
}

// otherAddress is an IPv4 address of this host that is not its loopback's usual one.
func otherAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	return "127.0.0.2" // a host without a network: what listens at 127.0.0.1 alone does not hear it either
}

// goesOn is a container that outlives the agent of the host and the guest's, and can be reached through what it publishes.
func goesOn(t *testing.T, u *user, d *docker) {
	wide, narrow, taken := freePort(t), freePort(t), freePort(t)
	l, err := net.Listen("tcp4", "127.0.0.1:"+taken)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d.run("run", "-d", "--name", "on", "-p", wide+":80", "-p", "127.0.0.1:"+narrow+":80", "-p", taken+":80",
		"busybox", "sh", "-c", "echo page >/index.html; exec httpd -f -p 80 -h /")
	for _, port := range []string{wide, narrow} {
		fetches(t, port)
	}
	if out := u.run("logs", "--component", "agent"); !strings.Contains(out, "127.0.0.1:"+taken+"/tcp") || !strings.Contains(out, "port-conflict") {
		t.Errorf("the agent says nothing of a port that is taken: %s", out)
	}
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil { // a host with IPv6, where some take localhost for that alone
		l.Close()
		fetchesAt(t, "::1", wide)
	}
	exposed(t, u, wide)
	address := d.run("inspect", "--format", "{{.NetworkSettings.IPAddress}}", "on")
	if out := d.run("run", "--rm", "busybox", "nslookup", "on.arcbox.local"); !strings.Contains(out, "Address: "+address) {
		t.Errorf("in another container its name is %q, want %s", out, address)
	}
	if out := u.run("exec", "--", "busybox", "nslookup", "on.arcbox.local"); !strings.Contains(out, "Address: "+address) {
		t.Errorf("in the guest its name is %q, want %s", out, address)
	}
	for _, kill := range []func(){
		func() {
			if err := syscall.Kill(u.agentPID(), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			u.run("agent", "start")
		},
		func() { // which ends with the agent that runs it
			u.try("exec", "--", "sh", "-c", "kill -9 $PPID")
		},
	} {
		kill()
		if out := d.run("exec", "on", "echo", "here"); out != "here" {
			t.Errorf("it says %q", out)
		}
		fetches(t, wide)
	}
	if out := u.run("logs", "--component", "dockerd"); !strings.Contains(out, "API listen on") {
		t.Errorf("after the death of the guest's agent dockerd's log has %q", out)
	}
	if out := d.run("ps", "--format", "{{.Names}}"); out != "on" {
		t.Errorf("running are %q", out)
	}
	d.run("rm", "-f", "on")
	eventually(t, "its name to be nobody's", func() bool { return u.try("exec", "--", "busybox", "nslookup", "on.arcbox.local").status != 0 })
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp4", "127.0.0.1:"+wide)
		if err != nil {
			return // nobody listens there any more
		}
		c.Close()
		if time.Now().After(end) {
			t.Fatal("the port of a container that is gone is still published")
		}
	}
}

// freePort is a TCP port of the host that is free now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return itoa(l.Addr().(*net.TCPAddr).Port)
}

// fetches gets the container's page from a port of the host, once it is there.
func fetches(t *testing.T, port string) {
	t.Helper()
	fetchesAt(t, "127.0.0.1", port)
}

func fetchesAt(t *testing.T, host, port string) {
	t.Helper()
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var last error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		resp, err := client.Get("http://" + net.JoinHostPort(host, port) + "/index.html")
		if err != nil {
			last = err
			continue
		}
		page, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil && string(page) == "page\n" {
			return
		}
		last = fmt.Errorf("%s: %q, %v", resp.Status, page, err)
	}
	t.Fatalf("port %s of the host: %v", port, last)
}

// busyboxImage is a file system with the guest's busybox and nothing else.
func busyboxImage(t *testing.T, u *user) string {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	u.run("cp", "default:/usr/bin/busybox", filepath.Join(bin, "busybox"))
	for _, name := range []string{"sh", "cat", "echo", "sleep", "httpd", "nc", "nslookup", "wget", "stty", "sed"} {
		if err := os.Symlink("busybox", filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	archive := filepath.Join(t.TempDir(), "busybox.tar")
	if out, err := exec.Command("tar", "-C", dir, "-cf", archive, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return archive
}
