package valgrind_test

import (
	"archive/tar"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/test/kit"
	"github.com/arcboxlabs/arcbox-go/test/valgrind"
)

func TestMain(m *testing.M) { os.Exit(kit.Main(m, "./init")) }

// room is more than all programs print, in bytes.
const room = 64 << 20

// TestProgramsPrintTheSameUnderAKernel runs all of them in a guest.
func TestProgramsPrintTheSameUnderAKernel(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs from a source package")
	}
	fl := kit.AFlavour(t, kit.Any)
	programs := valgrind.Programs(t)
	root, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	for _, p := range programs {
		if err := os.WriteFile(filepath.Join(root, p.Name), p.File, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(out, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(out, room); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, kit.Program("arcbox"), "boot", "--kernel", fl.Kernel, "--initrd", kit.InitrdFor(t, fl),
		"--disk", kit.Erofs(t, root)+",ro", "--disk", out, "--console", "ttyAMA0", "--cpus", "2",
		"--cmdline", fl.Tuning+" console=ttyAMA0 quiet")
	console, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, console)
	}
	printed := untar(t, out)
	for _, p := range programs {
		t.Run(p.Name, func(t *testing.T) {
			if printed[p.Name] == nil {
				t.Fatalf("it printed nothing; the console says\n%s", console)
			}
			p.Judge(t, printed[p.Name])
		})
	}
}

func untar(t *testing.T, path string) map[string][]byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	files := map[string][]byte{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
