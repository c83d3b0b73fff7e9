package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A verdict is what became of a step, or of one thing that it looked at.
type verdict struct {
	word string // held, failed, not run
	why  string
	took time.Duration
}

const (
	held   = "held"
	failed = "failed"
	notRun = "not run"
)

// errNotRun is the error of a step that could not look; its text says why.
type errNotRun struct{ why string }

func (e errNotRun) Error() string { return e.why }

// A checker does the steps and remembers what they found.
type checker struct {
	rehearsal, yes bool
	only           []string
	report, dir    string
	in             io.Reader // answers of a person
	out            io.Writer

	answers  *bufio.Scanner
	verdicts map[string]verdict // by step
	rules    map[string]verdict // by rule, of the step rules
	measured string             // of the step bench
	home     string             // ARCBOX_HOME of the machine that the steps use
}

// prepare makes the working directory, and a home short enough for sockets.
func (c *checker) prepare() (err error) {
	c.verdicts, c.rules, c.answers = map[string]verdict{}, map[string]verdict{}, bufio.NewScanner(c.in)
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(c.dir, "log"), 0o755); err != nil {
		return err
	}
	c.home, err = os.MkdirTemp("", "arcbox-check-")
	return err
}

// end leaves nothing running and nothing behind but logs and the report.
func (c *checker) end() {
	_, _ = c.arcbox(context.Background(), "end", "agent", "uninstall", "--quiet")
	_, _ = c.arcbox(context.Background(), "end", "stop", "--all", "--force")
	_, _ = c.arcbox(context.Background(), "end", "agent", "stop")
	os.RemoveAll(c.home)
}

// take does one step.
func (c *checker) take(ctx context.Context, s *step) {
	if len(c.only) > 0 && !slices.Contains(c.only, s.name) {
		c.verdicts[s.name] = verdict{word: notRun, why: "it was not asked for"}
		return
	}
	fmt.Fprintf(c.out, "== %s: %s\n", s.name, s.about)
	begun := time.Now()
	err := c.needs(s)
	if err == nil {
		err = s.do(ctx, c)
	}
	v := verdict{word: held, took: time.Since(begun)}
	var not errNotRun
	switch {
	case errors.As(err, &not):
		v.word, v.why = notRun, not.why
	case err != nil:
		v.word, v.why = failed, err.Error()
	}
	c.verdicts[s.name] = v
	fmt.Fprintf(c.out, "   %s after %.1f s %s\n", v.word, v.took.Seconds(), firstLine(v.why))
}

// needs says why a step cannot be taken.
func (c *checker) needs(s *step) error {
	for _, name := range s.after {
		if v := c.verdicts[name]; v.word != held {
			return errNotRun{fmt.Sprintf("the step %s has %s", name, v.word)}
		}
	}
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// command runs a program, with its output in the step's log, and gives that output. Errors carry its end.
func (c *checker) command(ctx context.Context, step string, env []string, name string, args ...string) (string, error) {
	log, err := os.OpenFile(filepath.Join(c.dir, "log", step+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return "", err
	}
	defer log.Close()
	fmt.Fprintf(log, "$ %s %s\n", name, strings.Join(args, " "))
	var out strings.Builder
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	if c.rehearsal {
		cmd.Env = append(cmd.Env, "CC=clang") // for blocks, which a Mac's own compiler has
	}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(log, &out), io.MultiWriter(log, &out)
	cmd.WaitDelay = time.Second // an agent that it leaves behind may hold its output
	err = cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if err != nil {
		text := strings.TrimSpace(out.String())
		return out.String(), fmt.Errorf("%s %s: %w: %s", filepath.Base(name), firstLine(strings.Join(args, " ")), err, text[max(0, len(text)-500):])
	}
	return out.String(), nil
}

// arcbox runs the CLI on the home of this check.
func (c *checker) arcbox(ctx context.Context, step string, args ...string) (string, error) {
	return c.command(ctx, step, []string{"ARCBOX_HOME=" + c.home, "ARCBOX_STANDIN_POWER=" + c.standinPower()}, filepath.Join(c.programs(), "arcbox"), args...)
}

// programs is where the product's programs are.
func (c *checker) programs() string {
	if c.rehearsal {
		return filepath.Join(c.dir, "programs")
	}
	return "build/ArcBox.app/Contents/MacOS"
}

// tests runs tests of a package, as a program that may use the hypervisor, and gives what go test -v says.
func (c *checker) tests(ctx context.Context, step, pkg string, args ...string) (string, error) {
	program := filepath.Join(c.dir, strings.ReplaceAll(strings.Trim(pkg, "./"), "/", "-")+".test")
	build := []string{"test", "-c", "-o", program}
	if c.rehearsal {
		build = append(build, "-tags", "macshim")
	}
	if _, err := c.command(ctx, step, []string{"CGO_ENABLED=1"}, "go", append(build, pkg)...); err != nil {
		return "", err
	}
	if !c.rehearsal {
		if _, err := c.command(ctx, step, nil, "codesign", "--force", "--sign", "-", "--entitlements", "entitlements.plist", program); err != nil {
			return "", err
		}
	}
	// Tests expect to be where their package is.
	return c.command(ctx, step, nil, "sh", append([]string{"-c", `cd "$0" && exec "$@"`, pkg, program, "-test.v", "-test.count=1"}, args...)...)
}

// ask has a person do something; false is a no.
func (c *checker) ask(what string) bool {
	fmt.Fprintf(c.out, "   %s [y/N] ", what)
	return c.answers.Scan() && strings.HasPrefix(strings.ToLower(strings.TrimSpace(c.answers.Text())), "y")
}
