package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/agent/config"
	"github.com/arcboxlabs/arcbox-go/agent/docker"
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// ill is a patient with an empty home, after damage.
func ill(t *testing.T, damage func(h home.Home)) *patient {
	t.Helper()
	emptyHome(t)
	h, err := home.Find()
	if err != nil {
		t.Fatal(err)
	}
	if err := home.Make(h.Root()); err != nil {
		t.Fatal(err)
	}
	damage(h)
	p, err := examine(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	p.leave()
	return p
}

// publishDocker makes a docker context that leads to a socket, "" for that of the home.
func publishDocker(h home.Home, socket string) {
	if socket == "" {
		c, _ := config.Standard(h).Load()
		socket, _ = c.Sockets.DockerPath(h)
	}
	if client, err := docker.FindClient(); err == nil {
		client.Publish(socket, false)
	}
}

// of is what one check found.
func (p *patient) of(check string) finding {
	i := slices.IndexFunc(p.found, func(f finding) bool { return f.Check == check })
	if i < 0 {
		return finding{}
	}
	return p.found[i]
}

func TestTheDoctorSeesAndMends(t *testing.T) {
	socket := func(h home.Home) string {
		path, err := h.Socket(agentapi.Socket)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name   string
		damage func(h home.Home)
		check  string
		want   verdict
		says   string
		mended bool
	}{
		{"nothing", func(home.Home) {}, "settings", well, "good", false},
		{"no agent is no illness", func(home.Home) {}, "lock", well, "no agent runs", false},
		{"no asset is no illness", func(home.Home) {}, "assets", warned, "first start makes one", false},
		{"space", func(home.Home) {}, "space", well, "free", false},
		{"holes", func(home.Home) {}, "holes", well, "", false},
		{"a broken setting", func(h home.Home) {
			os.WriteFile(filepath.Join(h.Root(), "config.toml"), []byte("\n[machine]\ncpus = 1000\n"), 0o600)
		}, "settings", broken, "config.toml:3", false},
		{"a home that others may read", func(h home.Home) { os.Chmod(h.Root(), 0o755) }, "home", warned, "others may look", true},
		{"a socket that nobody listens on", func(h home.Home) {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket(h), Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			l.SetUnlinkOnClose(false)
			l.Close()
		}, "lock", warned, "gone has left its socket", true},
		{"no docker context is no illness", func(home.Home) {}, "docker", "", "", false},
		{"a docker context of an agent that is not installed", func(h home.Home) { publishDocker(h, "") }, "docker", warned, "no longer installed", true},
		{"a docker context that leads elsewhere", func(h home.Home) { publishDocker(h, "/elsewhere/docker.sock") }, "docker", warned, "leads to unix:///elsewhere/docker.sock", false},
		{"a docker context that nobody serves", func(h home.Home) {
			publishDocker(h, "")
			os.WriteFile(filepath.Join(h.Root(), "config.toml"), []byte("[docker]\nenable = false\n"), 0o600)
		}, "docker", warned, "docker.enable = false", true},
		{"Docker's configuration is broken", func(h home.Home) {
			os.MkdirAll(os.Getenv("DOCKER_CONFIG"), 0o700)
			os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte("{"), 0o600)
		}, "docker", warned, "cannot read Docker's configuration", false},
		{"an agent that crashed", func(h home.Home) {
			home.Make(h.Log())
			os.WriteFile(filepath.Join(h.Log(), "arcboxd.stderr"), []byte("x\npanic: oh no\ngoroutine 1\n"), 0o600)
		}, "crash", warned, "oh no", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := ill(t, tt.damage)
			if f := p.of(tt.check); f.Verdict != tt.want || !strings.Contains(f.Text, tt.says) {
				t.Fatalf("found %+v, want %s and a text with %q", f, tt.want, tt.says)
			}
			p.mend(context.Background())
			if f := p.of(tt.check); f.Fixed != tt.mended {
				t.Errorf("--fix: %+v", f)
			}
			again, err := examine(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			again.leave()
			if f := again.of(tt.check); tt.mended && f.Verdict != well && f.Verdict != "" {
				t.Errorf("after --fix there is still %+v", f)
			}
		})
	}
}

func TestOnlyWhatIsBrokenCounts(t *testing.T) {
	var out strings.Builder
	found := []finding{{Check: "a", Verdict: well}, {Check: "b", Verdict: warned, Text: "hm"}}
	if err := sayFindings(&out, found, "", false); err != nil {
		t.Errorf("warnings count: %v", err)
	}
	var s *statusError
	if err := sayFindings(&out, append(found, finding{Check: "c", Verdict: broken}), "", true); !errors.As(err, &s) || s.status != exitError {
		t.Errorf("what is broken gives %v", err)
	}
}

func TestABundleHasNoSecrets(t *testing.T) {
	p := ill(t, func(h home.Home) {
		home.Make(h.Log())
		os.WriteFile(filepath.Join(h.Log(), "default-console.log"), []byte("login ok\nDB_PASSWORD=hunter2 next\ntoken: \"abc def\"\nAuthorization: Bearer xyzzy\nghp_0123456789abcdefghij\n"+
			"-----BEGIN RSA PRIVATE KEY-----\nMIIsecret\n-----END RSA PRIVATE KEY-----\nlast line\n"), 0o600)
	})
	path := filepath.Join(t.TempDir(), "b.tar.gz")
	if err := p.bundle(context.Background(), path); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(r)
		all[h.Name] = string(text)
	}
	log := all["arcbox/home/log/default-console.log"]
	for _, secret := range []string{"hunter2", "abc def", "xyzzy", "ghp_", "MIIsecret"} {
		if strings.Contains(log, secret) {
			t.Errorf("%q is in the bundle: %s", secret, log)
		}
	}
	if !strings.Contains(log, "login ok") || !strings.Contains(log, "last line") || !strings.Contains(all["arcbox/doctor.json"], "settings") {
		t.Errorf("the bundle lacks what it is for: %q", all)
	}
	if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info, err)
	}
	if err := p.bundle(context.Background(), path); err == nil {
		t.Error("a file was replaced")
	}
}
