package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// hvfSuite measures the run loop of package hvf on the stand-in of Apple's framework beside
// hv/soft, which the stand-in executes guests with: what remains is the binding's part and
// the stand-in's. Engines are no business of this program: a test binary measures.
func hvfSuite() *suite {
	return &suite{
		names: []string{"hvf.exit.hvc", "hvf.exit.mmio"}, rounds: 5, peer: "hv/soft alone", unit: "ns",
		round: func(s *samples) error {
			out, err := exec.Command("go", "test", "-tags", "macshim", "-run", "^$", "-bench", "Exit", "-benchtime", "50000x", "./hv/hvf").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			return addExits(s, string(out))
		},
	}
}

var exitLine = regexp.MustCompile(`(?m)^BenchmarkExit/(\w+)/(\w+)(?:-\d+)?\s+\d+\s+([0-9.]+) ns/op`)

// addExits takes the figures out of what the benchmark printed.
func addExits(s *samples, text string) error {
	got := map[string]float64{}
	for _, m := range exitLine.FindAllStringSubmatch(text, -1) {
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return err
		}
		got[m[1]+"."+m[2]] = v
	}
	for _, kind := range []string{"hvc", "mmio"} {
		ours, peer := got["hvf."+kind], got["soft."+kind]
		if ours == 0 || peer == 0 {
			return fmt.Errorf("no figures of %s in:\n%s", kind, text)
		}
		s.add("hvf.exit."+kind, ours, peer)
	}
	return nil
}
