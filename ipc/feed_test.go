package ipc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// serveOver connects a client to a server of mux by Memory wires.
func serveOver(t *testing.T, mux *Mux) *Conn {
	t.Helper()
	a, b := Memory()
	server, client := NewConnOver(a, mux), NewConnOver(b, nil)
	t.Cleanup(func() { client.Close(); server.Close() })
	return client
}

func TestFeedGoesAtTheReadersPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64
		mux := NewMux()
		HandleFeed(mux, numbers, func(_ context.Context, _ *afterReq, out *Sink[number]) error {
			for {
				if err := out.Send(&number{int(sent.Load())}); err != nil {
					return err
				}
				sent.Add(1)
			}
		})
		a, b := Memory()
		server, client := NewConnOver(a, mux), NewConnOver(b, nil)
		defer server.Close()
		defer client.Close()
		for range Subscribe(t.Context(), client, numbers, &afterReq{}) {
			synctest.Wait() // nothing goes on but this range
			if _, err := Call(t.Context(), client, Ping, &struct{}{}); err != nil {
				t.Errorf("beside a feed that stands still: %v", err)
			}
			break
		}
		if n, most := int(sent.Load()), Window/len("{\"N\":1}\n"); n < 100 || n > most {
			t.Errorf("%d items were sent to a reader that took one, want some and at most %d", n, most)
		}
	})
}

func TestItemsAreBounded(t *testing.T) {
	type text struct{ S string }
	texts := Feed[struct{}, text]{Name: "test.texts"}
	mux := NewMux()
	HandleFeed(mux, texts, func(_ context.Context, _ *struct{}, out *Sink[text]) error {
		if err := out.Send(&text{strings.Repeat("x", MaxItem)}); err == nil {
			t.Error("an item longer than MaxItem was sent")
		}
		return out.Send(&text{strings.Repeat("x", MaxItem-len(`{"S":""}`))})
	})
	n := 0
	for item, err := range Subscribe(t.Context(), serveOver(t, mux), texts, &struct{}{}) {
		if err != nil || len(item.S) != MaxItem-8 {
			t.Errorf("got %v", err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d items came, want 1", n)
	}
}

func TestFeedsThatLie(t *testing.T) {
	tests := []struct{ name, sent string }{
		{"an item that is no JSON", "hello\n"},
		{"an item of another type", "[1]\n"},
		{"an item that never ends", strings.Repeat("x", MaxItem+1)},
		{"a reply before the end", "{}\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			type req struct{ Streams }
			mux := NewMux()
			Handle(mux, Method[req, struct{}]{Name: numbers.Name}, func(_ context.Context, r *req) (*struct{}, error) {
				s, err := r.Accept(1)
				if err == nil {
					defer s.Close()
					_, err = s.Write([]byte(tt.sent))
				}
				return &struct{}{}, err
			})
			var last error
			for _, err := range Subscribe(t.Context(), serveOver(t, mux), numbers, &afterReq{}) {
				last = err
			}
			if last == nil {
				t.Error("the range ended well")
			}
		})
	}
}

func TestFeedRefused(t *testing.T) {
	type req struct{}
	mux := NewMux()
	HandleFeed(mux, numbers, func(context.Context, *afterReq, *Sink[number]) error { return nil })
	client := serveOver(t, mux)
	refused := func(name string, err error, want Code) {
		var e *Error
		if !errors.As(err, &e) || e.Code != want {
			t.Errorf("%s: %v, want code %s", name, err, want)
		}
	}
	_, err := Call(t.Context(), client, Method[req, req]{Name: numbers.Name}, &req{})
	refused("a feed that is called as a method", err, BadRequest)
	for _, err = range Subscribe(t.Context(), client, Feed[req, req]{Name: "no.such"}, &req{}) {
	}
	refused("a feed that is not there", err, NoMethod)
	for item, err := range Subscribe(t.Context(), client, numbers, &afterReq{}) {
		t.Errorf("an empty feed has %v, %v", item, err)
	}
}

// FuzzItems feeds any bytes to the reader of a feed's items, cut anywhere: it must end, and give
// only items that are JSON and within bounds.
func FuzzItems(f *testing.F) {
	f.Add([]byte("{\"N\":1}\n{\"N\":2}\n"), uint8(3))
	f.Add([]byte("{\"N\":1}\nnonsense\n\n"), uint8(200))
	f.Add([]byte("{\"N\":1}"), uint8(0))
	f.Fuzz(func(t *testing.T, sent []byte, cut uint8) {
		n := 0
		_, err := takeItems("fuzz", chunks{bytes.NewReader(sent), int(cut) + 1}, func(item *json.RawMessage, _ error) bool {
			if n++; len(*item) > MaxItem || !json.Valid(*item) {
				t.Errorf("an item of %d bytes that is no JSON, or too long: %.99q", len(*item), *item)
			}
			return true
		})
		if lines := bytes.Count(sent, []byte("\n")); n > lines || err == nil && n < lines {
			t.Errorf("%d items came of %d lines, %v", n, lines, err)
		}
	})
}
