package boot

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// testKeys are two key pairs that are always the same.
func testKeys() (trusted, other ed25519.PrivateKey) {
	return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)),
		ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", ed25519.SeedSize)))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

const testManifest = `{
  "schema": 1,
  "flavour": "debian",
  "kernel_version": "6.1.0-41-cloud-arm64",
  "cmdline": "console=ttyAMA0 console=hvc0",
  "files": [
    {"name": "Image", "size": 4096, "sha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
    {"name": "initrd", "size": 1, "sha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
  ]
}
`

func TestManifestSurvivesEncodeAndParse(t *testing.T) {
	m, err := ParseManifest([]byte(testManifest))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseManifest(raw)
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Files) != 2 || again.Files[0] != m.Files[0] || again.Cmdline != m.Cmdline || again.Size() != 4097 {
		t.Errorf("read back as %+v, want %+v", again, m)
	}
	if assetID(m, raw) == assetID(m, []byte(testManifest)) {
		t.Error("manifests of other bytes have the same ID")
	}
}

func TestParseManifestRefuses(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"another schema", `"schema": 1`, `"schema": 2`, "schema is 2"},
		{"no schema", `"schema": 1,`, ``, "schema is 0"},
		{"an unknown field", `"schema": 1`, `"schema": 1, "extra": 1`, "extra"},
		{"an unknown flavour", `"debian"`, `"gentoo"`, "no flavour"},
		{"a version that is a path", `6.1.0-41`, `../6.1`, "no kernel version"},
		{"a version of two dots", `6.1.0-41-cloud-arm64`, `..`, "no kernel version"},
		{"an endless version", `6.1.0-41`, strings.Repeat("6", 100), "no kernel version"},
		{"a file that leaves the directory", `"initrd"`, `"../initrd"`, "no file name"},
		{"an absolute file", `"initrd"`, `"/etc/passwd"`, "no file name"},
		{"a hidden file", `"initrd"`, `".initrd"`, "no file name"},
		{"a file with a NUL", `"initrd"`, `"init\u0000rd"`, "no file name"},
		{"a file with a line end", `"initrd"`, `"initrd\n"`, "no file name"},
		{"a file in a subdirectory", `"initrd"`, `"a/b"`, "no file name"},
		{"a file that is the manifest", `"initrd"`, `"Manifest.JSON"`, "no file name"},
		{"a file that is the signature", `"initrd"`, `"manifest.sig"`, "no file name"},
		{"a file twice", `"initrd"`, `"Image"`, "twice"},
		{"files out of order", `"initrd"`, `"A"`, "not in order"},
		{"no kernel", `"Image"`, `"Kernel"`, "no kernel"},
		{"an empty file", `"size": 4096`, `"size": 0`, "0 bytes"},
		{"a negative size", `"size": 4096`, `"size": -1`, "-1 bytes"},
		{"a size beyond all disks", `"size": 4096`, `"size": 9223372036854775807`, "bytes"},
		{"a short digest", `cdef"`, `cde"`, "no SHA-256"},
		{"an upper case digest", `cdef"`, `CDEF"`, "no SHA-256"},
		{"an endless command line", `console=hvc0`, strings.Repeat("x", 3000), "command line"},
		{"a command line with a NUL", `console=hvc0`, `a\u0000b`, "control character"},
		{"an open quote", `console=hvc0`, `a=\"b`, "quote"},
		{"a key that is a path", `"schema": 1`, `"schema": 1, "key": "../x"`, "no key"},
		{"something behind it", "\n}\n", "\n}\n{}", "follows"},
		{"nothing", testManifest, "", "EOF"},
		{"too much", testManifest, strings.Repeat(" ", MaxManifest) + testManifest, "more than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(testManifest, tt.old, tt.new, 1)
			if text == testManifest {
				t.Fatal("the case changes nothing")
			}
			_, err := ParseManifest([]byte(text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestSignatureHolds(t *testing.T) {
	trusted, other := testKeys()
	raw := []byte(testManifest)
	good := Sign(trusted, raw)
	bare := []byte(base64.StdEncoding.EncodeToString(ed25519.Sign(trusted, raw)))
	tests := []struct {
		name string
		keys []ed25519.PublicKey
		raw  []byte
		sig  []byte
		ok   bool
	}{
		{"by the trusted key", []ed25519.PublicKey{public(trusted)}, raw, good, true},
		{"by the second of two keys", []ed25519.PublicKey{public(other), public(trusted)}, raw, good, true},
		{"by another key", []ed25519.PublicKey{public(other)}, raw, good, false},
		{"with no key trusted", nil, raw, good, false},
		{"of other bytes", []ed25519.PublicKey{public(trusted)}, raw[1:], good, false},
		{"of the bytes without our domain", []ed25519.PublicKey{public(trusted)}, raw, bare, false},
		{"none", []ed25519.PublicKey{public(trusted)}, raw, nil, false},
		{"that is no base64", []ed25519.PublicKey{public(trusted)}, raw, []byte("!"), false},
		{"that is too short", []ed25519.PublicKey{public(trusted)}, raw, good[:40], false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := checkSignature(tt.keys, tt.raw, tt.sig)
			if tt.ok && err != nil || !tt.ok && !errors.Is(err, ErrSignature) {
				t.Errorf("error %v, signature good: %t", err, tt.ok)
			}
		})
	}
}

func TestParseKey(t *testing.T) {
	trusted, _ := testKeys()
	text := base64.StdEncoding.EncodeToString(public(trusted))
	if k, err := ParseKey(text); err != nil || !k.Equal(public(trusted)) {
		t.Errorf("key %x, %v", k, err)
	}
	for _, bad := range []string{"", "x", text[4:], text + "AAAA"} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("%q was taken for a key", bad)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(testManifest))
	f.Add([]byte(`{"schema":1,"flavour":"arcbox","files":[{"name":"Image"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(b)
		if err != nil {
			return
		}
		raw, err := m.Encode()
		if err != nil {
			t.Fatalf("what was parsed cannot be written: %v", err)
		}
		if _, err := ParseManifest(raw); err != nil && len(raw) <= MaxManifest {
			t.Fatalf("what was written cannot be parsed: %v", err)
		}
		for _, f := range m.Files {
			if strings.ContainsAny(f.Name, "/\\\x00") || strings.HasPrefix(f.Name, ".") {
				t.Fatalf("file name %q", f.Name)
			}
		}
	})
}
