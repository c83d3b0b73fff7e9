package board

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// replayHeader is the first line of a log. Each further line is an input:
// the count of instructions and the virtual nanoseconds at which the guest got
// it, and its bytes in hexadecimal. Time tells apart what came before a wait
// from what came after it.
const replayHeader = "arcbox inputs 1"

// maxReplayLine bounds a line of a log in bytes; the UART takes less at once.
const maxReplayLine = 4 * uartBacklog

// An input is what came from outside, at a defined point.
type input struct {
	at    uint64 // instructions on all vCPUs
	ns    uint64 // since the machine was switched on
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
	if len(f) != 3 {
		return input{}, errors.New("not three fields")
	}
	at, aerr := strconv.ParseUint(f[0], 10, 64)
	ns, nerr := strconv.ParseUint(f[1], 10, 64)
	b, berr := hex.DecodeString(f[2])
	return input{at, ns, b}, errors.Join(aerr, nerr, berr)
}

func (i input) String() string { return fmt.Sprintf("%d %d %x\n", i.at, i.ns, i.bytes) }

// inputs are what waits to be given to a deterministic guest: from outside, or
// with a replay from the log alone.
type inputs struct {
	record io.Writer // nil for no log
	wake   func()

	mu      sync.Mutex // guards what follows
	replay  bool
	waiting []byte  // from outside, not yet given
	logged  []input // from a log
	err     error   // of record
}

// add takes bytes from outside. A replay ignores them.
func (i *inputs) add(p []byte) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.replay {
		return len(p)
	}
	n := min(len(p), uartBacklog-len(i.waiting))
	i.waiting = append(i.waiting, p[:n]...)
	i.wake()
	return n
}

// take is what the guest gets at a point, which it logs: of what waits no more
// than room bytes.
func (i *inputs) take(at, ns uint64, room int) []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	var b []byte
	for len(i.logged) > 0 && i.logged[0].due(at, ns) {
		b = append(b, i.logged[0].bytes...)
		i.logged = i.logged[1:]
	}
	if n := min(len(i.waiting), room); n > 0 {
		b = slices.Clone(i.waiting[:n])
		i.waiting = slices.Delete(i.waiting, 0, n)
		i.write(input{at, ns, b}.String())
	}
	return b
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
