package home

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lay makes empty files.
func lay(t *testing.T, root string, files ...string) {
	t.Helper()
	for _, name := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBeside(t *testing.T) {
	tests := []struct {
		name, dir string
		files     []string
		want      string // "" for an error
	}{
		{"in the same directory", "bin", []string{"bin/guest"}, "bin/guest"},
		{"nowhere", "bin", []string{"bin/other"}, ""},
		{"in a bundle", "A.app/Contents/MacOS", []string{"A.app/Contents/Info.plist", "A.app/Contents/MacOS/arcboxd", "A.app/Contents/Resources/guest"}, "A.app/Contents/Resources/guest"},
		{"a directory that only looks like a bundle's", "x/MacOS", []string{"x/MacOS/arcboxd", "x/Resources/guest"}, ""},
		{"a bundle without it", "A.app/Contents/MacOS", []string{"A.app/Contents/Info.plist", "A.app/Contents/MacOS/arcboxd"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			lay(t, root, tt.files...)
			got, err := beside(filepath.Join(root, tt.dir), "guest")
			if tt.want == "" {
				if err == nil || !strings.Contains(err.Error(), "guest") {
					t.Errorf("got %s, %v", got, err)
				}
				return
			}
			if err != nil || got != filepath.Join(root, tt.want) {
				t.Errorf("got %s, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestABundleMayBringBootAssets(t *testing.T) {
	root := t.TempDir()
	lay(t, root, "A.app/Contents/Info.plist", "A.app/Contents/MacOS/arcboxd")
	dir := filepath.Join(root, "A.app/Contents/MacOS")
	if got := bundled(dir); got != "" {
		t.Errorf("it has none, and says %s", got)
	}
	lay(t, root, "A.app/Contents/Resources/boot/assets/x/Image")
	if got := bundled(dir); got != filepath.Join(root, "A.app/Contents/Resources") {
		t.Errorf("it says %q", got)
	}
}
