package debian

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/boot/debian/internal/cpio"
)

var _ boot.Builder = (*Builder)(nil)

func TestNewKnowsFlavours(t *testing.T) {
	for flavour, want := range map[string]bool{boot.FlavourDebian: true, boot.FlavourArcBox: true, "": false, "fedora": false} {
		if _, err := New(flavour, "cache", "guest"); (err == nil) != want {
			t.Errorf("flavour %q: %v, want it taken: %v", flavour, err, want)
		}
	}
}

func TestParseURI(t *testing.T) {
	sum := strings.Repeat("0f", 32)
	got, err := parseURI("'http://archive.example/debian/pool/main/b/busybox/busybox-static_1.35.0-4%2bb1_arm64.deb' " +
		"busybox-static_1%3a1.35.0-4+b1_arm64.deb 822236 SHA256:" + sum + "\n")
	want := deb{Name: "busybox-static", Version: "1:1.35.0-4+b1",
		URL:  "http://archive.example/debian/pool/main/b/busybox/busybox-static_1.35.0-4%2bb1_arm64.deb",
		File: "busybox-static_1%3a1.35.0-4+b1_arm64.deb", Size: 822236, SHA256: sum}
	if err != nil || got != want {
		t.Errorf("parseURI = %+v, %v; want %+v", got, err, want)
	}
}

func TestParseURIRefuses(t *testing.T) {
	sum := " SHA256:" + strings.Repeat("0f", 32)
	for name, line := range map[string]string{
		"a path for a name":    "'http://x/a' ../a_1_arm64.deb 1" + sum,
		"another architecture": "'http://x/a' a0_1_amd64.deb 1" + sum,
		"a weak digest":        "'http://x/a' a0_1_arm64.deb 1 MD5Sum:00",
		"no size":              "'http://x/a' a0_1_arm64.deb" + sum,
		"a huge size":          "'http://x/a' a0_1_arm64.deb 1234567890123" + sum,
		"a local file":         "'file:/etc/passwd' a0_1_arm64.deb 1" + sum,
		"something after it":   "'http://x/a' a0_1_arm64.deb 1" + sum + " x",
	} {
		if d, err := parseURI(line); err == nil {
			t.Errorf("%s is taken: %q gives %+v", name, line, d)
		}
	}
}

func FuzzParseURI(f *testing.F) {
	f.Add("'http://x/a' ab_1_arm64.deb 1 SHA256:" + strings.Repeat("0f", 32))
	f.Fuzz(func(t *testing.T, line string) {
		if d, err := parseURI(line); err == nil && (d.File != filepath.Base(d.File) || d.Size < 0) {
			t.Errorf("%q gives %+v", line, d)
		}
	})
}

func TestVerify(t *testing.T) {
	a := &apt{dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(a.dir, "debs"), 0o755); err != nil {
		t.Fatal(err)
	}
	// SHA-256 of "abc", FIPS 180-2 appendix B.1.
	d := deb{File: "x.deb", Size: 3, SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
	for content, want := range map[string]string{"abc": "", "abd": "are not those", "ab": "are not those", "abcd": "are not those"} {
		if err := os.WriteFile(a.path(d), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := a.verify(d); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("a file with %q: %v; want an error with %q", content, err, want)
		}
	}
}

func TestHostProxyLines(t *testing.T) {
	for line, want := range map[string]bool{
		`Acquire::http::Proxy "http://p:3128";`:                       true,
		`Acquire::https::proxy "http://p:3128";`:                      true,
		`Acquire::http::Proxy::archive.example "DIRECT";`:             true,
		`Acquire::http::Proxy-Auto-Detect "/usr/bin/x";`:              true,
		`APT::Update::Post-Invoke:: "rm -f /var/cache/apt/*.bin";`:    false,
		`Acquire::IndexTargets::deb::Packages::Proxy "x";`:            false,
		`Dir::State "/var/lib/apt"; # Acquire::http::Proxy "http://"`: false,
	} {
		if got := proxyLine.MatchString(line); got != want {
			t.Errorf("%s is taken over: %v, want %v", line, got, want)
		}
	}
}

func TestSourcesAreTheHosts(t *testing.T) {
	const sign = "deb [arch=arm64 signed-by=" + keyring + "] "
	tests := []struct{ name, archives, want string }{
		{"a mirror and the security archive", "http://mirror.example/debian/\nhttp://mirror.example/debian/\nhttp://s.example/debian-security/\n",
			sign + "http://mirror.example/debian s main\n" + sign + "http://mirror.example/debian s-updates main\n" +
				sign + "http://s.example/debian-security s-security main\n"},
		{"others' archives beside it", "https://apt.example/cloud\nhttp://m.example/debian\n",
			sign + "http://m.example/debian s main\n" + sign + "http://m.example/debian s-updates main\n"},
		{"no archive of Debian", "https://apt.example/ubuntu\n", ""},
		{"no apt at all", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sources("s", tt.archives)
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("sources of %q: %q, %v; want %q", tt.archives, got, err, tt.want)
			}
		})
	}
}

func TestInitramfs(t *testing.T) {
	entries := initramfs([]byte("init"),
		[]module{{"usr/lib/modules/1/kernel/a/one.ko", []byte("1")}, {"usr/lib/modules/1/kernel/two.ko", []byte("2")}})
	byName := map[string]cpio.Entry{}
	for _, e := range entries {
		byName[e.Name] = e
	}
	if got, want := string(byName["lib/modules/load-order"].Data), "/lib/modules/one.ko\n/lib/modules/two.ko\n"; got != want {
		t.Errorf("load order is %q, want %q", got, want)
	}
	if e := byName["init"]; e.Mode != cpio.Regular|0o755 || string(e.Data) != "init" {
		t.Errorf("init is %o %q", e.Mode, e.Data)
	}
	if e := byName["dev/console"]; e.Mode&cpio.CharDev == 0 || e.Major != 5 || e.Minor != 1 {
		t.Errorf("dev/console is %+v, want the device 5:1", e)
	}
}

func TestKey(t *testing.T) {
	guest := filepath.Join(t.TempDir(), "arcbox-guest")
	key := func(flavour string, init []byte) string {
		t.Helper()
		if err := os.WriteFile(guest, init, 0o755); err != nil {
			t.Fatal(err)
		}
		k, err := (&Builder{flavour: flavour, guest: guest}).Key()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	one, two := object(t, "depends="), object(t, "depends=a")
	keys := []string{key(boot.FlavourDebian, one), key(boot.FlavourArcBox, one), key(boot.FlavourDebian, two)}
	if keys[0] == keys[1] || keys[0] == keys[2] {
		t.Errorf("flavour or init make no difference: %q", keys)
	}
	if again := key(boot.FlavourDebian, one); again != keys[0] {
		t.Errorf("the same inputs have keys %s and %s", keys[0], again)
	}
}

func TestGuestMustBeStatic(t *testing.T) {
	file := filepath.Join(t.TempDir(), "arcbox-guest")
	for name, content := range map[string][]byte{"a script": []byte("#!/bin/sh\n"), "half an ELF header": []byte("\x7fELF"), "nothing": nil} {
		if err := os.WriteFile(file, content, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := (&Builder{guest: file}).init(); err == nil {
			t.Errorf("%s is taken as the guest's init", name)
		}
	}
	if _, err := (&Builder{guest: file + ".gone"}).init(); err == nil || !strings.Contains(err.Error(), "make") {
		t.Errorf("a missing init gives %v, want advice", err)
	}
}

func TestOrderModules(t *testing.T) {
	files := tree{
		"usr/lib/modules/1/kernel/drivers/virtio/virtio.ko":      {data: object(t, "depends=")},
		"usr/lib/modules/1/kernel/drivers/virtio/virtio_ring.ko": {data: object(t, "license=GPL", "depends=virtio")},
		"usr/lib/modules/1/kernel/drivers/char/virtio-rng.ko":    {data: object(t, "depends=virtio-ring,virtio")},
		"usr/lib/modules/1/kernel/fs/other.ko":                   {data: object(t, "depends=")},
		"usr/lib/modules/1/modules.order":                        {data: []byte("x")},
	}
	modules, err := orderModules(t.Context(), files, []string{"virtio_rng", "virtio"})
	var got []string
	for _, m := range modules {
		got = append(got, moduleName(m.path))
	}
	if want := []string{"virtio", "virtio_ring", "virtio_rng"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("order is %v, %v; want %v", got, err, want)
	}
}

func TestOrderModulesRefuses(t *testing.T) {
	tests := []struct {
		name string
		tree tree
		want string
	}{
		{"a module that is not there", tree{}, "find the module a"},
		{"a dependency that is not there", tree{"k/a.ko": {data: object(t, "depends=b")}}, "find the module b"},
		{"a circle", tree{"k/a.ko": {data: object(t, "depends=b")}, "k/b.ko": {data: object(t, "depends=a")}}, "itself"},
		{"no object file", tree{"k/a.ko": {data: []byte("text")}}, "read the module"},
		{"xz that is none", tree{"k/a.ko.xz": {data: []byte("text")}}, "decompress"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := orderModules(t.Context(), tt.tree, []string{"a"}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v; want one with %q", err, tt.want)
			}
		})
	}
}

func FuzzDepends(f *testing.F) {
	f.Add(object(f, "depends=a,b"))
	f.Fuzz(func(t *testing.T, b []byte) { depends(b) }) // must not panic
}
