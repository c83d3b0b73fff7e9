package gostd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// A group of packages is tested in one guest after the other. Patterns are go
// list's.
type group struct {
	name     string
	patterns string
	limit    time.Duration // of one guest, on a machine that does much else
	soak     bool          // only in a soak run
}

var groups = []group{
	{name: "memory", patterns: "sync/atomic sync math/bits math", limit: 20 * time.Minute},
	{name: "runtime", patterns: "runtime internal/runtime/... internal/bytealg internal/chacha8rand", limit: 2 * time.Hour, soak: true},
	{name: "numbers", patterns: "math/big math/cmplx math/rand/... strconv sort slices container/... time", limit: 2 * time.Hour, soak: true},
	{name: "text", patterns: "regexp/... text/template/... unicode/... bytes strings go/parser go/scanner go/constant", limit: 2 * time.Hour, soak: true},
	{name: "hash", patterns: "hash/...", limit: time.Hour, soak: true},
	{name: "encoding", patterns: "encoding/...", limit: 2 * time.Hour, soak: true},
	{name: "compress", patterns: "compress/... archive/...", limit: 2 * time.Hour, soak: true},
	{name: "image", patterns: "image/...", limit: 2 * time.Hour, soak: true},
	{name: "crypto", patterns: "crypto/...", limit: 4 * time.Hour, soak: true},
}

// A choice is what of a package's tests is run, by -test.run and -test.skip, and
// why not the rest. Most packages run all; -short holds everywhere.
type choice struct{ run, skip, why string }

// choices never leave out a test because of what it computes.
var choices = map[string]choice{
	"runtime": {
		run: "Mem|Hash|Chan|Select|Map|Slice|Append|String|Float|Complex|Defer|Panic|Recover|Stack|GC|Final|Sem|Timer|Sleep|" +
			"Goroutine|Yield|PingPong|Parallel|Atomic|LFStack|Pallo|PageAlloc|Rand|Caller|Cmp|Equal|Signal|Spin|Lock|Arena|Unsafe",
		skip: "Crash|Cgo|Trace|Coredump|Gdb|Lldb|Pprof",
		why:  "the rest starts programs that a go command builds",
	},
}

// A suite is the tests of one package.
type suite struct {
	pkg string
	choice
}

// args are the test binary's arguments.
func (s suite) args() string {
	args := "-test.short -test.timeout=60m"
	if s.run != "" {
		args += " -test.run=" + s.run
	}
	if s.skip != "" {
		args += " -test.skip=" + s.skip
	}
	return args
}

// suites are the packages of a group that have tests.
func (g group) suites(t *testing.T) []suite {
	t.Helper()
	args := append([]string{"list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}"}, strings.Fields(g.patterns)...)
	cmd := exec.Command("go", args...)
	cmd.Env = forGuest()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot list %s: %v", g.patterns, err)
	}
	var list []suite
	for _, pkg := range strings.Fields(string(out)) {
		list = append(list, suite{pkg, choices[pkg]})
	}
	return list
}

func forGuest() []string { return append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0") }

// disk makes an image with a piece of GOROOT: sources and test data, the suites'
// test binaries, and a list of what to run.
func (g group) disk(t *testing.T, list []suite) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "goroot")
	if g.soak { // some tests read what others have
		copyDirs(t, root, sources(t)...)
	}
	var lines strings.Builder
	for _, s := range list {
		place(t, root, s)
		lines.WriteString(s.pkg + " " + s.args() + "\n")
	}
	copyDirs(t, root, "lib/time")
	if err := os.WriteFile(filepath.Join(root, "list"), []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return kit.Erofs(t, root)
}

// goroot is where the go command has its sources; a test that was built with -trimpath does not know by itself.
func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("cannot find GOROOT: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// sources are the directories of GOROOT/src, but for that of the commands.
func sources(t *testing.T) (dirs []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(goroot(t), "src"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != "cmd" {
			dirs = append(dirs, filepath.Join("src", e.Name()))
		}
	}
	return dirs
}

// place puts a suite below root as it lies below GOROOT, with its test binary.
func place(t *testing.T, root string, s suite) {
	t.Helper()
	dir := filepath.Join(root, "src", s.pkg)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(goroot(t), "src", s.pkg, "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			copyFile(t, filepath.Join(dir, filepath.Base(file)), file)
		}
	}
	copyFile(t, filepath.Join(dir, testBinary), binary(t, s.pkg))
	copyDirs(t, root, filepath.Join("src", s.pkg, "testdata"))
}

// testBinary is what init runs in a package's directory.
const testBinary = "gostd.test"

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// copyDirs copies directories of GOROOT that exist and are not there yet.
func copyDirs(t *testing.T, root string, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		from, to := filepath.Join(goroot(t), dir), filepath.Join(root, dir)
		if _, err := os.Stat(from); err != nil {
			continue
		}
		if _, err := os.Stat(to); err == nil {
			continue
		}
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
}

// binary compiles a package's tests, once for each version of Go.
func binary(t *testing.T, pkg string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	path := filepath.Join(cache, "arcbox-test", "gostd-"+runtime.Version(), strings.ReplaceAll(pkg, "/", "_"))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	cmd := exec.Command("go", "test", "-c", "-ldflags=-s -w", "-o", path+".new", pkg)
	cmd.Env = forGuest()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot compile the tests of %s: %v\n%s", pkg, err, out)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}
