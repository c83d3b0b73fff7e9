package agent_test

import (
	"strings"
	"syscall"

	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// many starts and removes containers one after another, and something is killed in the midst of it, twice. What
// dockerd had is there afterwards: images, a volume, and a container with what it has written.
func (d *docker) many(u *user) {
	d.run("run", "-d", "--restart", "always", "--name", "always", "-v", "data:/data", "busybox", "sh", "-c",
		"[ -e /word ] || { echo in the volume >/data/word; echo in the layer >/word; busybox sync; }; echo up; exec sleep 100000")
	d.begin("logs", "-f", "always").hears("^up$")
	images := d.run("images", "--no-trunc", "--format", "{{.Repository}} {{.ID}}")
	n := kit.Rounds(6, 200)
	for i := range n {
		name := "many" + itoa(i)
		switch i {
		case n / 3:
			d.cut(name, func() {
				if err := syscall.Kill(u.agentPID(), syscall.SIGKILL); err != nil {
					d.t.Error(err)
				}
				u.run("agent", "start")
			})
		case 2 * n / 3:
			d.cut(name, func() {
				if err := syscall.Kill(u.inspect().VMPID, syscall.SIGKILL); err != nil {
					d.t.Error(err)
				}
			})
		}
		d.run("run", "-d", "--name", name, "busybox", "sleep", "1000")
		d.run("rm", "-f", name)
	}
	if out := d.run("ps", "-a", "--format", "{{.Names}}"); out != "always" {
		d.t.Errorf("there are the containers %q", out)
	}
	if now := d.run("images", "--no-trunc", "--format", "{{.Repository}} {{.ID}}"); now != images {
		d.t.Errorf("the images are\n%s\nand were\n%s", now, images)
	}
	eventually(d.t, "the container that always runs", func() bool {
		return strings.Contains(d.try("", "inspect", "-f", "{{.State.Status}}", "always").out, "running")
	})
	if out := d.run("exec", "always", "cat", "/data/word", "/word"); out != "in the volume\nin the layer" {
		d.t.Errorf("it has %q", out)
	}
}

// cut kills something between a container's making and its start; nobody hears how that ended.
func (d *docker) cut(name string, kill func()) {
	d.t.Helper()
	events := d.begin("events", "--since", "0", "--filter", "container="+name, "--format", "{{.Action}}")
	run := d.begin("run", "-d", "--name", name, "busybox", "sleep", "1000")
	events.hears("^create$")
	kill()
	run.ends()
	events.ends()
	d.try("", "rm", "-f", name)
}
