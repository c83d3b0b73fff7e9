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

// A figure is one row of the table and of bench.json. Values are in Unit. Ratio
// compares with the peer, FloorRatio with the floor: the least that any such thing costs.
type figure struct {
	Name       string   `json:"name"`
	Unit       string   `json:"unit"`
	Ours       float64  `json:"ours"`
	Peer       string   `json:"peer,omitempty"`
	PeerValue  *float64 `json:"peer_value"`
	Ratio      *float64 `json:"ratio"`
	Floor      string   `json:"floor,omitempty"`
	FloorValue *float64 `json:"floor_value"`
	FloorRatio *float64 `json:"floor_ratio"`
	Rounds     int      `json:"rounds"`
}

// A suite makes figures that are measured together.
type suite struct {
	names  []string
	rounds int
	// round measures everything once and adds what it measured.
	round func(s *samples) error
	peer  string // who the peer is
	floor string // what the floor is, "" for none
	unit  string
	more  bool   // more is better
	end   func() // called after the last round; nil for nothing
}

// samples are the measurements of a suite by name.
type samples struct{ ours, peer, floor map[string][]float64 }

func main() {
	if program := os.Getenv(keeperVar); program != "" {
		end(keep(program))
	}
	if os.Getenv(bareVar) != "" {
		end(bare())
	}
	only := flag.String("only", "", "measure what this `regexp` matches")
	out := flag.String("out", "build/bench.json", "write the figures to `FILE`")
	rounds := flag.Int("rounds", 0, "rounds of each; 0 for each suite's own number")
	flag.Parse()
	end(run(*only, *out, *rounds))
}

// end ends this process, with what went wrong.
func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(only, out string, rounds int) error {
	match, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("cannot use -only: %w", err)
	}
	suites := slices.Concat(blkSuites(), vsockSuites(), []*suite{allocSuite(), hvfSuite(), netSuite()}, rpcSuites(), relaySuites())
	guests, err := guestSuites()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: figures with a guest are left out: %v\n", err)
	}
	suites = append(suites, guests...)
	suites = append(suites, frontSuites()...)
	suites = append(suites, dockerSuites()...)
	suites = append(suites, machineSuites(filepath.Join("bin", "arcbox-vm"))...)
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
	if s.end != nil {
		defer s.end()
	}
	got := &samples{map[string][]float64{}, map[string][]float64{}, map[string][]float64{}}
	for n := range s.rounds {
		fmt.Fprintf(os.Stderr, "bench: %v, round %d of %d\n", s.names, n+1, s.rounds)
		if err := s.round(got); err != nil {
			return nil, err
		}
	}
	var figures []figure
	for _, name := range s.names {
		f := figure{Name: name, Unit: s.unit, Ours: median(got.ours[name]), Peer: s.peer, Floor: s.floor, Rounds: s.rounds}
		f.PeerValue, f.Ratio = s.beside(f.Ours, got.peer[name])
		f.FloorValue, f.FloorRatio = s.beside(f.Ours, got.floor[name])
		figures = append(figures, f)
	}
	return figures, nil
}

// beside compares ours with what others took. Both are nil where there is nothing to compare with.
func (s *suite) beside(ours float64, others []float64) (value, ratio *float64) {
	if len(others) == 0 {
		return nil, nil
	}
	v := median(others)
	r := v / ours
	if s.more {
		r = ours / v
	}
	if math.IsNaN(r) || math.IsInf(r, 0) { // a count of 0
		return &v, nil
	}
	return &v, &r
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
	fmt.Fprintln(w, "name\tunit\tours\tpeer\tratio\tfloor\tratio\trounds\t")
	for _, f := range all {
		fmt.Fprintf(w, "%s\t%s\t%.4g\t%s\t%s\t%s\t%s\t%d\t\n", f.Name, f.Unit, f.Ours,
			number(f.PeerValue), number(f.Ratio), number(f.FloorValue), number(f.FloorRatio), f.Rounds)
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
