// Package boot_test runs `arcbox boot` as a user does, with real kernels.
package boot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// An ended boot.
type ended struct {
	status         int
	stdout, stderr string
}

// start prepares arcbox boot with a kernel, the tests' initrd and more flags.
func start(t *testing.T, fl kit.Flavour, act string, more ...string) *exec.Cmd {
	t.Helper()
	return command(t, 3*time.Minute, fl, act, more...)
}

// command is start with another limit, which is for a boot that --timeout does not
// end.
func command(t *testing.T, limit time.Duration, fl kit.Flavour, act string, more ...string) *exec.Cmd {
	t.Helper()
	args := []string{"boot", "--kernel", fl.Kernel, "--initrd", kit.InitrdFor(t, fl), "--timeout", "2m", "--console", "ttyAMA0",
		"--cmdline", fl.Tuning + " earlycon console=ttyAMA0 act=" + act}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, kit.Program("arcbox"), append(args, more...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	return cmd
}

// finish runs cmd to its end.
func finish(t *testing.T, cmd *exec.Cmd) ended {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stderr = &stderr
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	} else {
		cmd.Stdout = io.MultiWriter(&stdout, cmd.Stdout)
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return ended{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// tail is the end of a text, for messages.
func tail(s string) string {
	if len(s) > 1500 {
		s = "..." + s[len(s)-1500:]
	}
	return s
}

func (e ended) want(t *testing.T, status int, says ...string) {
	t.Helper()
	all := e.stdout + e.stderr
	for _, s := range says {
		if !strings.Contains(all, s) {
			t.Errorf("nothing says %q", s)
		}
	}
	if e.status != status {
		t.Errorf("exit %d, want %d", e.status, status)
	}
	if t.Failed() {
		t.Fatalf("stdout: %s\nstderr: %s", tail(e.stdout), tail(e.stderr))
	}
}

// complaints are lines of a kernel that a good machine gives no reason for.
var complaints = regexp.MustCompile(`(?m)^.*(WARNING:|BUG:|rcu:.*stall|Unable to handle|Internal error|Oops|unhandled|bad mode).*$`)

func TestFlavoursBootWithLittleAndMuchMemory(t *testing.T) {
	for _, flavour := range kit.Flavours(t) {
		for _, memory := range []string{"256MiB", "1GiB", "4GiB"} {
			t.Run(flavour.Name+" "+memory, func(t *testing.T) {
				e := finish(t, start(t, flavour, "sleep", "--memory", memory))
				e.want(t, 0, "test init: up", "test init: slept")
				if bad := complaints.FindString(e.stdout); bad != "" {
					t.Errorf("the kernel complains: %s", bad)
				}
			})
		}
	}
}

// TestGuestsHaveManyVCPUs boots with 8, and with as many as there can be in a soak: the
// kernel brings all of them up.
func TestGuestsHaveManyVCPUs(t *testing.T) {
	for _, cpus := range []string{"8", "32"}[:kit.Rounds(1, 2)] {
		e := finish(t, start(t, kit.AFlavour(t, kit.Any), "sleep", "--cpus", cpus))
		e.want(t, 0, "test init: slept on "+cpus+" CPUs")
		if bad := complaints.FindString(e.stdout); bad != "" {
			t.Errorf("%s vCPUs: the kernel complains: %s", cpus, bad)
		}
	}
}

func TestExitStatusSaysWhatTheGuestDid(t *testing.T) {
	tests := []struct {
		name, act string
		more      []string
		status    int
		says      string
	}{
		{"power off", "poweroff", nil, 0, "test init: up"},
		{"reset", "reset", nil, 3, "reset"},
		{"init dies", "exit", nil, 4, "Attempted to kill init"},
		{"the kernel is crashed", "sysrq:c", nil, 4, "sysrq triggered crash"},
		{"the guest hangs", "hang", []string{"--timeout", "6s"}, 5, "the time was up"},
	}
	for _, flavour := range kit.Flavours(t) {
		for _, tt := range tests {
			t.Run(flavour.Name+" "+tt.name, func(t *testing.T) {
				finish(t, start(t, flavour, tt.act, tt.more...)).want(t, tt.status, tt.says)
			})
		}
	}
}

func TestNoRootIsAPanicThatIsShown(t *testing.T) {
	for _, flavour := range kit.Flavours(t) {
		t.Run(flavour.Name, func(t *testing.T) {
			cmd := exec.Command(kit.Program("arcbox"), "boot", "--kernel", flavour.Kernel, "--timeout", "2m",
				"--cmdline", flavour.Cmdline+" earlycon") // as a boot of an asset has it
			e := finish(t, cmd)
			e.want(t, 4)
			if !strings.Contains(e.stderr, "Kernel panic - not syncing") {
				t.Errorf("the panic's lines are not shown: %s", tail(e.stderr))
			}
		})
	}
}

// typing has text typed once init is up: what comes before a console is open is
// lost, as on every serial line.
func typing(t *testing.T, cmd *exec.Cmd, text string) *exec.Cmd {
	t.Helper()
	keys, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, up := kit.WaitFor("test init: up")
	cmd.Stdout = out
	go func() {
		<-up
		io.WriteString(keys, text)
	}()
	return cmd
}

func TestWhatIsTypedReachesTheGuest(t *testing.T) {
	for _, console := range []string{"ttyAMA0", "hvc0"} {
		t.Run(console, func(t *testing.T) {
			cmd := start(t, kit.AFlavour(t, kit.Any), "echo", "--console", console)
			cmd.Args[len(cmd.Args)-3] = strings.Replace(cmd.Args[len(cmd.Args)-3], "console=ttyAMA0", "console="+console, 1)
			finish(t, typing(t, cmd, "one\ntwo words\nbye\n")).want(t, 0, `heard "one"`, `heard "two words"`)
		})
	}
}

func TestSummaryIsJSON(t *testing.T) {
	e := finish(t, start(t, kit.AFlavour(t, kit.Any), "poweroff", "--json", "--memory-digest"))
	e.want(t, 0)
	var s struct {
		Outcome      string
		Instructions uint64
		Exits        map[string]uint64
		MIPS         float64
		GuestSeconds float64 `json:"guest_seconds"`
		HostSeconds  float64 `json:"host_seconds"`
		MemorySHA256 string  `json:"memory_sha256"`
	}
	if err := json.Unmarshal([]byte(e.stderr), &s); err != nil {
		t.Fatalf("%v: %s", err, tail(e.stderr))
	}
	if s.Outcome != "poweroff" || s.Instructions < 1e6 || s.Exits["mmio"] == 0 || s.Exits["hvc"] == 0 ||
		s.MIPS <= 0 || s.GuestSeconds <= 0 || s.HostSeconds <= 0 || len(s.MemorySHA256) != 64 {
		t.Errorf("the summary lacks something: %s", e.stderr)
	}
}

// repeatable is what two deterministic boots have in common.
type repeatable struct {
	Instructions uint64
	MemorySHA256 string `json:"memory_sha256"`
}

// repeat runs a deterministic boot to its power-off.
func repeat(t *testing.T, cmd *exec.Cmd) (stdout string, r repeatable) {
	t.Helper()
	kit.NeedsSoft(t)
	e := finish(t, cmd)
	e.want(t, 0)
	if err := json.Unmarshal([]byte(e.stderr), &r); err != nil {
		t.Fatalf("%v: %s", err, tail(e.stderr))
	}
	return e.stdout, r
}

// TestDeterministicBootsAreTheSame boots ten times in a soak, with each number of
// vCPUs.
func TestDeterministicBootsAreTheSame(t *testing.T) {
	for _, cpus := range []string{"1", "2", "4"} {
		t.Run(cpus+" vCPUs", func(t *testing.T) {
			boot := func(seed string) (string, repeatable) {
				return repeat(t, start(t, kit.AFlavour(t, kit.Any), "sleep", "--deterministic="+seed,
					"--cpus", cpus, "--memory", "128MiB", "--json", "--memory-digest"))
			}
			text, first := boot("7")
			for range kit.Rounds(1, 9) {
				if again, r := boot("7"); again != text || r != first {
					t.Errorf("the same seed: %+v, then %+v; console equal: %v", first, r, again == text)
				}
			}
			if _, other := boot("8"); other == first {
				t.Errorf("another seed is no other run: %+v", other)
			}
		})
	}
}

func TestRecordedTypingReplays(t *testing.T) {
	for _, console := range []string{"ttyAMA0", "hvc0"} {
		t.Run(console, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			echo := func(more ...string) *exec.Cmd {
				cmd := start(t, kit.AFlavour(t, kit.Any), "echo",
					append([]string{"--deterministic", "--memory", "128MiB", "--json", "--memory-digest", "--console", console}, more...)...)
				for i, arg := range cmd.Args {
					cmd.Args[i] = strings.Replace(arg, "console=ttyAMA0", "console="+console, 1)
				}
				return cmd
			}
			typed, first := repeat(t, typing(t, echo("--record", log), "typed once\nbye\n"))
			text, second := repeat(t, echo("--replay", log))
			if text != typed || first != second || !strings.Contains(text, `heard "typed once"`) {
				t.Errorf("%+v, replayed %+v; console equal: %v\n%s", first, second, text == typed, tail(text))
			}
		})
	}
}

func TestDiskKeepsWhatTheGuestWrote(t *testing.T) {
	fl := kit.AFlavour(t, kit.Any)
	disk := filepath.Join(t.TempDir(), "disk")
	image := append([]byte("written by the host\n"), make([]byte, 1<<20-20)...)
	if err := os.WriteFile(disk, image, 0o644); err != nil {
		t.Fatal(err)
	}
	finish(t, start(t, fl, "vda:refused", "--disk", disk+",ro")).want(t, 0, `vda says "written by the host"`, "vda refuses")
	finish(t, start(t, fl, "vda:guest", "--disk", disk)).want(t, 0, `vda says "written by the host"`, "vda took it")
	finish(t, start(t, fl, "vda", "--disk", disk+",ro")).want(t, 0, `vda says "guest"`)
}

func TestLeavesNothingBehind(t *testing.T) {
	victims := []struct {
		name   string
		kill   func(cmd *exec.Cmd, vm int) error
		status int
	}{
		{"arcbox is killed", func(cmd *exec.Cmd, _ int) error { return cmd.Process.Kill() }, -1},
		{"arcbox is interrupted", func(cmd *exec.Cmd, _ int) error { return cmd.Process.Signal(os.Interrupt) }, 1},
		{"arcbox-vm is killed", func(_ *exec.Cmd, vm int) error { return syscall.Kill(vm, syscall.SIGKILL) }, 1},
		{"arcbox-vm is terminated", func(_ *exec.Cmd, vm int) error { return syscall.Kill(vm, syscall.SIGTERM) }, 1},
	}
	for _, v := range victims {
		t.Run(v.name, func(t *testing.T) {
			cmd := start(t, kit.AFlavour(t, kit.Any), "hang")
			out, up := kit.WaitFor("test init: up")
			cmd.Stdout = out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			<-up
			vm := child(t, cmd.Process.Pid)
			if err := v.kill(cmd, vm); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != v.status {
				t.Errorf("exit %d, want %d", got, v.status)
			}
			for start := time.Now(); syscall.Kill(vm, 0) == nil; time.Sleep(5 * time.Millisecond) {
				if time.Since(start) > 10*time.Second {
					t.Fatalf("arcbox-vm (pid %d) is still there", vm)
				}
			}
		})
	}
}

// child is the only child process of pid.
func child(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var id int
	if _, serr := fmt.Sscan(string(text), &id); err != nil || serr != nil {
		// The child was started by another thread of the process.
		all, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, path := range all {
			text, _ := os.ReadFile(path)
			if n, _ := fmt.Sscan(string(text), &id); n == 1 {
				return id
			}
		}
		t.Fatalf("arcbox has no child process")
	}
	return id
}

// TestManyBootsInARow boots 200 times with 2 and with 4 vCPUs in a soak; every
// fourth boot is of the other flavour. None is stuck.
func TestManyBootsInARow(t *testing.T) {
	flavours := kit.Flavours(t)
	for _, cpus := range []string{"2", "4"} {
		for n := range kit.Rounds(4, 200) {
			fl := flavours[0]
			if n%4 == 3 {
				fl = flavours[len(flavours)-1]
			}
			e := finish(t, start(t, fl, "sleep", "--cpus", cpus, "--timeout", "2m"))
			if bad := complaints.FindString(e.stdout); e.status != 0 || bad != "" {
				t.Fatalf("%s, %s vCPUs: boot %d: exit %d, %q\n%s%s", fl.Name, cpus, n, e.status, bad, tail(e.stdout), tail(e.stderr))
			}
		}
	}
}

// TestNoWakeUpIsLostInAGuest has four vCPUs idle and work by turns, for 30 minutes in
// a soak.
func TestNoWakeUpIsLostInAGuest(t *testing.T) {
	length := time.Duration(kit.Rounds(8, 1800)) * time.Second
	cmd := command(t, length+5*time.Minute, kit.AFlavour(t, kit.Any), "wakeups:"+length.String(),
		"--cpus", "4", "--timeout", (length + 4*time.Minute).String())
	e := finish(t, cmd)
	e.want(t, 0, "test init: all woke")
	if bad := complaints.FindString(e.stdout); bad != "" || strings.Contains(e.stdout, "no byte passed") {
		t.Errorf("the guest complains %q:\n%s", bad, tail(e.stdout))
	}
	t.Log(e.stdout[strings.LastIndex(e.stdout, "test init: beat"):])
}
