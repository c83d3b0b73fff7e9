// Package valgrind has valgrind's tests for arm64: programs that print what instructions
// do to edge values and random ones, and come with what they should print. They are
// built from Debian's source package, which is kept in the asset cache.
//
// The engine runs them alone at EL0 (hv/soft/oracle/userland) and a whole guest
// under its kernel (the tests here).
package valgrind

import (
	"archive/tar"
	"bytes"
	"compress/bzip2"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// A Program is one test, a static program for linux/arm64.
type Program struct {
	Name string
	File []byte
	want []byte
	test
}

// Programs are all of them. Without the package's source, or a cross compiler, the
// test is skipped, and fails in CI.
func Programs(t *testing.T) []Program {
	t.Helper()
	dir := source(t)
	here := filepath.Join(dir, "none/tests/arm64")
	list := make([]Program, len(tests))
	for i, tt := range tests {
		file := compileOnce(t, filepath.Join(here, tt.name+".c"), append(tt.flags, "-w", "-I", dir, "-I", here)...)
		expect := tt.name
		if tt.expect != "" {
			expect = tt.expect
		}
		want, err := os.ReadFile(filepath.Join(here, expect+".stdout.exp"))
		if err != nil {
			t.Fatal(err)
		}
		list[i] = Program{tt.name, file, want, tt}
	}
	return list
}

const compiler = "aarch64-linux-gnu-gcc"

// A test is one program's source and what is known of it.
type test struct {
	name   string
	flags  []string
	expect string   // the file of expected output, if it is not name's
	known  []string // differences that are not ours, as regular expressions of our lines
}

var tests = []test{
	{name: "integer", flags: []string{"-O0", "-DTEST_BFM=0", "-march=armv8-a"}},
	{name: "memory", flags: []string{"-O0", "-march=armv8-a+crypto"}, known: []string{
		// The results of post-indexed forms are xored with addresses, which the
		// linker chose in another way where the expected file was made.
		`v17\.d\[[01]\] \(xor, xfer vecreg #1\)$`,
	}},
	{name: "fp_and_simd", flags: []string{"-O0", "-march=armv8-a+crypto"}, known: []string{
		// valgrind multiplies and subtracts in two roundings here.
		`^fmls v2\.2s, v11\.2s, v29\.s\[3\] .*176be12541aeda7c `,
		// valgrind does not round denormal results and overflows to odd.
		`^fcvtxn `, `^fcvtxn2 `,
	}},
	{name: "atomics_v81", flags: []string{"-O0", "-march=armv8.1-a"}},
	{name: "crc32", flags: []string{"-O0", "-march=armv8-a+crc"}},
	{name: "cvtf_imm", flags: []string{"-O0", "-march=armv8-a"}},
	{name: "fmadd_sub", flags: []string{"-O0", "-march=armv8-a"}},
	{name: "simd_v81", flags: []string{"-O0", "-march=armv8.1-a"}},
	{name: "ldxp_stxp", flags: []string{"-O0", "-march=armv8-a"}, expect: "ldxp_stxp_basisimpl"},
}

// Judge reports the first lines of what the program printed that differ from what
// it should print and are not known to.
func (p *Program) Judge(t *testing.T, got []byte) {
	t.Helper()
	g, w := strings.Split(string(got), "\n"), strings.Split(string(p.want), "\n")
	if len(g) != len(w) {
		t.Errorf("%d lines, want %d", len(g), len(w))
	}
	bad := 0
	for i := range min(len(g), len(w)) {
		if g[i] == w[i] || matchesAny(g[i], p.known) {
			continue
		}
		if bad++; bad <= 5 {
			t.Errorf("line %d:\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	if bad > 5 {
		t.Errorf("%d lines differ", bad)
	}
}

func matchesAny(line string, patterns []string) bool {
	for _, p := range patterns {
		if regexp.MustCompile(p).MatchString(line) {
			return true
		}
	}
	return false
}

// source is a directory with valgrind's tests for arm64, from the asset
// cache or from the package that the system's own archives have.
func source(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(kit.Suites(), "valgrind")
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	tmp, err := os.MkdirTemp(mkdir(t, filepath.Dir(dir)), "valgrind-")
	if err != nil {
		t.Skipf("no place for valgrind's source: %v", err)
	}
	defer os.RemoveAll(tmp)
	if err = fetchSource(tmp, "valgrind"); err == nil {
		err = unpackTests(tmp)
	}
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("no source of valgrind: %v", err)
	}
	if err == nil {
		err = os.Rename(filepath.Join(tmp, "tests"), dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// compileOnce makes a static program of a C file and keeps it: these take the
// compiler a minute in all. Its name has a digest of the source and the flags.
func compileOnce(t *testing.T, file string, flags ...string) []byte {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(fmt.Appendf(source, "%q", flags))
	kept := filepath.Join(kit.Suites(), fmt.Sprintf("%s-%x", strings.TrimSuffix(filepath.Base(file), ".c"), sum[:8]))
	if b, err := os.ReadFile(kept); err == nil {
		return b
	}
	if _, err := exec.LookPath(compiler); err != nil && os.Getenv("CI") == "" {
		t.Skip("no " + compiler)
	}
	if out, err := exec.Command(compiler, append(flags, "-static", "-no-pie", "-o", kept+".new", file, "-lm")...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v; install gcc-aarch64-linux-gnu libc6-dev-arm64-cross\n%s", file, err, out)
	}
	b, err := os.ReadFile(kept + ".new")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(kept+".new", kept); err != nil {
		t.Logf("cannot keep the program: %v", err)
	}
	return b
}

func mkdir(t *testing.T, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Skipf("no asset cache: %v", err)
	}
	return dir
}

// fetchSource has apt download a source package to dir. Its state is private,
// and its lists are the system's with sources in place of binaries.
func fetchSource(dir, pkg string) error {
	for _, d := range []string{"parts", "lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	lists, err := filepath.Glob("/etc/apt/sources.list.d/*.sources")
	if err != nil {
		return err
	}
	for i, name := range append(lists, "/etc/apt/sources.list") {
		b, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		b = regexp.MustCompile(`(?m)^(Types: *|)deb\b`).ReplaceAll(b, []byte("${1}deb-src"))
		if err := os.WriteFile(filepath.Join(dir, "parts", fmt.Sprint(i)+filepath.Ext(name)), b, 0o644); err != nil {
			return err
		}
	}
	apt := func(args ...string) error {
		cmd := exec.Command("apt-get", append([]string{"-q",
			"-o", "Dir::Etc::sourcelist=-", "-o", "Dir::Etc::sourceparts=" + dir + "/parts",
			"-o", "Dir::State::lists=" + dir + "/lists", "-o", "Dir::Cache=" + dir + "/cache",
		}, args...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
		return nil
	}
	return errors.Join(apt("update"), apt("source", "--download-only", pkg))
}

// unpackTests takes what the tests need out of dir's archive to dir/tests.
func unpackTests(dir string) error {
	archives, err := filepath.Glob(filepath.Join(dir, "valgrind_*.orig.tar.bz2"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("the package has %d archives, want one: %v", len(archives), err)
	}
	b, err := os.ReadFile(archives[0])
	if err != nil {
		return err
	}
	wanted := regexp.MustCompile(`^[^/]+/((?:none/tests/arm64|tests)/[a-z0-9_]+\.(?:c|h|stdout\.exp))$`)
	out := filepath.Join(dir, "tests")
	for r := tar.NewReader(bzip2.NewReader(bytes.NewReader(b))); ; {
		h, err := r.Next()
		if err == io.EOF {
			return os.WriteFile(filepath.Join(out, "config.h"), nil, 0o644)
		} else if err != nil {
			return err
		}
		m := wanted.FindStringSubmatch(h.Name)
		if m == nil {
			continue
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(out, m[1])), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, m[1]), text, 0o644); err != nil {
			return err
		}
	}
}
