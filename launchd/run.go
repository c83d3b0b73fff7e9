package launchd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// A tool is launchctl or systemctl: all that this package knows of a manager comes
// through its run.
type tool struct {
	path string
	env  []string // beside our own
}

// A result is how a tool ended.
type result struct {
	code     int
	out, err string
}

// say is what a tool had to say about its failure.
func (r result) say() string {
	text := strings.Join(strings.Fields(r.err+" "+r.out), " ")
	if text == "" {
		return fmt.Sprintf("status %d", r.code)
	}
	if len(text) > 400 {
		text = text[:400] + "..."
	}
	return fmt.Sprintf("%s (status %d)", text, r.code)
}

// mentions says whether one of the words is in what the tool printed.
func (r result) mentions(words ...string) bool {
	for _, w := range words {
		if strings.Contains(r.err, w) || strings.Contains(r.out, w) {
			return true
		}
	}
	return false
}

const (
	toolTimeout = 30 * time.Second
	maxOutput   = 1 << 20 // `launchctl print` of one job takes 4 KiB
)

// run runs the tool once. An error means that it could not be run or did not end.
func (t tool) run(ctx context.Context, args ...string) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, toolTimeout)
	defer cancel()
	var out, errs bounded
	cmd := exec.CommandContext(ctx, t.path, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second // a child of its own must not keep us
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), t.env...)
	err := cmd.Run()
	r := result{code: cmd.ProcessState.ExitCode(), out: out.String(), err: errs.String()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return r, fmt.Errorf("cannot run %s %s: %w", t.path, strings.Join(args, " "), context.Cause(ctx))
	case errors.As(err, &exit) && exit.Exited():
		return r, nil
	case err != nil:
		return r, fmt.Errorf("cannot run %s %s: %w", t.path, strings.Join(args, " "), err)
	}
	return r, nil
}

// bounded keeps the first maxOutput bytes.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := maxOutput - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// until asks with growing pauses until the answer is yes. Neither tool can wait for
// what it has begun, so while a job changes, and only then, we ask again.
func until(ctx context.Context, limit time.Duration, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		if done, err := ask(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
