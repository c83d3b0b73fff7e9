package board

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// take is what inputs gives to the first of its sources, as text.
func take(i *inputs, at, ns uint64) (text string) {
	for _, in := range i.take(at, ns) {
		text += string(in.bytes)
	}
	return text
}

func TestReplayRoundTrip(t *testing.T) {
	var log bytes.Buffer
	room := 100
	keys := newSource(Outside{Name: "keys", Room: func() int { return room }})
	size := newSource(Outside{Name: "size"})
	i := &inputs{record: &log, wake: func() {}, sources: []*source{keys, size}}
	i.write(replayHeader + "\n")
	i.add(keys, []byte("ls"))
	i.add(keys, []byte("\n"))
	i.add(size, []byte("80x24"))
	i.add(size, []byte("90x30"))
	if got := take(i, 100, 7); got != "ls\n90x30" {
		t.Errorf("the guest gets %q", got)
	}
	if got := take(i, 101, 8); got != "" {
		t.Errorf("the guest gets %q twice", got)
	}
	i.add(keys, []byte("pwd\nmore"))
	room = 4
	if got := take(i, 101, 9); got != "pwd\n" {
		t.Errorf("the guest gets %q where 4 bytes fit", got)
	}
	r := &inputs{wake: func() {}, sources: []*source{keys, size}}
	keys.waiting = nil
	if err := r.load(&log); err != nil {
		t.Fatal(err)
	}
	r.add(keys, []byte("ignored"))
	for _, tt := range []struct {
		at, ns uint64
		want   string
	}{{99, 7, ""}, {100, 6, ""}, {100, 7, "ls\n90x30"}, {101, 8, ""}, {102, 9, "pwd\n"}, {500, 500, ""}} {
		if got := take(r, tt.at, tt.ns); got != tt.want {
			t.Errorf("at %d and %d ns the replay gives %q, want %q", tt.at, tt.ns, got, tt.want)
		}
	}
}

func TestAReplayIsOfThisMachine(t *testing.T) {
	i := &inputs{sources: []*source{newSource(Outside{Name: "keys"})}}
	if err := i.load(strings.NewReader(replayHeader + "\n5 5 hvc7 ab\n")); err == nil || !strings.Contains(err.Error(), "hvc7") {
		t.Errorf("a log with input for what is not there: %v", err)
	}
}

func TestReplayRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":            "",
		"another file":       "#!/bin/sh\n",
		"no bytes":           replayHeader + "\n5 5 k\n",
		"odd hexadecimal":    replayHeader + "\n5 5 k abc\n",
		"a negative count":   replayHeader + "\n-5 5 k ab\n",
		"counts go back":     replayHeader + "\n5 5 k ab\n4 6 k ab\n",
		"time goes back":     replayHeader + "\n5 5 k ab\n6 4 k ab\n",
		"an overlong line":   replayHeader + "\n5 5 k " + strings.Repeat("ab", maxReplayLine) + "\n",
		"a fifth field":      replayHeader + "\n5 5 k ab cd\n",
		"no receiver":        replayHeader + "\n5 5  ab\n",
		"an overflown count": replayHeader + "\n99999999999999999999 5 k ab\n",
	} {
		if list, err := parseReplay(strings.NewReader(text)); err == nil {
			t.Errorf("%s: parsed as %v", name, list)
		}
	}
}

func TestRecordFailureIsKept(t *testing.T) {
	broken := errors.New("disk full")
	keys := newSource(Outside{Name: "keys"})
	i := &inputs{record: writerFunc(func([]byte) (int, error) { return 0, broken }), wake: func() {}, sources: []*source{keys}}
	i.add(keys, []byte("x"))
	i.take(1, 1)
	if !errors.Is(i.failed(), broken) {
		t.Errorf("failed says %v", i.failed())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// FuzzReplay: what parses writes the same log again.
func FuzzReplay(f *testing.F) {
	f.Add(replayHeader + "\n5 5 k ab\n6 7 hvc0-size cdef\n")
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
