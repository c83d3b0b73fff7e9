// Command bench measures ArcBox beside its peers and prints a table. Every
// figure is the median of interleaved rounds: ours, the peer, ours, the peer. A
// ratio always reads "higher is better, 1 is the peer".
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"text/tabwriter"
)

// A figure is one row of the table and of bench.json. Values are in Unit.
type figure struct {
	Name       string   `json:"name"`
	Unit       string   `json:"unit"`
	Ours       float64  `json:"ours"`
	Peer       string   `json:"peer,omitempty"`
	PeerValue  *float64 `json:"peer_value"`
	Floor      string   `json:"floor,omitempty"`
	FloorValue *float64 `json:"floor_value"`
	Ratio      *float64 `json:"ratio"`
	Rounds     int      `json:"rounds"`
}

// A suite makes figures that are measured together.
type suite struct {
	names  []string
	rounds int
	// round measures everything once and adds what it measured.
	round func(s *samples) error
	peer  string // who the peer is
	unit  string
	more  bool // is better; otherwise less is
}

// samples are the measurements of a suite by name.
type samples struct{ ours, peer map[string][]float64 }

func main() {
	only := flag.String("only", "", "measure what this `regexp` matches")
	out := flag.String("out", "build/bench.json", "write the figures to `FILE`")
	rounds := flag.Int("rounds", 0, "rounds of each; 0 for each suite's own number")
	flag.Parse()
	if err := run(*only, *out, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(only, out string, rounds int) error {
	match, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("cannot use -only: %w", err)
	}
	suites, err := guestSuites()
	if err != nil {
		return err
	}
	var all []figure
	for _, s := range suites {
		if !slices.ContainsFunc(s.names, match.MatchString) {
			continue
		}
		if rounds > 0 {
			s.rounds = rounds
		}
		figures, err := s.measure()
		if err != nil {
			return fmt.Errorf("cannot measure %v: %w", s.names, err)
		}
		all = append(all, slices.DeleteFunc(figures, func(f figure) bool { return !match.MatchString(f.Name) })...)
	}
	if len(all) == 0 {
		return fmt.Errorf("nothing is called %q", only)
	}
	printTable(all)
	return writeJSON(out, all)
}

// measure runs a suite's rounds and takes medians.
func (s *suite) measure() ([]figure, error) {
	got := &samples{map[string][]float64{}, map[string][]float64{}}
	for n := range s.rounds {
		fmt.Fprintf(os.Stderr, "bench: %v, round %d of %d\n", s.names, n+1, s.rounds)
		if err := s.round(got); err != nil {
			return nil, err
		}
	}
	var figures []figure
	for _, name := range s.names {
		ours, peer := median(got.ours[name]), median(got.peer[name])
		ratio := peer / ours
		if s.more {
			ratio = ours / peer
		}
		figures = append(figures, figure{
			Name: name, Unit: s.unit, Ours: ours, Peer: s.peer, PeerValue: &peer, Ratio: &ratio, Rounds: s.rounds,
		})
	}
	return figures, nil
}

// median of xs, which must not be empty.
func median(xs []float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	if len(xs) == 0 {
		return math.NaN()
	}
	return (xs[(len(xs)-1)/2] + xs[len(xs)/2]) / 2
}

func printTable(all []figure) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "name\tunit\tours\tpeer\tratio\trounds\t")
	for _, f := range all {
		fmt.Fprintf(w, "%s\t%s\t%.4g\t%s\t%s\t%d\t\n", f.Name, f.Unit, f.Ours, number(f.PeerValue), number(f.Ratio), f.Rounds)
	}
	w.Flush()
}

func number(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.4g", *v)
}

func writeJSON(path string, all []figure) error {
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
