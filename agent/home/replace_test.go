package home

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "file")
	for _, text := range []string{"first", "second"} {
		if err := Replace(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("the file has %q, %v, want %q", b, err, text)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if err := os.Mkdir(path+".dir", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".dir/x", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path+".dir", nil, 0o600); err == nil {
		t.Error("a file took the place of a directory")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), TempPrefix+"*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
