package agent_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/boot/debian"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// TestDockersClients has Docker's clients, which know nothing of us, do all their work on one machine. Last comes what breaks it.
func TestDockersClients(t *testing.T) {
	u := newUser(t)
	u.set("[machine]\ncpus = 1\nmemory = \"512MiB\"\npreallocate = 0\n")
	d := newDocker(t, u)
	registry := startRegistry(t)
	trustRegistry(t, u, registry)
	t.Run("images", func(t *testing.T) { d.of(t).images(u) })
	t.Run("run", func(t *testing.T) { d.of(t).runs() })
	t.Run("a terminal", func(t *testing.T) { d.of(t).terminals(u) })
	t.Run("a container that stays", func(t *testing.T) { d.of(t).stays() })
	t.Run("build", func(t *testing.T) { d.of(t).builds("docker", "0") })
	t.Run("build with BuildKit", func(t *testing.T) { d.of(t).builds(withBuildKit(t), "1") })
	t.Run("volumes", func(t *testing.T) { d.of(t).volumes() })
	t.Run("compose", func(t *testing.T) { d.of(t).composes() })
	t.Run("a registry", func(t *testing.T) { d.of(t).pushesAndPulls(registry) })
	t.Run("an independent client", func(t *testing.T) { d.of(t).python() })
	t.Run("published ports", func(t *testing.T) { d.of(t).carries(u) })
	t.Run("load", func(t *testing.T) { d.of(t).loads() })
	t.Run("an image for x86-64", func(t *testing.T) { d.of(t).emulates() })
	t.Run("prune", func(t *testing.T) { d.of(t).prunes() })
	t.Run("many containers", func(t *testing.T) { d.of(t).many(u) })
}

// images come from archives: of a file system, of one of Debian's, and of an image that was saved.
func (d *docker) images(u *user) {
	info := d.run("info", "--format", "{{.OSType}} {{.Architecture}} {{.Driver}} {{.NCPU}}")
	if info != "linux aarch64 overlay2 1" {
		d.t.Errorf("info says %q", info)
	}
	if out := d.run("version", "--format", "{{.Client.Os}} {{.Server.Os}} {{.Server.Arch}}"); out != "linux linux arm64" {
		d.t.Errorf("version says %q", out)
	}
	id := d.run("import", "-c", `CMD ["sh"]`, busyboxImage(d.t, u), "busybox")
	d.run("import", "-c", `CMD ["/porter"]`, porterImage(d.t), "porter")
	saved := filepath.Join(d.t.TempDir(), "saved.tar")
	d.run("tag", "busybox", "saved:1")
	d.run("save", "-o", saved, "saved:1")
	d.run("rmi", "saved:1")
	if out := d.run("load", "-i", saved); !strings.Contains(out, "saved:1") {
		d.t.Errorf("load says %q", out)
	}
	if out := d.run("images", "--no-trunc", "--format", "{{.ID}}", "saved"); out != id {
		d.t.Errorf("what was saved and loaded is %q, and was %s", out, id)
	}
	d.run("rmi", "saved:1")
	d.t.Run("Debian", func(t *testing.T) {
		d := d.of(t)
		d.run("import", debianImage(t), "debian")
		if out := d.run("run", "--rm", "debian", "sh", "-c", ". /etc/os-release; echo $ID $VERSION_CODENAME"); out != "debian "+debian.Suite {
			t.Errorf("Debian says %q", out)
		}
	})
}

// runs is docker run without a terminal.
func (d *docker) runs() {
	tests := []struct {
		name, stdin string
		args        []string
		out, err    string // the whole, a part
		status      int
	}{
		{"input to its end, output, errors and status", "lines\n", []string{"-i", "-e", "WORD=a b", "-w", "/tmp", "busybox", "sh", "-c", `cat; echo "$WORD"; pwd; echo err >&2; exit 7`}, "lines\na b\n/tmp\n", "err", 7},
		{"no such program", "", []string{"busybox", "frobnicate"}, "", "frobnicate", 127},
	}
	for _, tt := range tests {
		d.t.Run(tt.name, func(t *testing.T) {
			r := d.of(t).try(tt.stdin, append([]string{"run", "--rm"}, tt.args...)...)
			if r.out != tt.out || !strings.Contains(r.err, tt.err) || r.status != tt.status {
				t.Errorf("exit %d, %q, %q; want %d, %q, %q", r.status, r.out, r.err, tt.status, tt.out, tt.err)
			}
		})
	}
	d.t.Run("a signal", func(t *testing.T) {
		f := d.of(t).begin("run", "--rm", "busybox", "sh", "-c", "trap 'echo told; exit 9' TERM; echo up; while :; do sleep 0.1; done")
		f.hears("^up$")
		f.cmd.Process.Signal(syscall.SIGTERM)
		f.hears("^told$")
		if status := f.ends(); status != 9 {
			t.Errorf("it ends with %d", status)
		}
	})
	if out := d.run("ps", "-aq"); out != "" {
		d.t.Errorf("after --rm there are %q", out)
	}
}

// terminals is docker run -it in a window whose size changes.
func (d *docker) terminals(u *user) {
	w := openTerminal(d.t, u)
	defer d.try("", "rm", "-f", "tty") // should it not come to its end
	for _, v := range d.env {
		w.types("export " + v)
	}
	w.key("C-l")
	w.types("docker run --rm -it --name tty busybox")
	w.sees(`^/ # ?$`)
	eventually(d.t, "the container to hear of the terminal's size", func() bool { // of which docker tells when it has started
		w.types("stty size")
		time.Sleep(200 * time.Millisecond)
		return strings.Contains(w.screen(), "\n30 100\n")
	})
	w.tmux("resize-window", "-x", "120", "-y", "40")
	eventually(d.t, "the container to hear of the new size", func() bool {
		w.types("stty size")
		time.Sleep(200 * time.Millisecond)
		return strings.Contains(w.screen(), "\n40 120\n")
	})
	w.types("sleep 1000")
	eventually(d.t, "Ctrl-C to end the program", func() bool {
		time.Sleep(time.Second) // a Ctrl-C that comes before the program ends nothing
		w.key("C-c")
		w.types("echo still $((40+2))")
		return strings.Contains(w.screen(), "\nstill 42\n")
	})
	w.types("echo all is read $((40+3))")
	w.sees(`^all is read 43$`)
	w.key("C-p") // leaves it
	w.key("C-q")
	w.sees(`\$ ?\n*\z`)
	w.shows(w.runs("docker exec -it tty busybox tty", 0), `^/dev/pts/\d+$`)
	w.key("C-l")
	w.types("docker attach tty")
	w.types("echo again $((40+2))")
	w.sees(`^again 42$`)
	w.types("exit 5")
	w.sees(`exit 5\n\$`)
	w.types("echo it was $?")
	w.sees(`^it was 5$`)
}

// stays is what can be done with a container that goes on.
func (d *docker) stays() {
	d.run("run", "-d", "--name", "stays", "--label", "stays=1", "busybox", "sh", "-c", `i=0; while :; do echo $i; i=$((i+1)); sleep 0.2; done`)
	events := d.begin("events", "--since", "0", "--filter", "container=stays", "--format", "{{.Action}}")
	events.hears("^start$")
	d.t.Run("exec", func(t *testing.T) {
		if r := d.of(t).try("some\nlines\n", "exec", "-i", "stays", "sh", "-c", "cat; echo err >&2; exit 6"); r.out != "some\nlines\n" || r.err != "err\n" || r.status != 6 {
			t.Errorf("exit %d, %q, %q", r.status, r.out, r.err)
		}
	})
	d.t.Run("cp", func(t *testing.T) { d.of(t).copies() })
	d.t.Run("stats", func(t *testing.T) {
		out := d.of(t).run("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.MemUsage}}", "stays")
		if !regexp.MustCompile(`^stays [1-9]\d* [1-9][0-9.]*[kKM]i?B / [1-9]`).MatchString(out) {
			t.Errorf("stats says %q", out)
		}
	})
	logs := d.begin("logs", "-f", "stays")
	defer logs.end()
	for i := range 10 {
		logs.hears(fmt.Sprintf("^%d$", i))
	}
	if out := d.run("inspect", "-f", "{{.State.Status}} {{.Config.Image}}", "stays"); out != "running busybox" {
		d.t.Errorf("it is %q", out)
	}
	d.run("pause", "stays")
	d.run("unpause", "stays")
	d.run("kill", "stays")
	if status := logs.ends(); status != 0 {
		d.t.Errorf("its log ends with %d", status)
	}
	if out := d.run("wait", "stays"); out != "137" {
		d.t.Errorf("wait says %q", out)
	}
	d.run("rm", "stays")
	for _, action := range []string{"pause", "unpause", "kill", "die", "destroy"} {
		events.hears("^" + action + "$")
	}
	events.end()
}

// copies is docker cp, of a directory into a container and back.
func (d *docker) copies() {
	from, to := filepath.Join(d.t.TempDir(), "dir"), d.t.TempDir()
	if err := os.Mkdir(from, 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "word"), []byte("copied\n"), 0o640); err != nil {
		d.t.Fatal(err)
	}
	d.run("cp", from, "stays:/there")
	if out := d.run("exec", "stays", "cat", "/there/word"); out != "copied" {
		d.t.Errorf("in the container the file has %q", out)
	}
	d.run("cp", "stays:/there", to)
	if b, err := os.ReadFile(filepath.Join(to, "there", "word")); err != nil || string(b) != "copied\n" {
		d.t.Errorf("back came %q, %v", b, err)
	}
}

// builds makes an image from an image that is here, with one of the two builders of program.
func (d *docker) builds(program, buildKit string) {
	dir := d.t.TempDir()
	for name, text := range map[string]string{
		"Dockerfile": "FROM busybox\nARG LETTER=a\nCOPY word /word\nRUN sed -i s/$LETTER/b/ /word\nCMD [\"cat\", \"/word\"]\n",
		"word":       "c\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			d.t.Fatal(err)
		}
	}
	args := []string{"build", "--build-arg", "LETTER=c", "-t", "built:" + buildKit, dir}
	r := command(d.t, "", slices.Concat(d.env, []string{"DOCKER_BUILDKIT=" + buildKit}), program, args...)
	r.must(d.t, "docker", args)
	if made := strings.Contains(r.err, "naming to docker.io/library/built:1"); made != (buildKit == "1") {
		d.t.Errorf("DOCKER_BUILDKIT=%s is another builder: %s%s", buildKit, r.out, r.err)
	}
	if out := d.run("run", "--rm", "built:"+buildKit); out != "b" {
		d.t.Errorf("what was built says %q", out)
	}
}

// withBuildKit is a command line of Docker that builds with BuildKit: the one that is here, if it has the plugin or
// does so by itself, as release 20 did, or else the one of Debian 12.
func withBuildKit(t *testing.T) string {
	t.Helper()
	alone := func(program string) bool {
		out, err := exec.Command(program, "--version").Output()
		return err == nil && strings.HasPrefix(string(out), "Docker version 20.")
	}
	if alone("docker") || exec.Command("docker", "buildx", "version").Run() == nil {
		return "docker"
	}
	dir := filepath.Join(kit.Suites(), "docker.io")
	program := filepath.Join(dir, "usr/bin/docker")
	script := `mkdir -p "$0" && cd "$0" && apt-get -qq download docker.io && dpkg-deb -x docker.io_*.deb . && rm docker.io_*.deb`
	if !exists(program) {
		if out, err := exec.Command("sh", "-c", script, dir).CombinedOutput(); err != nil {
			t.Skipf("no command line with BuildKit: %v: %s", err, out)
		}
	}
	if !alone(program) {
		t.Skip("no command line with BuildKit; install docker-buildx")
	}
	return program
}

// volumes outlive containers, and belong to several.
func (d *docker) volumes() {
	d.run("volume", "create", "vol")
	d.run("run", "--rm", "-v", "vol:/vol", "busybox", "sh", "-c", "echo kept >/vol/word")
	if out := d.run("run", "--rm", "-v", "vol:/vol:ro", "busybox", "sh", "-c", "cat /vol/word; echo x 2>/dev/null >/vol/word || echo refused"); out != "kept\nrefused" {
		d.t.Errorf("the volume has %q", out)
	}
	if out := d.run("volume", "ls", "-q"); out != "vol" {
		d.t.Errorf("there are the volumes %q", out)
	}
}

// composition has two services that talk to each other by name.
const composition = `version: "3"
services:
  web:
    image: busybox
    command: sh -c "echo page >/index.html; exec httpd -f -p 80 -h /"
    stop_signal: SIGKILL
    volumes: ["kept:/kept"]
  asker:
    image: busybox
    depends_on: [web]
    command: sh -c "until wget -q -O - http://web/index.html; do sleep 1; done; nc -l -p 80"
    stop_signal: SIGKILL
volumes:
  kept:
`

func (d *docker) composes() {
	file := filepath.Join(d.t.TempDir(), "docker-compose.yml")
	if err := os.WriteFile(file, []byte(composition), 0o644); err != nil {
		d.t.Fatal(err)
	}
	compose := func(args ...string) string {
		d.t.Helper()
		args = append([]string{"-p", "composed", "-f", file}, args...)
		return command(d.t, "", append(d.env, "HOME="+d.t.TempDir()), "docker-compose", args...).must(d.t, "docker-compose", args)
	}
	compose("up", "-d")
	eventually(d.t, "the one to hear from the other", func() bool { return strings.Contains(compose("logs", "asker"), "page") })
	compose("exec", "-T", "web", "sh", "-c", "until echo answer | nc asker 80; do sleep 0.2; done")
	eventually(d.t, "the other to hear from the one", func() bool { return strings.Contains(compose("logs", "asker"), "answer") })
	compose("down", "-v")
	if out := d.run("ps", "-aq") + d.run("volume", "ls", "-q", "--filter", "name=composed") + d.run("network", "ls", "-q", "--filter", "name=composed"); out != "" {
		d.t.Errorf("after down there is %q", out)
	}
}

// startRegistry serves images on this host's loopback, for as long as the test runs, and says where a machine finds it.
func startRegistry(t *testing.T) (name string) {
	t.Helper()
	dir, port := t.TempDir(), freePort(t)
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: %s/data}}\nhttp: {addr: '127.0.0.1:%s'}\n", dir, port)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("docker-registry", "serve", config)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; scripts/deps docker installs it", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	eventually(t, "the registry", func() bool {
		c, err := net.Dial("tcp4", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return "host.docker.internal:" + port
}

// trustRegistry tells dockerd that a registry has no certificate, as a user does, before dockerd first runs.
func trustRegistry(t *testing.T, u *user, registry string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "daemon.json")
	if err := os.WriteFile(file, fmt.Appendf(nil, `{"insecure-registries": [%q]}`, registry), 0o644); err != nil {
		t.Fatal(err)
	}
	u.run("cp", file, "default:/etc/docker/")
}

// pushesAndPulls has an image go to a registry and come back.
func (d *docker) pushesAndPulls(registry string) {
	name := registry + "/some/busybox:1"
	d.run("tag", "busybox", name)
	id := d.run("images", "-q", "--no-trunc", "busybox")
	d.run("push", name)
	d.run("rmi", name)
	if out := d.run("images", "-q", name); out != "" {
		d.t.Fatalf("the image is still there: %s", out)
	}
	d.run("rmi", "built:0", "built:1") // nobody has its layers now but busybox itself
	d.run("pull", name)
	if out := d.run("images", "-q", "--no-trunc", name); out != id {
		d.t.Errorf("back came %s, it was %s", out, id)
	}
	d.run("rmi", name)
}

// python is Debian's python3-docker, with its own idea of Docker's API.
func (d *docker) python() {
	args := []string{"testdata/docker_client.py"}
	command(d.t, "", d.env, "/usr/bin/python3", args...).must(d.t, "python3", args)
}

// prunes looks at what there is and removes what nobody needs.
func (d *docker) prunes() {
	d.run("create", "--name", "unused", "-v", "unused:/unused", "busybox")
	d.run("network", "create", "unused")
	if out := d.run("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}"); !regexp.MustCompile(`Containers 1 0\nLocal Volumes \d 1`).MatchString(out) {
		d.t.Errorf("system df says %q", out)
	}
	d.run("system", "prune", "-f")
	d.run("volume", "prune", "-f")
	if out := d.run("ps", "-aq") + d.run("volume", "ls", "-q") + d.run("network", "ls", "-q", "--filter", "name=unused"); out != "" {
		d.t.Errorf("after prune there is %q", out)
	}
	if out := d.run("images", "-q", "busybox"); out == "" {
		d.t.Error("prune has removed an image that has a name")
	}
}

// A follower reads what a docker command says while it runs.
type follower struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	heard []string
}

// begin starts docker, which ends with the test.
func (d *docker) begin(args ...string) *follower {
	d.t.Helper()
	f := &follower{t: d.t, cmd: exec.Command("docker", args...), lines: make(chan string, 10000)}
	f.cmd.Env = append(os.Environ(), d.env...)
	f.cmd.Stderr = os.Stderr
	out, err := f.cmd.StdoutPipe()
	if err == nil {
		err = f.cmd.Start()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(f.end)
	go func() {
		defer close(f.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			f.lines <- s.Text()
		}
	}()
	return f
}

// hears waits for a line that the expression matches.
func (f *follower) hears(expr string) {
	f.t.Helper()
	re, late := regexp.MustCompile(expr), time.After(patience)
	for {
		select {
		case line, more := <-f.lines:
			f.heard = append(f.heard, line)
			if more && re.MatchString(line) {
				return
			}
			if !more {
				f.t.Fatalf("%s ended without %q: %q", f.cmd, expr, f.heard)
			}
		case <-late:
			f.t.Fatalf("%s never says %q: %q", f.cmd, expr, f.heard)
		}
	}
}

// ends waits until the command has ended, with its status.
func (f *follower) ends() int {
	f.t.Helper()
	for late := time.After(patience); ; {
		select {
		case _, more := <-f.lines:
			if !more {
				f.cmd.Wait()
				return f.cmd.ProcessState.ExitCode()
			}
		case <-late:
			f.t.Fatalf("%s goes on", f.cmd)
		}
	}
}

// end ends it, if it has not.
func (f *follower) end() {
	if f.cmd.ProcessState == nil {
		f.cmd.Process.Kill()
		for range f.lines {
		}
		f.cmd.Wait()
	}
}
