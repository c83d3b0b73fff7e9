package agent_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// dockersWork is what takes long, for make soak: d is in front of u's machine, which has the image busybox.
func dockersWork(t *testing.T, u *user, d *docker, many int) {
	t.Run("build", func(t *testing.T) {
		dir := t.TempDir()
		for name, text := range map[string]string{"Dockerfile": "FROM busybox\nCOPY word /word\nRUN busybox sed -i s/a/b/ /word\nCMD [\"cat\", \"/word\"]\n", "word": "a\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		d.run("build", "-q", "-t", "built", dir)
		if out := d.run("run", "--rm", "built"); out != "b" {
			t.Errorf("what was built says %q", out)
		}
	})
	t.Run("a volume", func(t *testing.T) {
		d.run("run", "--rm", "-v", "vol:/vol", "busybox", "sh", "-c", "echo kept >/vol/word")
		if out := d.run("run", "--rm", "-v", "vol:/vol", "busybox", "cat", "/vol/word"); out != "kept" {
			t.Errorf("the volume has %q", out)
		}
	})
	t.Run("a network of containers, by name", func(t *testing.T) {
		d.run("network", "create", "between")
		d.run("run", "-d", "--name", "one", "--network", "between", "busybox", "sh", "-c", "echo page >/index.html; exec httpd -f -p 80 -h /")
		if out := d.run("run", "--rm", "--network", "between", "busybox", "busybox", "wget", "-q", "-O", "-", "http://one/index.html"); out != "page" {
			t.Errorf("the other says %q", out)
		}
		d.run("rm", "-f", "one")
		d.run("network", "rm", "between")
	})
	t.Run("one after another", func(t *testing.T) {
		for range many {
			if out := d.run("run", "--rm", "busybox", "echo", "one"); out != "one" {
				t.Fatalf("it says %q", out)
			}
		}
		if out := d.run("ps", "-aq"); out != "" {
			t.Errorf("left are %q", out)
		}
	})
	t.Run("the VM is killed", func(t *testing.T) {
		if err := syscall.Kill(u.inspect().VMPID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if out := d.run("run", "--rm", "-v", "vol:/vol", "busybox", "cat", "/vol/word"); out != "kept" {
			t.Errorf("after that the volume has %q", out)
		}
	})
}
