package kernel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// put lays a product out in a cache as Build does.
func put(t *testing.T, cache, version string, image string) string {
	t.Helper()
	dir := filepath.Join(root(cache), version+"-"+Digest())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(image))
	record, err := json.Marshal(Kernel{Version: "6.12-arcbox", SourceVersion: version, ImageSHA256: hex.EncodeToString(sum[:])})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{imageFile: image, recordFile: string(record)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, imageFile)
}

func TestFind(t *testing.T) {
	cache := t.TempDir()
	if _, err := Find(cache); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty cache gives %v, want not exist", err)
	}
	old := put(t, cache, "6.12.9-1~deb12u1", "old")
	newer := put(t, cache, "6.12.117-1~deb12u1", "newer")
	if err := os.MkdirAll(filepath.Join(root(cache), "9.9.9-"+Digest()), 0o755); err != nil { // a compile that died
		t.Fatal(err)
	}
	if k, err := Find(cache); err != nil || k.Image != newer {
		t.Errorf("Find = %+v, %v; want the newest, %s", k, err, newer)
	}
	if err := os.WriteFile(newer, []byte("newex"), 0o644); err != nil {
		t.Fatal(err)
	}
	if k, err := Find(cache); err != nil || k.Image != old {
		t.Errorf("with a damaged kernel Find = %+v, %v; want the whole one, %s", k, err, old)
	}
}

func TestBuildTakesWhatIsThere(t *testing.T) {
	cache := t.TempDir()
	want := put(t, cache, "6.12.1-1", "image")
	k, err := Build(context.Background(), cache, Source{Deb: "/nowhere", Version: "6.12.1-1"}, t.Logf)
	if err != nil || k.Image != want {
		t.Errorf("Build = %+v, %v; want the cached %s", k, err, want)
	}
}

func TestBuildSaysWhatFails(t *testing.T) {
	_, err := Build(t.Context(), t.TempDir(), Source{Deb: "/nowhere.deb", Version: "1"}, t.Logf)
	if err == nil || !strings.Contains(err.Error(), "dpkg-deb") {
		t.Errorf("a source that is not there gives %v, want the tool named", err)
	}
}

func TestLater(t *testing.T) {
	order := []string{"", "6.1.9-1", "6.1.10-1", "6.12.9-1~deb12u1", "6.12.117-1~deb12u1", "6.12.117-1~deb12u2", "6.12.117-2", "7"}
	for i, a := range order {
		for j, b := range order {
			if a != "" && b != "" && later(a, b) != (i > j) {
				t.Errorf("later(%q, %q) = %v", a, b, i <= j)
			}
		}
	}
}

func TestMissing(t *testing.T) {
	got := missing("# a comment\nCONFIG_B=y\nCONFIG_A=y\nCONFIG_S=\"x\"\n", "CONFIG_S=\"x\"\n# CONFIG_A is not set\nCONFIG_BB=y\n")
	if want := []string{"CONFIG_A=y", "CONFIG_B=y"}; !reflect.DeepEqual(got, want) {
		t.Errorf("missing = %q, want %q", got, want)
	}
}

// TestFragments holds the fragments to their form: each option once, set, and
// nothing a line apart from comments.
func TestFragments(t *testing.T) {
	seen := map[string]bool{}
	for line := range strings.Lines(fragments()) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "# ") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || !strings.HasPrefix(name, "CONFIG_") || value == "" || seen[name] {
			t.Errorf("the line %q is no option, or comes twice", line)
		}
		seen[name] = true
	}
}
