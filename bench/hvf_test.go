package main

import "testing"

func TestExitsAreReadFromTheBenchmark(t *testing.T) {
	s := &samples{map[string][]float64{}, map[string][]float64{}, map[string][]float64{}}
	text := "BenchmarkExit/hvf/hvc-2  \t 50000\t 1992 ns/op\t 0 B/op\nBenchmarkExit/hvf/mmio  50000  2635.5 ns/op\n" +
		"BenchmarkExit/soft/hvc-2  50000  410.5 ns/op\nBenchmarkExit/soft/mmio-16  50000  785 ns/op\n"
	if err := addExits(s, text); err != nil {
		t.Fatal(err)
	}
	if s.ours["hvf.exit.mmio"][0] != 2635.5 || s.peer["hvf.exit.hvc"][0] != 410.5 {
		t.Errorf("ours %v, peer %v", s.ours, s.peer)
	}
	if err := addExits(s, text[:60]); err == nil {
		t.Error("half of the figures are enough")
	}
}
