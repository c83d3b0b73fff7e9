// Package debug_test looks into a booting kernel as a user does: with
// gdb-multiarch and with traces.
package debug_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/test/kit"
)

func TestMain(m *testing.M) { os.Exit(kit.Main(m, "./init")) }

// bootCmd prepares arcbox boot, with a kernel that does not move its addresses.
func bootCmd(t *testing.T, more ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	fl := kit.AFlavour(t, kit.Any)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	args := []string{"boot", "--kernel", fl.Kernel, "--initrd", kit.Initrd(t), "--timeout", "3m", "--console", "ttyAMA0",
		"--cmdline", fl.Cmdline + " console=ttyAMA0 panic=-1 nokaslr"}
	cmd := exec.CommandContext(ctx, kit.Program("arcbox"), append(args, more...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

// known are the kernel's symbols, once a test has asked for them.
var known map[string]string

// symbols boots once to learn where the kernel's symbols are.
func symbols(t *testing.T) map[string]string {
	t.Helper()
	if known != nil {
		return known
	}
	cmd, out := bootCmd(t)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	at := map[string]string{}
	for _, m := range regexp.MustCompile(`symbol (\w+) (0x[0-9a-f]{16})`).FindAllStringSubmatch(out.String(), -1) {
		at[m[1]] = m[2]
	}
	if at["__arm64_sys_reboot"] == "" || at["start_kernel"] == "" {
		t.Fatalf("the guest knows no symbols:\n%s", out)
	}
	known = at
	return at
}

// gdb runs commands in gdb-multiarch.
func gdb(t *testing.T, socket string, commands ...string) string {
	t.Helper()
	program, err := exec.LookPath("gdb-multiarch")
	if err != nil && os.Getenv("CI") == "" { // where CI is set, that is a failure below
		t.Skip("there is no gdb-multiarch; scripts/deps installs it")
	}
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		if time.Since(start) > 30*time.Second {
			t.Fatal("nobody listens for gdb")
		}
	}
	args := []string{"-nx", "-batch", "-ex", "set pagination off", "-ex", "set confirm off",
		"-ex", "set architecture aarch64", "-ex", "target remote " + socket}
	for _, c := range commands {
		args = append(args, "-ex", c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("gdb: %v\n%s", err, out)
	}
	return string(out)
}

// debug boots two vCPUs under gdb; the guest must power off at the end.
func debug(t *testing.T, commands ...string) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "gdb")
	cmd, console := bootCmd(t, "--cpus", "2", "--gdb", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Signal(syscall.SIGTERM)
	out := gdb(t, socket, commands...)
	if err := cmd.Wait(); err != nil || !strings.Contains(console.String(), "debug init: done") {
		t.Fatalf("the guest did not power off: %v\nconsole: %s\ngdb: %s", err, console, out)
	}
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket is still there")
	}
	return out
}

func wantLines(t *testing.T, out string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(out) {
			t.Errorf("%q is not in the output, which ends with\n%s", p, out[max(0, len(out)-4000):])
		}
	}
}

func TestGdbDebugsABootingKernel(t *testing.T) {
	at := symbols(t)
	out := debug(t,
		"info threads",
		`printf "entry %lx mmu %d\n", $pc, $SCTLR_EL1 & 1`,
		"stepi", "stepi", "stepi",
		`printf "cpsr %x\n", $cpsr`,
		"hbreak *"+at["start_kernel"], "continue",
		`printf "at %lx mmu %d\n", $pc, $SCTLR_EL1 & 1`,
		`printf "x0 is %d bytes, v0 %d\n", sizeof($x0), sizeof($v0)`,
		"x/1i $pc",
		"stepi",
		`printf "stepped %d\n", $pc - `+at["start_kernel"],
		"delete",
		// The stack is mapped, and what is below it is nobody's.
		"set $below = $sp - 512",
		"set {unsigned long} $below = 0x1122334455667788",
		`printf "memory %lx\n", {unsigned long} $below`,
		"break *"+at["__arm64_sys_reboot"], "continue",
		"info threads",
		"thread 2",
		`printf "second %d\n", $MPIDR_EL1 & 255`,
		"thread 1",
		"delete",
		"continue")
	wantLines(t, out,
		`1 +Thread 1 \(CPU 0, on\)`, `2 +Thread 2 \(CPU 1, off\)`,
		`entry 40[0-9a-f]{6} mmu 0`, `cpsr [0-9a-f]*3c5`,
		"at "+strings.TrimPrefix(at["start_kernel"], "0x")+" mmu 1",
		`x0 is 8 bytes, v0 16`, `stepped 4`, `memory 1122334455667788`,
		`2 +Thread 2 \(CPU 1, on\)`, `second 1`,
		`exited normally`)
}

func TestGdbWatchesMemory(t *testing.T) {
	// start_kernel calls functions, whose frames are stored below its own.
	out := debug(t,
		"break *"+symbols(t)["start_kernel"], "continue", "delete",
		`set $slot = (unsigned long *) ($sp - 256)`,
		"watch *$slot", "continue",
		`printf "watched at EL%d\n", $cpsr >> 2 & 3`,
		"delete", "continue")
	wantLines(t, out, `Hardware watchpoint 2`, `Old value = `, `New value = `, `watched at EL1`, `exited normally`)
}

func TestGdbLeavesAndTheGuestRunsOn(t *testing.T) {
	debug(t, "stepi", "detach")
}

func TestGdbKillsTheGuest(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "gdb")
	cmd, console := bootCmd(t, "--gdb", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Signal(syscall.SIGTERM)
	gdb(t, socket, "stepi", "kill")
	if err := cmd.Wait(); err == nil || !strings.Contains(console.String(), "the debugger killed it") {
		t.Errorf("%v\n%s", err, console)
	}
}

func TestATraceHasWhatWasAskedFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace")
	cmd, out := bootCmd(t, "--trace", "exec,mmu,exceptions,mmio,irq", "--trace-window", "0-20000", "--trace-out", file)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	count := 0
	for _, line := range lines {
		var n int
		var rest string
		if _, err := fmt.Sscanf(line, "%d cpu0 el1 exec %s", &n, &rest); err == nil {
			if n != count {
				t.Fatalf("instruction %d follows %d", n, count-1)
			}
			count++
		}
	}
	if count != 20001 {
		t.Errorf("%d instructions are traced, want 0 to 20000", count)
	}
	wantLines(t, string(text), `(?m)^0 cpu0 el1 exec 0000000040[0-9a-f]{6} `, `mmu [0-9a-f]{16} is `)
}
