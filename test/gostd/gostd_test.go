// Package gostd_test runs Go's own tests for linux/arm64 in a guest: they are
// an independent suite for atomics, the memory model, arithmetic, hashes and
// whatever the compiler makes of ordinary code.
package gostd_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/test/kit"
)

func TestMain(m *testing.M) { os.Exit(kit.Main(m, "./init")) }

// A suite is the tests of one package of the standard library.
type suite struct {
	pkg  string
	skip string // tests left out, see below
	soak bool   // only in a soak run
}

// Tests left out need files of GOROOT, a go command or a network, none of which
// the guest has; no test is left out because of what it computes.
var suites = []suite{
	{pkg: "sync/atomic"}, // with the store-load litmus tests
	{pkg: "sync"},
	{pkg: "math/bits"},
	{pkg: "math"},
	{pkg: "strconv", soak: true},
	{pkg: "hash/crc32", soak: true},
	{pkg: "crypto/sha256", soak: true},
	{pkg: "crypto/sha512", soak: true},
	{pkg: "crypto/sha1", soak: true},
	{pkg: "crypto/md5", soak: true},
	{pkg: "crypto/aes", soak: true},
	{pkg: "crypto/cipher", soak: true},
	{pkg: "math/big", soak: true},
	{pkg: "math/cmplx", soak: true},
	{pkg: "hash/adler32", soak: true},
	{pkg: "hash/fnv", soak: true},
	{pkg: "hash/maphash", soak: true},
	{pkg: "encoding/binary", soak: true},
	{pkg: "encoding/json", soak: true},
	{pkg: "encoding/gob", soak: true},
	{pkg: "encoding/base64", soak: true},
	{pkg: "compress/flate", soak: true},
	{pkg: "compress/bzip2", soak: true},
	{pkg: "image/jpeg", soak: true},
	{pkg: "image/png", soak: true},
	{pkg: "regexp", soak: true},
	{pkg: "sort", soak: true},
	{pkg: "slices", soak: true},
	{pkg: "text/template", soak: true},
	{pkg: "unicode/utf8", soak: true},
	{pkg: "container/heap", soak: true},
	{pkg: "time", skip: "TestLoadLocation|TestVersion3|TestTzset|Zoneinfo|TestFirstZone|TestEmbedded|TestLoadFixed|TestEnvTZ|TestMalformedTZ", soak: true},
}

// guestTime is far more than the suites take.
const guestTime = 30 * time.Minute

func TestGosOwnTestsPassInAGuest(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the standard library's tests")
	}
	fl := kit.AFlavour(t, kit.BuiltIn)
	initrd := pack(t)
	for _, cpus := range []int{1, kit.Rounds(2, 4)} {
		t.Run(fmt.Sprintf("%d vCPUs", cpus), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), guestTime)
			defer cancel()
			cmd := exec.CommandContext(ctx, kit.Program("arcbox"), "boot", "--kernel", fl.Kernel, "--initrd", initrd,
				"--cpus", fmt.Sprint(cpus), "--memory", "1G", "--console", "ttyAMA0",
				"--cmdline", fl.Tuning+" console=ttyAMA0 panic=-1 quiet")
			cmd.WaitDelay = 20 * time.Second
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("the guest ended with %v", err)
			}
			judge(t, string(out))
		})
	}
}

var failure = regexp.MustCompile(`(?s)gostd: \S+ FAIL.*?(?:\ngostd: |$)`)

// judge wants an ok line of every suite that runs.
func judge(t *testing.T, console string) {
	t.Helper()
	for _, f := range failure.FindAllString(console, -1) {
		t.Error(f)
	}
	for _, s := range chosen() {
		if !strings.Contains(console, "gostd: "+s.pkg+" ok") {
			t.Errorf("%s did not pass", s.pkg)
		}
	}
	if t.Failed() {
		t.Logf("the console ends:\n%s", console[max(0, len(console)-2000):])
	}
}

// chosen are the suites of this run.
func chosen() []suite {
	var out []suite
	for _, s := range suites {
		if !s.soak || os.Getenv("ARCBOX_SOAK") != "" {
			out = append(out, s)
		}
	}
	return out
}

// pack makes an initrd: kit's with our init, and behind it, as the kernel
// allows, an archive of the test binaries.
func pack(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	names := "tests\n"
	for _, s := range chosen() {
		dir := filepath.Join("tests", strings.ReplaceAll(s.pkg, "/", "_"))
		place(t, filepath.Join(root, dir), s)
	}
	err := filepath.WalkDir(filepath.Join(root, "tests"), func(path string, d os.DirEntry, err error) error {
		if rel, e := filepath.Rel(root, path); e == nil && rel != "tests" {
			names += rel + "\n"
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(root, "tests.cpio")
	cmd := exec.Command("cpio", "-o", "-L", "-H", "newc", "--quiet", "-O", archive)
	cmd.Dir, cmd.Stdin = root, strings.NewReader(names)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot pack the tests: %v\n%s", err, out)
	}
	return concatenate(t, filepath.Join(root, "initrd"), kit.Initrd(t), archive)
}

// concatenate joins files, each padded to 4 bytes, as path.
func concatenate(t *testing.T, path string, parts ...string) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range parts {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(f, bytes.NewReader(append(b, make([]byte, -len(b)&3)...))); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// place puts a suite's binary, arguments and test data into dir.
func place(t *testing.T, dir string, s suite) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	args := "-test.short -test.timeout=20m"
	if s.skip != "" {
		args += " -test.skip=" + s.skip
	}
	if err := os.WriteFile(filepath.Join(dir, "args"), []byte(args), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary(t, s.pkg), filepath.Join(dir, "test")); err != nil {
		t.Fatal(err)
	}
	copySources(t, dir, s.pkg)
	data := filepath.Join(runtime.GOROOT(), "src", s.pkg, "testdata")
	if _, err := os.Stat(data); err == nil {
		if err := os.CopyFS(filepath.Join(dir, "testdata"), os.DirFS(data)); err != nil {
			t.Fatal(err)
		}
	}
}

// copySources puts the package's files into dir: some tests read them.
func copySources(t *testing.T, dir, pkg string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(runtime.GOROOT(), "src", pkg, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(file)), b, 0o644)
		}
		if err != nil {
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
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot compile the tests of %s: %v\n%s", pkg, err, out)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}
