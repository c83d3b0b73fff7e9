package board

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// replayHeader is the first line of a log. Each further line is an input:
// the count of instructions and the virtual nanoseconds at which the guest got
// it, what of the machine got it, and its bytes in hexadecimal. Time tells apart what
// came before a wait from what came after it.
const replayHeader = "arcbox inputs 2"

// inputBacklog is how many bytes for one receiver wait until the guest may have them.
const inputBacklog = uartBacklog

// maxReplayLine bounds a line of a log in bytes; no receiver takes more at once.
const maxReplayLine = 4 * inputBacklog

// An Outside takes input from outside a deterministic machine, for a device of its: what
// is typed on a virtio console, or how large its terminal is.
type Outside struct {
	Name   string // in logs; lower-case letters, digits and dashes
	Device int    // whose it is, of Config.Devices; the machine stands still until that is at rest
	// Give hands b to the device, which must not block. It is called between instructions.
	Give func(b []byte)
	// Room is how many bytes Give takes now. nil says that each input is whole, and
	// takes the place of one that the guest has not been given yet.
	Room func() int
}

// uartInput is the name of the PL011's Outside.
const uartInput = "ttyama0"

// outsideName is what a receiver may be called.
var outsideName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// An input is what came from outside, at a defined point.
type input struct {
	at    uint64 // instructions on all vCPUs
	ns    uint64 // since the machine was switched on
	to    string // name of an Outside
	bytes []byte
}

// due says whether the point has come.
func (i input) due(at, ns uint64) bool { return i.at <= at && i.ns <= ns }

// parseReplay reads a log. Its inputs must be in order.
func parseReplay(r io.Reader) ([]input, error) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), maxReplayLine)
	if !s.Scan() || s.Text() != replayHeader {
		return nil, errors.Join(fmt.Errorf("cannot replay: the log does not begin with %q", replayHeader), s.Err())
	}
	var list []input
	for n := 2; s.Scan(); n++ {
		in, err := parseInput(s.Text())
		if err != nil || len(list) > 0 && !list[len(list)-1].due(in.at, in.ns) {
			return nil, fmt.Errorf("cannot replay: line %d of the log is damaged or out of order", n)
		}
		list = append(list, in)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("cannot replay: %w", err)
	}
	return list, nil
}

func parseInput(line string) (input, error) {
	f := strings.Split(line, " ")
	if len(f) != 4 || !outsideName.MatchString(f[2]) {
		return input{}, errors.New("not four fields")
	}
	at, aerr := strconv.ParseUint(f[0], 10, 64)
	ns, nerr := strconv.ParseUint(f[1], 10, 64)
	b, berr := hex.DecodeString(f[3])
	return input{at, ns, f[2], b}, errors.Join(aerr, nerr, berr)
}

func (i input) String() string { return fmt.Sprintf("%d %d %s %x\n", i.at, i.ns, i.to, i.bytes) }

// inputs are what waits to be given to a deterministic guest: from outside, or
// with a replay from the log alone.
type inputs struct {
	record  io.Writer // nil for no log
	wake    func()
	sources []*source // does not change

	mu     sync.Mutex // guards what follows, and the sources' waiting
	replay bool
	logged []input // from a log
	err    error   // of record
}

// A source is an Outside with what waits for it.
type source struct {
	Outside
	room    chan struct{} // has a token when something was taken since waiting was full
	waiting []byte        // from outside, not yet given
}

func newSource(o Outside) *source { return &source{Outside: o, room: make(chan struct{}, 1)} }

// source is that of a name, nil for none.
func (i *inputs) source(name string) *source {
	for _, s := range i.sources {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// load makes this a replay of a log.
func (i *inputs) load(log io.Reader) error {
	list, err := parseReplay(log)
	if err != nil {
		return err
	}
	for _, in := range list {
		if i.source(in.to) == nil {
			return fmt.Errorf("cannot replay: the log has input for %s, which this machine does not have", in.to)
		}
	}
	i.replay, i.logged = true, list
	return nil
}

// add takes bytes from outside and says how many. A replay ignores them.
func (i *inputs) add(s *source, p []byte) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.replay {
		return len(p)
	}
	if s.Room == nil {
		s.waiting = s.waiting[:0]
	}
	n := min(len(p), inputBacklog-len(s.waiting))
	s.waiting = append(s.waiting, p[:n]...)
	i.wake()
	return n
}

// take is what the guest gets at a point, which it logs: of what waits no more
// than there is room for.
func (i *inputs) take(at, ns uint64) []input {
	i.mu.Lock()
	defer i.mu.Unlock()
	var due []input
	for len(i.logged) > 0 && i.logged[0].due(at, ns) {
		due = append(due, i.logged[0])
		i.logged = i.logged[1:]
	}
	for _, s := range i.sources {
		n := len(s.waiting)
		if n > 0 && s.Room != nil {
			n = min(n, s.Room())
		}
		if n == 0 {
			continue
		}
		in := input{at, ns, s.Name, slices.Clone(s.waiting[:n])}
		s.waiting = slices.Delete(s.waiting, 0, n)
		i.write(in.String())
		due = append(due, in)
		select {
		case s.room <- struct{}{}:
		default:
		}
	}
	return due
}

// write adds to the log and remembers the first failure.
func (i *inputs) write(line string) {
	if i.record == nil || i.err != nil {
		return
	}
	_, i.err = io.WriteString(i.record, line)
}

// next is the point at which a replay gives something next.
func (i *inputs) next() (in input, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.logged) == 0 {
		return input{}, false
	}
	return i.logged[0], true
}

func (i *inputs) failed() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.err
}
