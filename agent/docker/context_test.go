package docker

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A cli is Docker's command line with a configuration of its own.
type cli struct {
	t   *testing.T
	dir string
}

func (c cli) run(args ...string) string {
	c.t.Helper()
	cmd := exec.Command("docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_CONFIG="+c.dir, "DOCKER_HOST=", "DOCKER_CONTEXT=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("docker %s: %v: %s; scripts/deps installs it", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Docker itself says what it makes of our files.
func TestDockerSeesTheContext(t *testing.T) {
	const socket = "/run/arcbox/docker.sock"
	c := cli{t, t.TempDir()}
	client := Client{c.dir}
	c.run("context", "create", "other", "--docker", "host=unix:///run/other.sock")
	c.run("context", "use", "other")
	config := filepath.Join(c.dir, "config.json")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	kept := strings.Replace(string(text), "{", `{ "credsStore": "mine",`, 1)
	if err := os.WriteFile(config, []byte(kept), 0o600); err != nil {
		t.Fatal(err)
	}
	publish := func(choose bool) {
		t.Helper()
		if err := client.Publish(socket, choose); err != nil {
			t.Fatal(err)
		}
	}
	publish(false)
	if got := c.run("context", "inspect", Context, "--format", "{{.Endpoints.docker.Host}}"); got != "unix://"+socket {
		t.Errorf("the context leads to %q", got)
	}
	if got := c.run("context", "show"); got != "other" {
		t.Errorf("%q is selected, and nobody asked for it", got)
	}
	publish(true)
	publish(true) // which must not forget what was before
	if got := c.run("context", "show"); got != Context {
		t.Errorf("%q is selected", got)
	}
	if err := client.Publish("/run/another.sock", false); !errors.Is(err, ErrTaken) {
		t.Errorf("a context that leads elsewhere is replaced: %v", err)
	}
	if err := client.Withdraw("/run/another.sock"); err != nil || c.run("context", "show") != Context {
		t.Errorf("another's context is withdrawn: %v", err)
	}
	for range 2 {
		if err := client.Withdraw(socket); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.run("context", "ls", "--format", "{{.Name}}"); strings.Contains(got, Context) || c.run("context", "show") != "other" {
		t.Errorf("what is left is %q", got)
	}
	if text, err := os.ReadFile(config); err != nil || !strings.Contains(string(text), `"credsStore": "mine"`) {
		t.Errorf("the rest of Docker's configuration is %s, %v", text, err)
	}
}
