// Package kit is what tests with a whole guest share: the programs as they are
// shipped, the kernels of this machine's asset store, an initrd with a test's own
// init.
package kit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// dir holds what Main built.
var dir string

// Main builds the programs and the init at path (a package of the caller's, for
// linux/arm64), runs the tests and cleans up. It returns the exit status. The programs are arcbox,
// arcbox-vm, arcbox-net, and those that more names.
func Main(m *testing.M, init string, more ...string) int {
	var err error
	if dir, err = os.MkdirTemp("", "arcbox-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(init, more); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// HVF says whether the programs that Main built run guests with package hvf: on a Mac, or
// as there, against the stand-in of Apple's framework: ARCBOX_TEST_ENGINE=hvf asks for it.
func HVF() bool { return os.Getenv("ARCBOX_TEST_ENGINE") == "hvf" }

// NeedsSoft skips a test of what only the software engine can.
func NeedsSoft(t testing.TB) {
	t.Helper()
	if HVF() {
		t.Skip("Hypervisor.framework cannot do this")
	}
}

// build makes the programs, and the initrd if there is an init.
func build(init string, more []string) error {
	const cmd = "github.com/arcboxlabs/arcbox-go/cmd/"
	programs := []string{cmd + "arcbox", cmd + "arcbox-vm", cmd + "arcbox-net"}
	for _, name := range more {
		programs = append(programs, cmd+name)
	}
	if err := goBuild(native(), programs...); err != nil {
		return err
	}
	if HVF() { // the one program that has an engine
		if err := errors.Join(goBuild(nil, "-tags", "macshim", cmd+"arcbox-vm"), signVM()); err != nil {
			return err
		}
	}
	if init == "" {
		return nil
	}
	guest := []string{"GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0"}
	if err := goBuild(guest, init); err != nil {
		return err
	}
	return packInitrd(filepath.Base(init))
}

// signVM gives arcbox-vm the right to use a Mac's hypervisor; elsewhere nobody asks for it.
func signVM() error {
	if runtime.GOOS != "darwin" {
		return nil
	}
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return err
	}
	entitlements := filepath.Join(filepath.Dir(string(mod)), "entitlements.plist")
	if out, err := exec.Command("codesign", "--force", "--sign", "-", "--entitlements", entitlements, Program("arcbox-vm")).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot sign arcbox-vm: %w\n%s", err, out)
	}
	return nil
}

// native is the environment in which programs for this host are built, as by make build.
func native() []string {
	if runtime.GOOS == "darwin" {
		return nil
	}
	return []string{"CGO_ENABLED=0"}
}

func goBuild(env []string, pkgs ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-o", dir + "/"}, pkgs...)...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %v: %w\n%s", pkgs, err, out)
	}
	return nil
}

// packInitrd makes dir/initrd of one program, as /init.
func packInitrd(program string) error {
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(filepath.Join(root, "dev"), 0o755); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, program), filepath.Join(root, "init")); err != nil {
		return err
	}
	cmd := exec.Command("cpio", "-o", "-H", "newc", "--quiet", "-O", filepath.Join(dir, "initrd"))
	cmd.Dir, cmd.Stdin = root, strings.NewReader("init\ndev\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot pack the initrd: %w\n%s", err, out)
	}
	return nil
}

// Standin is the path of a program of ours that was built with the Mac's code, against the stand-ins of Apple's libraries. It
// stands beside the others, where it looks for them.
func Standin(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(dir, name+"-standin")
	cmd := exec.Command("go", "build", "-tags", "macshim", "-o", path, "github.com/arcboxlabs/arcbox-go/cmd/"+name)
	cmd.Env = append(os.Environ(), "CC=clang") // which knows blocks
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build %s for the stand-ins: %v\n%s", name, err, out)
	}
	return path
}

// GuestProgram is the path of a program of ours, built for a Linux on another architecture, for as long as the test runs.
func GuestProgram(t *testing.T, arch, pkg string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build %s: %v\n%s", pkg, err, out)
	}
	return path
}

// Program is the path of a program that Main built.
func Program(name string) string { return filepath.Join(dir, name) }

// Initrd is the path of the initrd that Main made.
func Initrd(t *testing.T) string {
	t.Helper()
	return filepath.Join(dir, "initrd")
}

// InitrdFor is the path of an initrd with the flavour's modules, if it has any, and
// the init that Main made, which loads them with guest.LoadModules.
func InitrdFor(t *testing.T, fl Flavour) string {
	t.Helper()
	if fl.Initrd == "" {
		return Initrd(t)
	}
	return Joined(t, fl.Initrd, Initrd(t))
}

// ModulesFor is the path of an initrd with the modules that the flavour has on its root, for guest.LoadBtrfs, or "" where the
// kernel has them built in.
func ModulesFor(t *testing.T, fl Flavour) string {
	t.Helper()
	if fl.Initrd == "" {
		return ""
	}
	root, path := t.TempDir(), filepath.Join(t.TempDir(), "initrd")
	if out, err := exec.Command("fsck.erofs", "--extract="+root, "--overwrite", fl.Root).CombinedOutput(); err != nil {
		t.Fatalf("cannot unpack %s: fsck.erofs: %v; install erofs-utils\n%s", fl.Root, err, out)
	}
	cmd := exec.Command("sh", "-c", "find usr usr/lib usr/lib/arcbox usr/lib/arcbox/modules -maxdepth 0 && find usr/lib/arcbox/modules -type f | sort")
	cmd.Dir = root
	names, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	pack := exec.Command("cpio", "-o", "-H", "newc", "--quiet", "-O", path)
	pack.Dir, pack.Stdin = root, bytes.NewReader(names)
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("cannot pack the modules of %s: %v\n%s", fl.Root, err, out)
	}
	return path
}

// Joined is the path of an initrd of several, for as long as the test runs: of two
// files with one name the kernel keeps the later.
func Joined(t *testing.T, initrds ...string) string {
	t.Helper()
	var all []byte
	for _, part := range initrds {
		b, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	path := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(path, all, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Erofs is a disk image with what is in root, for as long as the test runs.
func Erofs(t *testing.T, root string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "root.erofs")
	if out, err := exec.Command("mkfs.erofs", "--quiet", image, root).CombinedOutput(); err != nil {
		t.Fatalf("cannot make a disk: mkfs.erofs: %v; install erofs-utils\n%s", err, out)
	}
	return image
}

// Rounds is how often a storm is repeated: few in make test, many in make soak,
// which sets ARCBOX_SOAK.
func Rounds(few, many int) int {
	if os.Getenv("ARCBOX_SOAK") != "" {
		return many
	}
	return few
}

// WaitFor is a writer that closes seen once text has been written to it.
func WaitFor(text string) (w io.Writer, seen <-chan struct{}) {
	ch := make(chan struct{})
	return &waiter{text: []byte(text), seen: ch}, ch
}

type waiter struct {
	mu   sync.Mutex
	text []byte
	got  []byte
	seen chan struct{} // nil once closed
}

func (w *waiter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, p...)
	if w.seen != nil && bytes.Contains(w.got, w.text) {
		close(w.seen)
		w.seen = nil
	}
	return len(p), nil
}
