package ipc

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
)

// MaxItem is the longest JSON text of a feed's item in bytes.
const MaxItem = 128 << 10

// A Feed is a method that is answered with a sequence of items, as they come: events, lines of
// a log, progress. It goes at the pace of whoever takes the items, and holds nothing
// else up. The request may embed Files; items carry no descriptors.
type Feed[Req, Item any] struct {
	Name string // "service.verb"
	Need Access // what a peer must be allowed to call it; zero is Control
}

// A Sink is where the handler of a feed puts items. Any goroutine may use it, until the
// handler returns.
type Sink[Item any] struct {
	sending sync.Mutex // held for the whole of an item
	stream  *Stream
}

// An Encoded item can be sent to any number of sinks at the price of encoding it once.
type Encoded[Item any] struct{ line []byte }

// Encode makes an item's text. Error: it is longer than MaxItem, or no JSON.
func Encode[Item any](item *Item) (Encoded[Item], error) {
	text, err := json.Marshal(item)
	if err != nil {
		return Encoded[Item]{}, fmt.Errorf("cannot send an item: %w", err)
	}
	if len(text) > MaxItem {
		return Encoded[Item]{}, fmt.Errorf("cannot send an item of %d bytes: at most %d are allowed", len(text), MaxItem)
	}
	return Encoded[Item]{append(text, '\n')}, nil
}

// Send sends an item, and waits while 256 KiB of items wait for the peer to take them.
// Errors: those of Encode, after which the next can be sent; why the feed is over.
func (s *Sink[Item]) Send(item *Item) error {
	e, err := Encode(item)
	if err != nil {
		return err
	}
	return s.SendEncoded(e)
}

// SendEncoded is Send for an item that is encoded already.
func (s *Sink[Item]) SendEncoded(e Encoded[Item]) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	_, err := s.stream.Write(e.line)
	return err
}

// HandleFeed lets h serve feed f: what it puts into the sink is taken by the caller, in order,
// and then comes what it returns. ctx ends when the caller gives up or the connection
// ends, and Send then fails. A second handler for a name is a bug in the program
// and panics.
func HandleFeed[Req, Item any](mux *Mux, f Feed[Req, Item], h func(context.Context, *Req, *Sink[Item]) error) {
	mux.add(f.Name, f.Need, func(call *message) handler {
		if len(call.streams) != 1 {
			return failing(Errorf(BadRequest, "cannot answer %s: the call must open one stream for the items, and opens %d", f.Name, len(call.streams)))
		}
		s := call.streams[0]
		call.streams = nil
		req := new(Req)
		if err := decode(call, req); err != nil {
			s.Close()
			return failing(Errorf(BadRequest, "cannot read the request of %s: %v", f.Name, err))
		}
		return func(ctx context.Context) (*message, error) {
			defer s.Close()
			defer context.AfterFunc(ctx, func() { s.lose(context.Cause(ctx)) })()
			if err := errors.Join(h(ctx, req, &Sink[Item]{stream: s}), s.CloseWrite()); err != nil {
				return nil, err
			}
			return &message{}, nil
		}
	})
}

// Subscribe calls feed f and ranges over its items. The call begins with the range and ends
// with it. An error, beside which the item is nil, is the last: that of the
// handler, or those of Call. A feed that ends well ends the range.
//
//	for ev, err := range ipc.Subscribe(ctx, conn, agentapi.Events, req) {
//		if err != nil {
//			return err
//		}
//		...
//	}
func Subscribe[Req, Item any](ctx context.Context, c *Conn, f Feed[Req, Item], req *Req) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		call := encode(req)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s := newStream()
		call.Method, call.streams = f.Name, []*Stream{s}
		result := make(chan error, 1)
		go func() {
			err := c.roundTrip(ctx, call, &struct{}{})
			s.lose(cmp.Or(err, errNoEnd)) // what came is still read
			result <- err
		}()
		more, err := takeItems(f.Name, s, yield)
		if err == nil && more { // they ended in order, and the reply says how
			if err = <-result; err == nil {
				s.Close()
				return
			}
			result <- err
		}
		s.Close()
		cancel()
		if cause := <-result; more {
			yield(nil, cmp.Or(err, cause))
		}
	}
}

// errNoEnd: a feed was answered before its items had come to their end.
var errNoEnd = violation("a feed was cut off by its reply")

// takeItems gives every item that comes to yield, until the end or until yield wants no more.
func takeItems[Item any](name string, r io.Reader, yield func(*Item, error) bool) (more bool, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, MaxItem+1)
	lines.Split(wholeLines)
	for lines.Scan() {
		item := new(Item)
		if err := json.Unmarshal(lines.Bytes(), item); err != nil {
			return true, fmt.Errorf("cannot read an item of %s: %w", name, err)
		}
		if !yield(item, nil) {
			return false, nil
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return true, fmt.Errorf("cannot read an item of %s: it has more than %d bytes", name, MaxItem)
	} else if err != nil {
		return true, err
	}
	return true, nil
}

// wholeLines splits at newlines, and drops a line that was cut off.
func wholeLines(data []byte, _ bool) (advance int, line []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	return 0, nil, nil
}
