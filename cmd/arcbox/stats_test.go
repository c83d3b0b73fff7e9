package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

func TestRatesAreOfTheTimeBetween(t *testing.T) {
	at := time.Now()
	a := &agentapi.MachineStats{Time: at, CPUSeconds: 1, DiskRead: 1000}
	b := &agentapi.MachineStats{Time: at.Add(2 * time.Second), CPUSeconds: 2, DiskRead: 5000}
	if s := (&sample{b, a}); s.cpu() != 50 || s.rate(diskRead) != 2000 {
		t.Errorf("cpu %v, read %v; want 50 and 2000", s.cpu(), s.rate(diskRead))
	}
	if s := (&sample{a, b}); s.cpu() != 0 || s.rate(diskRead) != 0 {
		t.Error("a counter that began anew is no rate")
	}
	if s := (&sample{a, nil}); s.cpu() != 0 {
		t.Error("one round is no rate")
	}
}

func TestPictures(t *testing.T) {
	tests := []struct {
		got, want string
	}{
		{spark([]float64{0, 50, 100}, 5, 100), "   ▅█"},
		{spark([]float64{0, 1, 2}, 3, 0), " ▅█"},
		{spark([]float64{9, 0, 0}, 2, 0), "  "},
		{gauge(1, 2, 4), "██░░"},
		{gauge(5, 0, 2), "░░"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
	v := &topView{}
	s := &sample{now: &agentapi.MachineStats{Time: time.Now(), Machine: agentapi.Machine{Name: "default", State: "running", CPUs: 2, Memory: 1 << 30}, Guest: &agentapi.GuestStats{MemTotal: 1 << 30, MemAvail: 2 << 30}}}
	for range 100 {
		for _, line := range strings.Split(v.draw(s, 80, false), "\r\n") {
			if utf8.RuneCountInString(line) > 120 {
				t.Fatalf("a line has %d characters: %s", utf8.RuneCountInString(line), line)
			}
		}
	}
}

func TestTablesAlignWhateverTheColour(t *testing.T) {
	var b strings.Builder
	tb := newTable(&b, "A", "B")
	tb.row(paint(true).in(red, "long word"), "x")
	tb.row("s", "y")
	if err := tb.print(); err != nil {
		t.Fatal(err)
	}
	if want := "A          B\n\x1b[31mlong word\x1b[0m  x\ns          y\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}
