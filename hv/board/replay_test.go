package board

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestReplayRoundTrip(t *testing.T) {
	var log bytes.Buffer
	i := &inputs{record: &log, wake: func() {}}
	i.write(replayHeader + "\n")
	i.add([]byte("ls"))
	i.add([]byte("\n"))
	if got := i.take(100, 7, 100); string(got) != "ls\n" {
		t.Errorf("the guest gets %q", got)
	}
	if got := i.take(101, 8, 100); got != nil {
		t.Errorf("the guest gets %q twice", got)
	}
	i.add([]byte("pwd\nmore"))
	if got := i.take(101, 9, 4); string(got) != "pwd\n" {
		t.Errorf("the guest gets %q where 4 bytes fit", got)
	}
	list, err := parseReplay(&log)
	if err != nil {
		t.Fatal(err)
	}
	r := &inputs{replay: true, logged: list, wake: func() {}}
	r.add([]byte("ignored"))
	for _, tt := range []struct {
		at, ns uint64
		want   string
	}{{99, 7, ""}, {100, 6, ""}, {100, 7, "ls\n"}, {101, 8, ""}, {102, 9, "pwd\n"}, {500, 500, ""}} {
		if got := r.take(tt.at, tt.ns, 100); string(got) != tt.want {
			t.Errorf("at %d and %d ns the replay gives %q, want %q", tt.at, tt.ns, got, tt.want)
		}
	}
}

func TestReplayRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":            "",
		"another file":       "#!/bin/sh\n",
		"no bytes":           replayHeader + "\n5 5\n",
		"odd hexadecimal":    replayHeader + "\n5 5 abc\n",
		"a negative count":   replayHeader + "\n-5 5 ab\n",
		"counts go back":     replayHeader + "\n5 5 ab\n4 6 ab\n",
		"time goes back":     replayHeader + "\n5 5 ab\n6 4 ab\n",
		"an overlong line":   replayHeader + "\n5 5 " + strings.Repeat("ab", maxReplayLine) + "\n",
		"a fourth field":     replayHeader + "\n5 5 ab cd\n",
		"an overflown count": replayHeader + "\n99999999999999999999 5 ab\n",
	} {
		if list, err := parseReplay(strings.NewReader(text)); err == nil {
			t.Errorf("%s: parsed as %v", name, list)
		}
	}
}

func TestRecordFailureIsKept(t *testing.T) {
	broken := errors.New("disk full")
	i := &inputs{record: writerFunc(func([]byte) (int, error) { return 0, broken }), wake: func() {}}
	i.add([]byte("x"))
	i.take(1, 1, 100)
	if !errors.Is(i.failed(), broken) {
		t.Errorf("failed says %v", i.failed())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// FuzzReplay: what parses writes the same log again.
func FuzzReplay(f *testing.F) {
	f.Add(replayHeader + "\n5 5 ab\n6 7 cdef\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseReplay(strings.NewReader(text))
		if err != nil {
			return
		}
		again := replayHeader + "\n"
		for _, in := range list {
			again += in.String()
		}
		second, err := parseReplay(strings.NewReader(again))
		if err != nil || len(second) != len(list) {
			t.Errorf("written again it is %q: %v", again, err)
		}
	})
}

func TestVirtualClock(t *testing.T) {
	var v virtualClock
	var order []string
	note := func(s string) func() { return func() { order = append(order, s) } }
	v.after(2*time.Second, note("2s"))
	v.after(time.Second, note("1s"))
	v.after(time.Second, note("1s again"))
	stop := v.after(1500*time.Millisecond, note("stopped"))
	stop()
	if ns, ok := v.next(); !ok || ns != 1e9 {
		t.Errorf("next is due in %d ns, %v", ns, ok)
	}
	v.move(1e9 - 1)
	if order != nil {
		t.Errorf("called early: %q", order)
	}
	v.after(0, note("now"))
	v.move(3e9)
	if got := strings.Join(order, ", "); got != "now, 1s, 1s again, 2s" {
		t.Errorf("called %s", got)
	}
	if _, ok := v.next(); ok || !v.now().Equal(epoch.Add(3*time.Second)) {
		t.Errorf("something is due still, or the time is %s", v.now())
	}
}
