package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// Names of what is measured with Docker's own command line.
const (
	dockerCold = "docker.version.cold" // from nothing, not even an agent: a disk that is formatted, a boot, dockerd
	dockerRun  = "docker.run.warm"     // of a container that does nothing, where dockerd is at work
)

// dockerRAM is the guest's memory in MiB: dockerd needs some.
const dockerRAM = 1024

// A whale is a user with a home of its own and Docker's command line.
type whale struct{ dir, socket string }

// dockerSuites are what people meet who type docker. There is no peer: no other dockerd here runs on arm64.
func dockerSuites() []*suite {
	w := &whale{}
	return []*suite{
		{names: []string{dockerCold}, rounds: 3, unit: "s", round: w.cold, end: w.close},
		{names: []string{dockerRun}, rounds: 7, unit: "s", round: w.warm, end: w.close},
	}
}

// open makes a home in which nothing has run.
func (w *whale) open() (err error) {
	if w.dir, err = os.MkdirTemp("", "arcbox-bench-"); err != nil {
		return err
	}
	os.Setenv(home.Env, w.dir)
	text := fmt.Sprintf("[machine]\ncpus = 2\nmemory = \"%dMiB\"\npreallocate = 0\n", dockerRAM)
	if err := os.WriteFile(filepath.Join(w.dir, "config.toml"), []byte(text), 0o600); err != nil {
		return err
	}
	h, err := home.Find()
	if err != nil {
		return err
	}
	w.socket, err = h.Socket(agentapi.DockerSocket)
	return err
}

func (w *whale) close() {
	if w.dir == "" {
		return
	}
	_ = arcbox("agent", "stop", "--machines", "--quiet")
	os.RemoveAll(w.dir)
	w.dir = ""
}

// docker runs Docker's command line.
func (w *whale) docker(args ...string) error {
	cmd := exec.Command("docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+w.socket, "DOCKER_CONFIG="+filepath.Join(w.dir, "docker"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("docker %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// cold asks for the version in a home where nothing has ever run.
func (w *whale) cold(s *samples) error {
	w.close()
	if err := w.open(); err != nil {
		return err
	}
	start := time.Now()
	if err := arcbox("agent", "start", "--quiet"); err != nil {
		return err
	}
	if err := w.docker("version"); err != nil {
		return err
	}
	s.ours[dockerCold] = append(s.ours[dockerCold], time.Since(start).Seconds())
	return nil
}

// warm runs a container that does nothing.
func (w *whale) warm(s *samples) error {
	if w.dir == "" {
		if err := errors.Join(w.open(), arcbox("start", "--quiet"), w.image(), w.docker("run", "--rm", "busybox", "true")); err != nil {
			return err
		}
	}
	start := time.Now()
	if err := w.docker("run", "--rm", "busybox", "true"); err != nil {
		return err
	}
	s.ours[dockerRun] = append(s.ours[dockerRun], time.Since(start).Seconds())
	return nil
}

// image imports the guest's busybox.
func (w *whale) image() error {
	program := filepath.Join(w.dir, "busybox")
	if err := arcbox("cp", "default:/usr/bin/busybox", program); err != nil {
		return err
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	t := tar.NewWriter(&archive)
	err = errors.Join(
		t.WriteHeader(&tar.Header{Name: "bin/true", Mode: 0o755, Size: int64(len(text))}),
		second(t.Write(text)), t.Close(),
		os.WriteFile(program+".tar", archive.Bytes(), 0o600),
	)
	if err != nil {
		return err
	}
	return w.docker("import", program+".tar", "busybox")
}

// second is the error of a pair.
func second[T any](_ T, err error) error { return err }
