package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A step finds out about those assumptions that name it.
type step struct {
	name, about string
	after       []string // steps that must have held
	do          func(context.Context, *checker) error
}

// hand is the step of assumptions that only a person can look at: none.
const hand = "hand"

var steps = []*step{
	{name: "headers", about: "Apple's headers pass the assertions of our code", do: headers},
	{name: "bundle", about: "the app is built, signed, and accepted by codesign", after: []string{"headers"}, do: bundle},
	{name: "rules", about: "Hypervisor.framework keeps the rules that hv/hvf relies on", after: []string{"headers"}, do: rules},
	{name: "engine", about: "the engine passes the suite that all engines pass", after: []string{"headers"}, do: engine},
	{name: "storage", about: "disk images work on this file system", do: storage},
	{name: "launchd", about: "an agent lives and ends under launchd, in this session", do: launchdStep},
	{name: "mach", about: "a Mach service carries our messages between processes", after: []string{"headers"}, do: mach},
	{name: "machine", about: "Linux boots with 1, 2 and 4 vCPUs, runs a program and stops", after: []string{"bundle"}, do: machine},
	{name: "agent", about: "the agent is installed, brings up a machine, and is removed", after: []string{"machine"}, do: agent},
	{name: "sleep", about: "the Mac sleeps and wakes, and a guest with it", after: []string{"machine"}, do: sleep},
	{name: "bench", about: "starts, vsock, blocks and idle are measured", after: []string{"machine"}, do: bench},
}

func stepOf(name string) *step {
	for _, s := range steps {
		if s.name == name {
			return s
		}
	}
	return nil
}

func stepNames() (names []string) {
	for _, s := range steps {
		names = append(names, s.name)
	}
	return names
}

// cgoRooms are the packages with Apple's headers.
var cgoRooms = []string{"./hv/hvf/...", "./agent/power/...", "./launchd/...", "./ipc/mach/..."}

func headers(ctx context.Context, c *checker) error {
	args := []string{"build"}
	if c.rehearsal {
		args = append(args, "-tags", "macshim")
	}
	_, err := c.command(ctx, "headers", []string{"CGO_ENABLED=1"}, "go", append(args, cgoRooms...)...)
	return err
}

func bundle(ctx context.Context, c *checker) error {
	if c.rehearsal {
		return c.buildStandins(ctx)
	}
	if _, err := c.command(ctx, "bundle", nil, "scripts/bundle"); err != nil {
		return err
	}
	_, err := c.command(ctx, "bundle", nil, "codesign", "--verify", "--deep", "--strict", "--verbose=2", "build/ArcBox.app")
	return err
}

// buildStandins makes the programs of a rehearsal: the Mac's code, on Linux.
func (c *checker) buildStandins(ctx context.Context) error {
	for _, p := range []struct{ name, tags string }{{"arcbox", ""}, {"arcboxd", "macshim"}, {"arcbox-vm", "macshim"}, {"arcbox-net", ""}} {
		if _, err := c.command(ctx, "bundle", nil, "go", "build", "-tags", p.tags, "-o", c.programs()+"/", "./cmd/"+p.name); err != nil {
			return err
		}
	}
	return nil
}

// ruleLine is what go test -v says of one rule.
var ruleLine = regexp.MustCompile(`(?m)^    --- (PASS|FAIL|SKIP): TestTheFrameworkKeepsItsRules/(\S+)`)

func rules(ctx context.Context, c *checker) error {
	out, err := c.tests(ctx, "rules", "./hv/hvf/rules")
	for _, m := range ruleLine.FindAllStringSubmatch(out, -1) {
		word := map[string]string{"PASS": held, "FAIL": failed, "SKIP": notRun}[m[1]]
		c.rules[ruleKey(m[2])] = verdict{word: word, why: map[string]string{notRun: "this macOS does not have hv_gic", failed: "see the step's log"}[word]}
	}
	if err == nil && len(c.rules) == 0 {
		return fmt.Errorf("the tests of the rules told nothing")
	}
	return err
}

// ruleKey is a rule's name as go test writes it.
func ruleKey(name string) string { return strings.ReplaceAll(name, " ", "_") }

func engine(ctx context.Context, c *checker) error {
	_, err := c.tests(ctx, "engine", "./hv/hvf", "-test.run=Conformance")
	return err
}

func storage(ctx context.Context, c *checker) error {
	for _, pkg := range []string{"./agent/storage/file", "./agent/storage"} {
		if _, err := c.tests(ctx, "storage", pkg); err != nil {
			return err
		}
	}
	return nil
}

func launchdStep(ctx context.Context, c *checker) error {
	_, err := c.tests(ctx, "launchd", "./launchd", "-test.short")
	return err
}

func mach(ctx context.Context, c *checker) error {
	_, err := c.tests(ctx, "mach", "./ipc/mach", "-test.short")
	return err
}

// machine boots Linux anew with each number of vCPUs.
func machine(ctx context.Context, c *checker) error {
	if out, err := c.arcbox(ctx, "machine", "assets", "list", "--json"); err != nil || !strings.Contains(out, `"id"`) {
		return errNotRun{"there are no boot assets, which a Mac cannot build: run make assets on a Linux machine, and copy its /var/cache/arcbox/boot to the same place here"}
	}
	for _, cpus := range []int{1, 2, 4} {
		if _, err := c.arcbox(ctx, "machine", "config", "set", "machine.cpus", strconv.Itoa(cpus)); err != nil {
			return err
		}
		if _, err := c.arcbox(ctx, "machine", "start"); err != nil {
			return fmt.Errorf("with %d vCPUs: %w", cpus, err)
		}
		out, err := c.arcbox(ctx, "machine", "exec", "--", "grep", "-c", "^processor", "/proc/cpuinfo")
		if err != nil {
			return err
		}
		if strings.TrimSpace(out) != strconv.Itoa(cpus) {
			return fmt.Errorf("of %d vCPUs the guest has %s", cpus, strings.TrimSpace(out))
		}
		if _, err := c.arcbox(ctx, "machine", "stop"); err != nil {
			return err
		}
	}
	_, err := c.arcbox(ctx, "machine", "agent", "stop")
	return err
}

func agent(ctx context.Context, c *checker) error {
	if c.rehearsal {
		return errNotRun{"a rehearsal installs nothing"}
	}
	for _, args := range [][]string{{"agent", "install"}, {"exec", "--", "true"}, {"agent", "status"}, {"doctor"}, {"stop"}, {"agent", "uninstall"}} {
		if _, err := c.arcbox(ctx, "agent", args...); err != nil {
			return err
		}
	}
	return nil
}

// sleepEnough is how long the Mac has to have slept to show anything.
const sleepEnough = time.Minute

// sleep compares the guest's clock with the host's after a sleep, and its boot with the one before.
func sleep(ctx context.Context, c *checker) error {
	if _, err := c.arcbox(ctx, "sleep", "start"); err != nil {
		return err
	}
	defer c.arcbox(ctx, "sleep", "stop")
	before, err := c.arcbox(ctx, "sleep", "exec", "--", "cat", "/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	begun := time.Now().Round(0) // by the wall clock
	if err := c.hostSleeps(); err != nil {
		return err
	}
	if slept := time.Now().Round(0).Sub(begun); slept < sleepEnough && !c.rehearsal {
		return errNotRun{fmt.Sprintf("%.0f s are too short a sleep", slept.Seconds())}
	}
	out, err := c.arcbox(ctx, "sleep", "exec", "--", "date", "+%s")
	if err != nil {
		return fmt.Errorf("after the sleep: %w", err)
	}
	s, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		return err
	}
	if off := time.Since(time.Unix(s, 0)).Abs(); off > 3*time.Second {
		return fmt.Errorf("the guest's clock is %v off", off)
	}
	after, err := c.arcbox(ctx, "sleep", "exec", "--", "cat", "/proc/sys/kernel/random/boot_id")
	if err != nil || after != before {
		return fmt.Errorf("the guest did not live through it: %s before, %s after, %v", before, after, err)
	}
	log, err := c.arcbox(ctx, "sleep", "logs", "--component", "agent", "-n", "200")
	if err != nil {
		return err
	}
	for _, want := range []string{"will-sleep", "did-wake"} {
		if !strings.Contains(log, want) {
			return fmt.Errorf("the agent was not told: its log has no %s", want)
		}
	}
	return nil
}

// hostSleeps has a person put the Mac to sleep, and returns when it is awake. In a rehearsal the stand-in sleeps.
func (c *checker) hostSleeps() error {
	if !c.rehearsal {
		if c.yes || !c.ask("Put the Mac to sleep for more than a minute (better an hour, on battery), wake it, and log in. Has it slept?") {
			return errNotRun{"nobody put the Mac to sleep"}
		}
		return nil
	}
	conn, err := net.Dial("unix", c.standinPower())
	if err != nil {
		return err
	}
	defer conn.Close()
	answers := bufio.NewScanner(conn)
	for _, word := range []string{"sleep", "wake"} {
		if _, err := fmt.Fprintln(conn, word); err != nil {
			return err
		}
		if !answers.Scan() || answers.Text() != "done" {
			return fmt.Errorf("the stand-in cannot %s: %q, %v", word, answers.Text(), answers.Err())
		}
		time.Sleep(3 * time.Second)
	}
	return nil
}

// standinPower is the control socket of the stand-in for the host's power.
func (c *checker) standinPower() string { return filepath.Join(c.home, "power") }

func bench(ctx context.Context, c *checker) error {
	if c.rehearsal {
		return errNotRun{"a rehearsal measures nothing"}
	}
	out, err := c.command(ctx, "bench", nil, "go", "run", "./bench", "-only", "start|recover|vsock|blk|idle|mem", "-out", filepath.Join(c.dir, "bench.json"))
	if err != nil {
		return err
	}
	c.measured = out
	return nil
}
