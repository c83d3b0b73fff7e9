package agent_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/boot/debian"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// porterImage is a file system with the program that gives and takes.
func porterImage(t *testing.T) string {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "porter.tar")
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := layer(f, kit.GuestProgram(t, "arm64", "./porter"), 0); err != nil {
		t.Fatal(err)
	}
	return archive
}

// debianImage is a file system with Debian's shell and what that needs, kept in the asset cache.
func debianImage(t *testing.T) string {
	t.Helper()
	archive := filepath.Join(kit.Suites(), "rootfs.tar")
	if exists(archive) {
		return archive
	}
	dir := t.TempDir()
	root, made := filepath.Join(dir, "root"), filepath.Join(kit.Suites(), "rootfs.tar.new")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	err := os.MkdirAll(kit.Suites(), 0o755)
	if err == nil {
		err = debian.Unpack(ctx, filepath.Dir(kit.Suites()), root, func(line string) { t.Log(line) }, "base-files", "dash")
	}
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("no packages of Debian: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tar", "-C", root, "--owner=0", "--group=0", "--exclude=./usr/share/*", "--exclude=./usr/lib/aarch64-linux-gnu/gconv", "-cf", made, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Rename(made, archive); err != nil {
		t.Fatal(err)
	}
	return archive
}

// carries is what goes through ports that a container publishes.
func (d *docker) carries(u *user) {
	port, udp := freePort(d.t), freePort(d.t)
	d.run("run", "-d", "--name", "porter", "-p", port+":80", "-p", udp+":80/udp", "porter")
	if out := d.run("port", "porter", "80/udp"); !strings.Contains(out, ":"+udp) {
		d.t.Errorf("port says %q", out)
	}
	d.t.Run("datagrams", func(t *testing.T) { echoes(t, udp) })
	size := kit.Rounds(16, 1024) << 20
	calm := func() {}
	d.t.Run("out of it", func(t *testing.T) { gives(t, port, size, calm) })
	d.t.Run("into it", func(t *testing.T) { takes(t, port, size, calm) })
	killed := func() {
		if err := syscall.Kill(u.agentPID(), syscall.SIGKILL); err != nil {
			d.t.Error(err)
		}
		u.run("agent", "start")
	}
	d.t.Run("out of it while the agent is killed", func(t *testing.T) { gives(t, port, size, killed) })
	d.t.Run("into it while the agent is killed", func(t *testing.T) { takes(t, port, size, killed) })
	d.run("rm", "-f", "porter")
}

// echoes sends datagrams until they come back.
func echoes(t *testing.T, port string) {
	c, err := net.Dial("udp4", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, size := range []int{1, 1400, 6000} {
		want, got := bytes.Repeat([]byte{byte(size)}, size), make([]byte, 64<<10)
		eventually(t, fmt.Sprintf("an echo of %d bytes", size), func() bool {
			c.Write(want) // before anybody listens this fails
			c.SetReadDeadline(time.Now().Add(time.Second))
			n, err := c.Read(got)
			return err == nil && bytes.Equal(got[:n], want)
		})
	}
}

// asksPorter is a connection to the program in the container that has been asked for something.
func asksPorter(t *testing.T, port, what string, size int) net.Conn {
	t.Helper()
	ask := func(what string, size int) (net.Conn, error) {
		c, err := net.Dial("tcp4", "127.0.0.1:"+port)
		if err == nil {
			_, err = fmt.Fprintf(c, "%s %d\n", what, size)
		}
		return c, err
	}
	eventually(t, "the program in the container", func() bool {
		c, err := ask("give", 1)
		if err != nil {
			return false
		}
		defer c.Close()
		b, err := io.ReadAll(c)
		return err == nil && len(b) == 1
	})
	c, err := ask(what, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// digest is that of so many bytes of freight, as programs write it.
func digest(t *testing.T, r io.Reader) string {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Error(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// gives has the container send bytes; something happens when half of them are here.
func gives(t *testing.T, port string, size int, middle func()) {
	c := asksPorter(t, port, "give", size)
	h := sha256.New()
	n, err := io.CopyN(h, c, int64(size/2))
	middle()
	if err == nil {
		var rest int64
		rest, err = io.Copy(h, c)
		n += rest
	}
	if got, want := fmt.Sprintf("%x", h.Sum(nil)), digest(t, freight(size)); got != want || n != int64(size) {
		t.Errorf("%d bytes of %d came, with the digest %s, want %s: %v", n, size, got, want, err)
	}
}

// takes sends bytes to the container; something happens when half of them are on their way.
func takes(t *testing.T, port string, size int, middle func()) {
	c := asksPorter(t, port, "take", size)
	all := freight(size)
	_, err := io.CopyN(c, all, int64(size/2))
	middle()
	if err == nil {
		_, err = io.Copy(c, all)
	}
	if err != nil {
		t.Fatal(err)
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if want := digest(t, freight(size)); err != nil || strings.TrimSpace(answer) != want {
		t.Errorf("the container has taken %q, want %s: %v", answer, want, err)
	}
}

// layer writes a file system with the program, and so many bytes of freight in a file unless there are none.
func layer(w io.Writer, porter string, size int) error {
	program, err := os.ReadFile(porter)
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	files := []struct {
		name string
		mode int64
		size int
		from io.Reader
	}{{"porter", 0o755, len(program), bytes.NewReader(program)}, {"freight", 0o644, size, freight(size)}}
	for _, f := range files {
		if err := t.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(f.size), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := io.Copy(t, f.from); err != nil {
			return err
		}
	}
	return t.Close()
}

// counter counts what is written.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// archive writes an image with one layer, as docker save does, whose program is porter for a processor and says what size bytes of
// freight are. No file of this host is that large.
func archive(w io.Writer, name, processor, porter string, size int) error {
	var n counter
	h := sha256.New()
	if err := layer(io.MultiWriter(h, &n), porter, size); err != nil {
		return err
	}
	type object map[string]any
	config, err := json.Marshal(object{
		"architecture": processor, "os": "linux", "config": object{"Cmd": []string{"/porter", "digest", "/freight"}},
		"rootfs": object{"type": "layers", "diff_ids": []string{fmt.Sprintf("sha256:%x", h.Sum(nil))}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]object{{"Config": "config.json", "RepoTags": []string{name + ":latest"}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	for _, f := range []struct {
		name string
		text []byte
	}{{"manifest.json", manifest}, {"config.json", config}} {
		if err := t.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.text))}); err != nil {
			return err
		}
		if _, err := t.Write(f.text); err != nil {
			return err
		}
	}
	if err := t.WriteHeader(&tar.Header{Name: "layer.tar", Mode: 0o644, Size: int64(n)}); err != nil {
		return err
	}
	if err := layer(t, porter, size); err != nil {
		return err
	}
	return t.Close()
}

// load gives dockerd an image through a pipe; see archive.
func (d *docker) load(name, processor string, size int) {
	d.t.Helper()
	porter := kit.GuestProgram(d.t, processor, "./porter")
	cmd := exec.Command("docker", "load")
	cmd.Env = append(os.Environ(), d.env...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	if err := archive(in, name, processor, porter, size); err != nil {
		d.t.Error(err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		d.t.Fatalf("docker load: %v: %s", err, said.String())
	}
}

// loads has a container look at a large image that was loaded.
func (d *docker) loads() {
	size := kit.Rounds(16, 1024) << 20
	d.load("freight", "arm64", size)
	if out, want := d.run("run", "--rm", "freight"), digest(d.t, freight(size)); out != want {
		d.t.Errorf("in the container the file has the digest %s, want %s", out, want)
	}
	d.run("rmi", "freight")
}

// emulates runs an image for another processor.
func (d *docker) emulates() {
	const size = 1 << 20
	d.load("foreign", "amd64", size)
	if out := d.run("image", "inspect", "--format", "{{.Architecture}}", "foreign"); out != "amd64" {
		d.t.Errorf("the image is for %s", out)
	}
	if out, want := d.run("run", "--rm", "--platform", "linux/amd64", "foreign"), digest(d.t, freight(size)); out != want {
		d.t.Errorf("in the container the file has the digest %s, want %s", out, want)
	}
	d.run("rmi", "foreign")
}
