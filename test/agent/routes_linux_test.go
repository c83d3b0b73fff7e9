package agent_test

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/test/kit"
	"github.com/arcboxlabs/arcbox-go/test/kit/netns"
)

// A place is a network namespace in which programs run, as the root of it.
type place struct {
	t   *testing.T
	pid string
}

// newPlace makes one that ends with the test.
func newPlace(t *testing.T) *place {
	t.Helper()
	if f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err != nil {
		t.Skipf("cannot make a tap: %v", err)
	} else {
		f.Close()
	}
	cmd := exec.Command("sh", "-c", "ip link set lo up && echo up && exec cat")
	cmd.SysProcAttr = netns.Inside()
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("cannot make a network namespace: %v", err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		t.Fatalf("the namespace says %q, %v", line, err)
	}
	return &place{t, itoa(cmd.Process.Pid)}
}

// try runs a program there.
func (p *place) try(env []string, program string, args ...string) result {
	p.t.Helper()
	return command(p.t, "", env, "nsenter", append([]string{"--preserve-credentials", "--user", "--net", "--target", p.pid, "--", program}, args...)...)
}

// run is try for what must succeed.
func (p *place) run(program string, args ...string) string {
	p.t.Helper()
	return p.try(nil, program, args...).must(p.t, program, args)
}

// routes are those of the place.
func (p *place) routes() string { return p.run("ip", "route") }

// wire is the interface that leads to Docker's own network.
func (p *place) wire() string {
	p.t.Helper()
	_, after, _ := strings.Cut(p.routes(), "172.17.0.0/16 dev ")
	name, _, _ := strings.Cut(after, " ")
	return name
}

// get fetches what a container has, from there.
func (p *place) get(address, path string) result {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	return p.try([]string{fetchVar + "=http://" + address + path}, self)
}

// fetches gets the page of a container from there, at its own address.
func (p *place) fetches(address string) {
	p.t.Helper()
	var last result
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if last = p.get(address, "/index.html"); last.out == "page\n" {
			return
		}
	}
	p.t.Fatalf("%s: %q %q; routes:\n%s", address, last.out, last.err, p.routes())
}

// The host reaches a container that publishes nothing, at its own address, and leaves nothing behind.
func TestRoutesToContainers(t *testing.T) {
	here := newPlace(t)
	u := newUser(t)
	u.set("[machine]\ncpus = 1\nmemory = \"256MiB\"\npreallocate = 0\nroutes = \"on\"\n")
	startAgent := func() {
		t.Helper()
		args := []string{"agent", "start"}
		here.try([]string{"ARCBOX_HOME=" + u.home.Root()}, kit.Program("arcbox"), args...).must(t, "arcbox", args)
	}
	startAgent()
	u.run("start")
	d := newDocker(t, u)
	d.run("import", "-c", "CMD [\"sh\"]", busyboxImage(t, u), "busybox")
	d.run("run", "-d", "--name", "web", "busybox", "sh", "-c", "echo page >/index.html; exec httpd -f -p 80 -h /")
	web := d.run("inspect", "--format", "{{.NetworkSettings.IPAddress}}", "web")
	here.fetches(web)
	if out := d.run("port", "web"); out != "" {
		t.Fatalf("it publishes %s", out)
	}
	link := here.run("ip", "-brief", "link")
	t.Run("a large file", func(t *testing.T) {
		d.run("exec", "web", "busybox", "dd", "if=/dev/zero", "of=/large", "bs=1M", "count=4")
		if out := here.get(web, "/large"); len(out.out) != 4<<20 {
			t.Errorf("%d bytes came: %s", len(out.out), out.err)
		}
	})
	if out := u.run("doctor"); !strings.Contains(out, "may reach containers") {
		t.Errorf("the doctor says\n%s", out)
	}
	t.Run("the agent is killed", func(t *testing.T) {
		if err := syscall.Kill(u.agentPID(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		here.fetches(web)
		startAgent()
		here.fetches(web)
		if now := here.run("ip", "-brief", "link"); now != link {
			t.Errorf("the interfaces are\n%s\nand were\n%s", now, link)
		}
	})
	t.Run("somebody removes a route", func(t *testing.T) {
		here.run("ip", "route", "del", "172.17.0.0/16")
		here.fetches(web)
	})
	t.Run("somebody ends the interface", func(t *testing.T) {
		name := here.wire()
		here.run("ip", "link", "set", name, "down")
		here.fetches(web)
		here.run("ip", "link", "del", name)
		here.fetches(web)
	})
	t.Run("a network comes and goes", func(t *testing.T) {
		here.run("ip", "route", "add", "blackhole", "172.30.0.0/16")
		d.run("network", "create", "--subnet", "172.29.0.0/16", "between")
		eventually(t, "its route", func() bool { return strings.Contains(here.routes(), "172.29.0.0/16 dev arcbox") })
		d.run("network", "create", "--subnet", "172.30.1.0/24", "taken")
		eventually(t, "word of a conflict", func() bool {
			return strings.Contains(u.run("logs", "--component", "agent"), "container-route-failed")
		})
		d.run("network", "rm", "between", "taken")
		eventually(t, "its route's end", func() bool { return !strings.Contains(here.routes(), "172.29.") })
		if out := here.routes(); !strings.Contains(out, "blackhole 172.30.0.0/16") || strings.Contains(out, "172.30.1.0") {
			t.Errorf("the host's own route has become\n%s", out)
		}
	})
	t.Run("the network dies", func(t *testing.T) {
		if err := syscall.Kill(u.inspect().NetPID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		here.fetches(web)
	})
	t.Run("off and on", func(t *testing.T) {
		u.run("config", "set", "machine.routes", "off")
		eventually(t, "the end of it all", func() bool { return !strings.Contains(here.run("ip", "link")+here.routes(), "arcbox") })
		if out := u.run("exec", "--", "iptables", "-S"); strings.Contains(out, "ARCBOX") {
			t.Errorf("the guest still lets the host in:\n%s", out)
		}
		u.run("config", "set", "machine.routes", "on")
		here.fetches(web)
	})
	u.run("stop")
	if out := here.run("ip", "link") + here.routes(); strings.Contains(out, "arcbox") {
		t.Errorf("after stop there is\n%s", out)
	}
	log := u.run("logs", "--component", "agent")
	for _, want := range []string{"container-route-installed", "container-route-removed", "172.17.0.0/16"} {
		if !strings.Contains(log, want) {
			t.Errorf("the agent's log has no %s", want)
		}
	}
}
