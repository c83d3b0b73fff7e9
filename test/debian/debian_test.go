// Package debian_test runs Debian's own arm64 programs in a guest with Debian's own kernel:
// nobody here has compiled them, and they know nothing of us. What they compute is compared
// with what they compute under QEMU, with Go's library, or by their own tests.
package debian_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/test/kit"
)

func TestMain(m *testing.M) { os.Exit(kit.Main(m, "./init")) }

// A job is what a guest does.
type job struct {
	script string
	files  map[string]string // more, in /job
	cpus   int
	memory string
	limit  time.Duration
	args   string // more for the kernel
}

// cmdline leaves out of Debian's kernel what takes long and serves nobody, but its own
// tests of its cryptography are on.
const cmdline = "console=ttyAMA0 nokaslr quiet panic=-1 initcall_blacklist=load_system_certificate_list"

// complaints are lines of a kernel that a good machine gives no reason for.
var complaints = regexp.MustCompile(`(?m)^.*(WARNING:|BUG:|rcu:.*stall|soft lockup|hung_task|blocked for more than|Unable to handle|Internal error|Oops|unhandled|alg: ).*$`)

// absent is what the kernel says of an algorithm that it was asked for and does not have.
var absent = regexp.MustCompile(`alg: [a-z]+: failed to allocate transform for \S+: -2$|alg: No test for `)

// run does a job and gives what the guest said. The script's last status must be 0.
func (s system) run(t *testing.T, j job) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"run": j.script}
	for name, text := range j.files {
		files[name] = text
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kernel, _ := s.kernel(t)
	ctx, cancel := context.WithTimeout(t.Context(), j.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, kit.Program("arcbox"), "boot", "--kernel", kernel, "--initrd", s.initrd(t),
		"--disk", s.image+",ro", "--disk", kit.Erofs(t, dir)+",ro", "--cpus", fmt.Sprint(j.cpus), "--memory", j.memory,
		"--console", "ttyAMA0", "--cmdline", cmdline+" "+j.args)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.CombinedOutput()
	text := strings.ReplaceAll(string(out), "\r\n", "\n")
	if err != nil || !strings.Contains(text, "debian: exit 0\n") {
		t.Fatalf("the guest ended with %v:\n%s", err, text[max(0, len(text)-6000):])
	}
	for _, line := range complaints.FindAllString(text, -1) {
		if !absent.MatchString(line) {
			t.Errorf("the kernel complains: %s", line)
		}
	}
	return text
}

// part is what a script printed between "== name" and the next such line.
func part(t *testing.T, text, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut("\n"+text, "\n== "+name+"\n")
	if !ok {
		t.Fatalf("nothing of %s:\n%s", name, text[max(0, len(text)-3000):])
	}
	mine, _, _ := strings.Cut(rest, "\n==")
	return mine + "\n"
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// underQEMU is what a program of the system prints under qemu-aarch64.
func (s system) underQEMU(t *testing.T, stdin, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command("qemu-aarch64", append([]string{"-L", s.root, s.path(program)}, args...)...)
	cmd.Env = []string{"HOME=/tmp", "LC_ALL=C.UTF-8"}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s under QEMU: %v\n%s", program, err, out)
	}
	return string(out)
}

// TestProgramsComputeWhatTheyDoUnderQEMU has perl, python3 and sqlite3 compute, and
// sqlite3 test the database that it made.
func TestProgramsComputeWhatTheyDoUnderQEMU(t *testing.T) {
	s := setUp(t)
	text := s.run(t, job{
		script: `set -e
echo == perl; perl /job/answers.pl
echo == python; python3 /job/answers.py
echo == sqlite; sqlite3 /tmp/db </job/answers.sql
echo == selftest; sqlite3 /tmp/db '.selftest --init' '.selftest'
echo == end`,
		files: map[string]string{"answers.pl": testdata(t, "answers.pl"), "answers.py": testdata(t, "answers.py"), "answers.sql": testdata(t, "answers.sql")},
		cpus:  2, memory: "1G", limit: 10 * time.Minute,
	})
	here, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"perl":   s.underQEMU(t, "", "usr/bin/perl", filepath.Join(here, "answers.pl")),
		"python": s.underQEMU(t, "", "usr/bin/python3", filepath.Join(here, "answers.py")),
		"sqlite": s.underQEMU(t, testdata(t, "answers.sql"), "usr/bin/sqlite3", ":memory:"),
	} {
		differ(t, name, part(t, text, name), want)
	}
	if tested := part(t, text, "selftest"); !regexp.MustCompile(`0 errors out of [1-9]`).MatchString(tested) {
		t.Errorf("sqlite3's self test: %s", tested)
	}
}

// differ reports the first lines that are not what they should be.
func differ(t *testing.T, name, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	if len(g) != len(w) || len(w) < 10 {
		t.Errorf("%s: %d lines, want %d", name, len(g), len(w))
	}
	bad := 0
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] && bad < 5 {
			t.Errorf("%s, line %d:\n got %s\nQEMU %s", name, i+1, g[i], w[i])
			bad++
		}
	}
}

// Python's own tests: those that are quick and about what a CPU computes, and more in a soak.
const (
	pythonTests = "test_float test_strtod"
	soakTests   = " test_math test_struct test_hashlib test_zlib test_long test_cmath test_complex test_int test_bool test_array test_binascii test_bytes test_bz2 test_lzma test_codecs" +
		" test_collections test_contextlib test_copy test_csv test_datetime test_decimal test_deque test_dict test_difflib test_enum" +
		" test_exceptions test_fractions test_functools test_generators test_grammar test_heapq test_hmac test_itertools test_json" +
		" test_list test_marshal test_memoryview test_mmap test_numeric_tower test_operator test_pickle test_pow test_queue test_random" +
		" test_range test_re test_sched test_set test_slice test_sort test_statistics test_thread" +
		" test_threading test_time test_tuple test_unicode test_unicodedata test_userdict test_zipfile"
)

func TestPythonPassesItsOwnTests(t *testing.T) {
	s, tests, limit := setUp(t), pythonTests, 10*time.Minute
	if kit.Rounds(0, 1) != 0 {
		tests, limit = tests+soakTests, 4*time.Hour
	}
	text := s.run(t, job{
		script: "ulimit -c 0; python3 -m test --timeout 7200 " + tests + "; echo python $?",
		cpus:   2, memory: "2G", limit: limit,
	})
	if !strings.Contains(text, "python 0\n") {
		t.Errorf("python3's tests:\n%s", text[max(0, len(text)-6000):])
	}
	t.Log(regexp.MustCompile(`(?m)^(All )?\d+ tests? OK\.`).FindAllString(text, -1))
}

// stress-ng's stressors that exercise what vCPUs share: memory, its mappings, interrupts,
// the scheduler. With --verify each checks what it computes. With numbers of operations
// a run is as long as the machine is slow.
const (
	stress     = "stress-ng --verify --metrics-brief --temp-path /tmp --vm-bytes 8M --mmap-bytes 4M"
	soakStress = " --cpu 2 --vm 2 --fork 1 --futex 1 --switch 1 --mmap 1 --timer 1 --atomic 1 --timeout 600s"
)

var operations = map[string]int{"cpu": 20, "vm": 100, "fork": 50, "futex": 500, "switch": 2000, "mmap": 10, "timer": 500, "atomic": 50}

// TestStressorsFindNothing lets stress-ng work on four vCPUs, for ten minutes in a soak.
func TestStressorsFindNothing(t *testing.T) {
	command := stress
	if kit.Rounds(0, 1) != 0 {
		command += soakStress
	} else {
		for name, n := range operations {
			command += fmt.Sprintf(" --%s 1 --%s-ops %d", name, name, n)
		}
	}
	text := setUp(t).run(t, job{script: command + "; echo stress $?", cpus: 4, memory: "1G", limit: time.Hour})
	if !strings.Contains(text, "stress 0\n") || !strings.Contains(text, "successful run completed") || strings.Contains(text, "fail:") {
		t.Errorf("stress-ng says\n%s", text[max(0, len(text)-4000):])
	}
	for name := range operations {
		m := regexp.MustCompile(`metrc.* ` + name + ` +(\d+)`).FindStringSubmatch(text)
		if m == nil || m[1] == "0" {
			t.Errorf("the stressor %s has done nothing: %v", name, m)
		} else {
			t.Logf("%s: %s operations", name, m[1])
		}
	}
}

// TestKernelTestsItsCryptography loads everything that Debian's kernel can compute with
// these instructions, and all that its module tcrypt asks for: each algorithm is tested
// before it may be used.
func TestKernelTestsItsCryptography(t *testing.T) {
	text := setUp(t).run(t, job{
		script: `cd /lib/modules/*/kernel
for m in arch/arm64/crypto/*.ko crypto/*.ko; do
	case $m in */tcrypt.ko|*/pcrypt.ko) continue;; esac
	modprobe $(basename $m .ko) 2>/tmp/err || cat /tmp/err
done
modprobe tcrypt 2>/tmp/err; echo "tcrypt says: $(cat /tmp/err)"
dmesg | grep 'alg:'
echo == algorithms
sed -n 's/^driver *: //p;s/^selftest *: //p' /proc/crypto
echo == end`,
		cpus: 2, memory: "1G", limit: 10 * time.Minute,
	})
	lines := strings.Fields(part(t, text, "algorithms"))
	tested := map[string]bool{}
	for i := 0; i+1 < len(lines); i += 2 {
		tested[lines[i]] = lines[i+1] == "passed"
		if lines[i+1] != "passed" {
			t.Errorf("%s: %s", lines[i], lines[i+1])
		}
	}
	t.Logf("%d implementations are tested", len(tested))
	for _, name := range []string{"aes-ce", "ecb-aes-ce", "xts-aes-ce", "cbc-aes-neonbs", "gcm-aes-ce", "ccm-aes-ce", "sha1-ce", "sha256-ce", "sha512-ce",
		"crct10dif-arm64-ce", "chacha20-neon", "poly1305-neon", "nhpoly1305-neon", "polyval-ce"} {
		if !tested[name] {
			t.Errorf("%s is not there or not tested", name)
		}
	}
}
