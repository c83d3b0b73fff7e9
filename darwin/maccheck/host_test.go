package main

import (
	"testing"
	"time"
)

// What a nap shows, by what went wrong in it. Moments are seconds after its begin.
func TestNap(t *testing.T) {
	begun := time.Now()
	at := func(sec float64) time.Time { return begun.Add(time.Duration(sec * float64(time.Second))).Round(0) }
	good := func() *nap {
		n := &nap{
			begun: begun, ended: begun.Add(70 * time.Second),
			told: []hostEvent{{Time: at(2), Took: 100}}, woken: []hostEvent{{Time: at(62), Took: 100}},
			slept: at(3), woke: at(60),
		}
		for _, sec := range []float64{0, 1, 62.2, 65, 69} {
			n.ticks = append(n.ticks, tick{at(sec).Truncate(time.Second), at(sec)})
		}
		return n
	}
	tests := []struct {
		name, part string
		change     func(n *nap)
		want       verdict
	}{
		{"all is well", "told", func(*nap) {}, held},
		{"all is well", "waits", func(*nap) {}, held},
		{"all is well", "woken", func(*nap) {}, held},
		{"all is well", "guest", func(*nap) {}, held},
		{"nobody was told", "told", func(n *nap) { n.told = nil }, failed},
		{"nobody was woken", "told", func(n *nap) { n.woken = nil }, failed},
		{"a guest could not be frozen", "waits", func(n *nap) { n.told[0].Error = "deadline" }, failed},
		{"the system did not wait", "waits", func(n *nap) { n.slept = at(0.5) }, failed},
		{"the guest ran on", "waits", func(n *nap) { n.ticks = append(n.ticks, tick{at(30), at(30)}) }, failed},
		{"woken before the system was", "woken", func(n *nap) { n.woke = at(65) }, failed},
		{"the guest's clock stood", "guest", func(n *nap) { n.ticks[4].guest = at(9) }, failed},
		{"the guest is silent", "guest", func(n *nap) { n.ticks = n.ticks[:2] }, failed},
		{"the kernel says nothing", "waits", func(n *nap) { n.slept, n.woke = time.Time{}, time.Time{} }, held},
		{"the kernel says nothing", "clock", func(n *nap) { n.slept, n.woke = time.Time{}, time.Time{} }, notRun},
		{"the clock went on", "clock", func(*nap) {}, failed}, // the time of a test does
	}
	for _, tt := range tests {
		n := good()
		tt.change(n)
		if got := n.judge()[tt.part]; got.verdict != tt.want {
			t.Errorf("%s: %s %v, want %s", tt.name, tt.part, got, tt.want)
		}
	}
}

func TestTimesOfPSAreRead(t *testing.T) {
	for text, want := range map[string]time.Duration{"0:01.23": 1230 * time.Millisecond, "00:00:07": 7 * time.Second, "1:02:03.5": 3723500 * time.Millisecond} {
		if got, err := parseCPU(text); err != nil || got.Round(time.Millisecond) != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	if _, err := parseCPU("-"); err == nil {
		t.Error("a dash was read")
	}
}
