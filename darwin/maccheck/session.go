package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// options are what a check is told.
type options struct {
	rehearse     bool
	report, work string        // the file to write, and a directory
	only         []string      // the steps to take, all if there are none
	rounds       int           // of each measurement
	out          io.Writer     // for whoever watches
	answers      <-chan string // lines of whoever watches; nil where nobody does
}

// A step finds out some of what docs/mac.md lists.
type step struct {
	name, about string
	source      string // the directory whose Go files have the names of its parts
	limit       time.Duration
	// run tells what it has found of parts. An error is of the whole; a notRunError says why there was nothing to find.
	run func(context.Context, *session) error
}

// A notRunError says why something was not looked at.
type notRunError string

func (e notRunError) Error() string { return string(e) }

// A session is one run of the check. Its steps come one after the other.
type session struct {
	options
	system
	dir     string             // for the output of steps
	log     io.Writer          // the step's own
	parts   map[string]finding // of the step that runs
	figures [][2]string        // what was measured: name, value
	box     *box               // the user whose machine runs, nil before
}

// tell keeps what was found out about a part of the step.
func (s *session) tell(part string, v verdict, format string, args ...any) {
	note := strings.TrimSpace(fmt.Sprintf(format, args...))
	fmt.Fprintf(s.log, "%s: %s %s\n", part, v, note)
	s.parts[part] = finding{v, note}
}

// must tells that a part held, unless there is an error.
func (s *session) must(part string, err error) {
	var none notRunError
	switch {
	case errors.As(err, &none):
		s.tell(part, notRun, "%v", err)
	case err != nil:
		s.tell(part, failed, "%v", err)
	default:
		s.tell(part, held, "")
	}
}

// figure keeps a measurement.
func (s *session) figure(name, format string, args ...any) {
	s.figures = append(s.figures, [2]string{name, fmt.Sprintf(format, args...)})
}

// ask has whoever watches do something, and says whether it was done.
func (s *session) ask(ctx context.Context, what string) bool {
	if s.answers == nil {
		return false
	}
	fmt.Fprintf(s.out, "\n   %s\n   Return goes on, s and Return leaves it out: ", what)
	select {
	case line, ok := <-s.answers:
		return ok && strings.TrimSpace(line) != "s"
	case <-ctx.Done():
		return false
	}
}

// lines are those of r, until it ends. The reader ends with the process: a terminal cannot be told to stop.
func lines(r io.Reader) <-chan string {
	c := make(chan string)
	go func() {
		defer close(c)
		for s := bufio.NewScanner(r); s.Scan(); {
			c <- s.Text()
		}
	}()
	return c
}

// stopTime is how long a program may take to end that was asked to.
const stopTime = 20 * time.Second

// command is a program with our environment and more, whose output goes to the step's log; when ctx ends it is interrupted.
func (s *session) command(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	fmt.Fprintf(s.log, "$ %s %s\n", name, strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopTime
	return cmd
}

// does runs a program to its end; an error has its last words.
func (s *session) does(ctx context.Context, name string, args ...string) error {
	_, err := s.says(ctx, nil, name, args...)
	return err
}

// says is does, and what the program printed.
func (s *session) says(ctx context.Context, env []string, name string, args ...string) (string, error) {
	cmd := s.command(ctx, env, name, args...)
	var out, all bytes.Buffer
	both := &locked{w: io.MultiWriter(s.log, &all)}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(both, &out), both
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, lastWords(all.String()))
	}
	return out.String(), nil
}

// A locked writer is for two streams of one program.
type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// lastWords are the last lines that say something, as one.
func lastWords(text string) string {
	const most = 300
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = "... " + text[len(text)-most:]
	}
	return text
}

// take runs a step and gives what it found.
func (s *session) take(ctx context.Context, st step) outcome {
	f, err := os.Create(filepath.Join(s.dir, st.name+".log"))
	if err != nil {
		return outcome{whole: finding{notRun, err.Error()}}
	}
	s.log, s.parts = f, map[string]finding{}
	defer func() {
		f.Close()
		s.log = io.Discard
	}()
	limited, cancel := context.WithTimeout(ctx, st.limit)
	defer cancel()
	err = st.run(limited, s)
	o := outcome{finding{held, ""}, s.parts}
	var none notRunError
	switch {
	case ctx.Err() != nil:
		o.whole = finding{notRun, "interrupted"}
	case errors.As(err, &none):
		o.whole = finding{notRun, err.Error()}
	case err != nil:
		o.whole = finding{failed, err.Error()}
	default:
		o.whole = summary(s.parts)
	}
	return o
}

// summary is a step by its parts: it fails when one did, and holds when one held.
func summary(parts map[string]finding) finding {
	all := finding{held, ""}
	left := 0
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		note := strings.ReplaceAll(name, "_", " ") + ": " + parts[name].note
		switch parts[name].verdict {
		case failed:
			return finding{failed, note}
		case notRun:
			left++
			all.note = fmt.Sprintf("%d of %d parts were left out; %s", left, len(parts), note)
		}
	}
	if left > 0 && left == len(parts) {
		all.verdict = notRun
	}
	return all
}
