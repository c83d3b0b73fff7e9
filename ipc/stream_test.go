package ipc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type flowReq struct {
	Streams
	What string    `json:"what"`
	A    StreamRef `json:"a,omitempty"`
	B    StreamRef `json:"b,omitempty"`
}

type flowResp struct{}

var flow = Method[flowReq, flowResp]{Name: "test.flow"}

// flowing serves flow: what its handler does is said by What.
func flowing() *Mux {
	mux := NewMux()
	Handle(mux, flow, func(ctx context.Context, req *flowReq) (*flowResp, error) {
		if req.What == "refuse" {
			return nil, Errorf(WrongState, "cannot: not now")
		}
		if req.What == "ignore" {
			return &flowResp{}, nil
		}
		a, err := req.Accept(req.A)
		if err != nil {
			return nil, err
		}
		defer a.Close()
		switch req.What {
		case "echo":
			if _, err := io.Copy(a, a); err != nil {
				return nil, err
			}
			return &flowResp{}, a.CloseWrite()
		case "hold":
			<-ctx.Done()
		case "reset":
			a.Write([]byte("some"))
			a.Reset(Errorf("no-space", "cannot go on: the disk is full"))
		case "fill":
			_, err := io.Copy(a, neverEnds{})
			return nil, err
		}
		return &flowResp{}, nil
	})
	return mux
}

type neverEnds struct{}

func (neverEnds) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// transports are the kinds of stream that a connection must work over.
var transports = map[string]func(t *testing.T) (a, b io.ReadWriteCloser){
	"Unix socket pair": func(t *testing.T) (a, b io.ReadWriteCloser) {
		sock, file, err := Pair()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		other, err := net.FileConn(file)
		if err != nil {
			t.Fatal(err)
		}
		return sock, other
	},
	"stream of bytes only": func(*testing.T) (a, b io.ReadWriteCloser) { return net.Pipe() },
}

// joined makes two connections that serve mux to each other.
func joined(t *testing.T, transport string, mux *Mux) (*Conn, *Conn) {
	a, b := transports[transport](t)
	x, y := NewConn(a, mux), NewConn(b, mux)
	t.Cleanup(func() { x.Close(); y.Close() })
	return x, y
}

// start calls flow with one stream and gives it, and the channel on which the
// call's error will come.
func start(c *Conn, what string) (*Stream, chan error) {
	req := &flowReq{What: what}
	s, ref := req.Open()
	req.A = ref
	res := make(chan error, 1)
	go func() {
		_, err := Call(context.Background(), c, flow, req)
		res <- err
	}()
	return s, res
}

func TestStreamsCarryEverything(t *testing.T) {
	for name := range transports {
		t.Run(name, func(t *testing.T) {
			x, y := joined(t, name, flowing())
			var wg sync.WaitGroup
			for i, c := range []*Conn{x, y, x, y} { // both ends may call
				wg.Go(func() { echoes(t, c, uint64(i), 3<<20+i) })
			}
			wg.Wait()
			for _, c := range []*Conn{x, y} {
				if n := openStreams(c); n != 0 {
					t.Errorf("%d streams are left of calls that have ended", n)
				}
			}
		})
	}
}

func openStreams(c *Conn) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.streams)
}

// echoes sends n random bytes and compares what comes back.
func echoes(t *testing.T, c *Conn, seed uint64, n int) {
	s, res := start(c, "echo")
	defer s.Close()
	sent, got := sha256.New(), sha256.New()
	go func() {
		src := rand.NewChaCha8([32]byte{byte(seed)})
		io.CopyN(io.MultiWriter(s, sent), src, int64(n))
		s.CloseWrite()
	}()
	m, err := io.Copy(got, s)
	if err != nil || m != int64(n) {
		t.Errorf("%d bytes of %d came back: %v", m, n, err)
	}
	if err := <-res; err != nil {
		t.Error(err)
	}
	if !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Errorf("%d bytes came back changed", n)
	}
}

func TestStreamsEnd(t *testing.T) {
	tests := []struct {
		name, what string
		early      bool // act before the call is sent
		act        func(s *Stream)
		read       string
		want       []Code // one of which Read's error has; none for io.EOF
	}{
		{"in order", "echo", false, func(s *Stream) { s.Write([]byte("hi")); s.CloseWrite() }, "hi", nil},
		{"by the peer's reset, after what it wrote", "reset", false, func(*Stream) {}, "some", []Code{"no-space"}},
		// The answer of the call and the reset of the stream race.
		{"when the call is refused", "refuse", false, func(*Stream) {}, "", []Code{Cancelled, WrongState}},
		{"when the handler did not want it", "ignore", false, func(*Stream) {}, "", []Code{Cancelled}},
		{"when it is closed here", "hold", false, func(s *Stream) { s.Close() }, "", []Code{WrongState}},
		{"when it is closed here before it was sent", "hold", true, func(s *Stream) { s.Close() }, "", []Code{WrongState}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, _ := joined(t, "stream of bytes only", flowing())
				s, _ := start(x, tt.what)
				if !tt.early {
					synctest.Wait()
				}
				tt.act(s)
				got, err := io.ReadAll(s)
				var e *Error
				if errors.As(err, &e) != (tt.want != nil) || e != nil && !slices.Contains(tt.want, e.Code) || string(got) != tt.read {
					t.Errorf("read %q, %v; want %q and one of %q", got, err, tt.read, tt.want)
				}
			})
		})
	}
}

// A peer may have sent everything, and given the stream up, before the caller learns that the call is out.
func TestWhatAQuickPeerSentIsRead(t *testing.T) {
	s := newStream()
	s.prepare(&Conn{}, 1)
	for _, m := range []*message{{Type: typeData, data: []byte("all of it")}, {Type: typeEnd}, {Type: typeReset}} {
		if _, err := s.take(m); err != nil {
			t.Fatal(err)
		}
	}
	if !s.open() {
		t.Error("the stream counts as closed here")
	}
	if b, err := io.ReadAll(s); string(b) != "all of it" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	closed := newStream()
	closed.Close()
	closed.prepare(&Conn{}, 2)
	if closed.open() {
		t.Error("a stream that was closed before the call opens")
	}
}

func TestStreamsEndWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := joined(t, "stream of bytes only", flowing())
		s, res := start(x, "hold")
		synctest.Wait()
		wrote := make(chan error)
		go func() {
			_, err := io.Copy(s, neverEnds{})
			wrote <- err
		}()
		synctest.Wait() // the window is full
		y.Close()
		_, err := s.Read(make([]byte, 1))
		for what, err := range map[string]error{"Read": err, "Write": <-wrote} {
			if !errors.Is(err, ErrInterrupted) {
				t.Errorf("%s ended with %v, want interrupted", what, err)
			}
		}
		<-res
	})
}

// A reader that does not read holds up its own stream and nothing else, and
// what waits for it is no more than its window.
func TestFullStreamHoldsUpNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := joined(t, "stream of bytes only", flowing())
		full, _ := start(x, "fill")
		defer full.Close()
		synctest.Wait()
		if n := full.in.Len(); n != Window {
			t.Errorf("%d bytes wait for a reader, want the window of %d", n, Window)
		}
		echoes(t, x, 1, 1<<20)
		echoes(t, y, 2, 1<<20)
		if _, err := io.CopyN(io.Discard, full, 10*Window); err != nil {
			t.Errorf("the full stream does not go on: %v", err)
		}
	})
}

// Two busy streams share the connection about equally.
func TestStreamsAreFair(t *testing.T) {
	x, _ := joined(t, "Unix socket pair", flowing())
	var got [2]int64
	var wg sync.WaitGroup
	var end = make(chan struct{})
	for i := range got {
		s, _ := start(x, "fill")
		wg.Go(func() {
			defer s.Close()
			for buf := make([]byte, 16<<10); ; {
				select {
				case <-end:
					return
				default:
				}
				n, err := s.Read(buf)
				if got[i] += int64(n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	close(end)
	wg.Wait()
	slices.Sort(got[:])
	if got[0] == 0 || got[1]/got[0] >= 4 {
		t.Errorf("two equal streams carried %d and %d bytes", got[0], got[1])
	}
}

func TestTooManyStreamsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, _ := joined(t, "stream of bytes only", flowing())
		for range MaxStreams {
			s, _ := start(x, "hold")
			defer s.Close()
		}
		synctest.Wait()
		s, res := start(x, "hold")
		var e *Error
		if err := <-res; !errors.As(err, &e) || e.Code != Busy {
			t.Errorf("stream %d: %v, want code %s", MaxStreams+1, err, Busy)
		}
		if _, err := s.Write([]byte("x")); err == nil {
			t.Error("the stream of a refused call takes bytes")
		}
	})
}

func TestDescriptorsNeedAUnixSocket(t *testing.T) {
	x, _ := joined(t, "stream of bytes only", flowing())
	req := &echoReq{}
	req.File = req.Attach(os.Stdin)
	if _, err := Call(context.Background(), x, echo, req); err == nil || x.Err() != nil {
		t.Errorf("a descriptor over a pipe: %v; then the connection: %v", err, x.Err())
	}
}

type count struct {
	N int `json:"n"`
}

func TestNotesComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tick, odd := Note[count]{Name: "test.tick"}, Note[count]{Name: "test.nobody-knows"}
		var got []int
		mux := NewMux()
		OnNote(mux, tick, func(_ context.Context, c *count) { got = append(got, c.N) })
		a, b := net.Pipe()
		x, y := NewConn(a, nil), NewConn(b, mux)
		defer x.Close()
		for i := range 100 {
			if err := errors.Join(Send(x, tick, &count{i}), Send(x, odd, &count{i})); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		y.Close()
		if len(got) != 100 || !slices.IsSorted(got) {
			t.Errorf("of 100 notes these came: %v", got)
		}
		<-x.Done()
		if err := Send(x, tick, &count{}); !errors.Is(err, ErrInterrupted) {
			t.Errorf("a note to a peer that is gone: %v", err)
		}
	})
}

// data is a data frame.
func data(stream int32, n int) []byte {
	b := binary.BigEndian.AppendUint32(nil, 1<<24|uint32(4+n))
	return append(binary.BigEndian.AppendUint32(b, uint32(stream)), make([]byte, n)...)
}

// opens is a call that opens streams.
const opens = `{"type":"call","id":1,"method":"test.flow","streams":[1],"body":{"what":"hold","a":1}}`

func TestPeersThatLieAboutStreams(t *testing.T) {
	flood := frame(opens)
	for range Window / MaxData {
		flood = append(flood, data(1, MaxData)...)
	}
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	again := strings.Replace(opens, `"id":1`, `"id":2`, 1)
	tests := []struct {
		name string
		sent []byte
		want error
	}{
		{"data within the credit, then the end", flood, ErrInterrupted},
		{"one byte beyond the credit", join(flood, data(1, 1)), ErrInvalid},
		{"data for a stream that was never opened", data(1, 5), ErrInvalid},
		{"data for a stream of ours that is not", data(-1, 5), ErrInvalid},
		{"data for stream 0", data(0, 5), ErrInvalid},
		{"data frame without data", data(1, 0), ErrInvalid},
		{"data frame longer than allowed", join(frame(opens), data(1, MaxData+1)), ErrInvalid},
		{"data after the end", join(frame(opens), frame(`{"type":"end","stream":1}`), data(1, 1)), ErrInvalid},
		{"data after a reset", join(frame(opens), frame(`{"type":"reset","stream":1}`), data(1, 1)), ErrInterrupted},
		{"two ends", join(frame(opens), frame(`{"type":"end","stream":1}`), frame(`{"type":"end","stream":1}`)), ErrInvalid},
		{"credit beyond the window", join(frame(opens), frame(`{"type":"credit","stream":1,"credit":1}`)), ErrInvalid},
		{"negative credit", join(frame(opens), frame(`{"type":"credit","stream":1,"credit":-5}`)), ErrInvalid},
		{"a stream opened twice", join(frame(opens), frame(again)), ErrInvalid},
		{"two calls with one number", join(frame(opens), frame(strings.Replace(opens, "[1]", "[2]", 1))), ErrInvalid},
		{"a negative stream opened", frame(strings.Replace(opens, "[1]", "[-1]", 1)), ErrInvalid},
		{"more streams than a call may open", frame(strings.Replace(opens, "[1]", "[1,2,3,4,5,6,7,8,9]", 1)), ErrInvalid},
		{"a note that opens streams", frame(`{"type":"note","method":"x","streams":[1]}`), ErrInvalid},
		{"a note of nothing", frame(`{"type":"note"}`), ErrInvalid},
		{"data as text", frame(`{"type":"data","stream":1}`), ErrInvalid},
		{"unknown kind of frame", []byte{9, 0, 0, 1, 'x'}, ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := net.Pipe()
			conn := NewConn(a, flowing())
			defer conn.Close()
			go io.Copy(io.Discard, b)
			b.Write(hello)
			b.Write(tt.sent)
			b.Close()
			<-conn.Done()
			if !errors.Is(conn.Err(), tt.want) {
				t.Errorf("the connection ended with %v, want %v", conn.Err(), tt.want)
			}
		})
	}
}

// FuzzFrames feeds any bytes to the decoder, cut anywhere: it must end with an
// error, give only messages that pass their own check, and hold no more than a
// frame.
func FuzzFrames(f *testing.F) {
	f.Add(frame(opens), uint8(3))
	f.Add(slices.Concat(frame(opens), data(1, 9), frame(`{"type":"end","stream":1}`)), uint8(1))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint8(0))
	f.Fuzz(func(t *testing.T, sent []byte, cut uint8) {
		w := Bytes(chunks{bytes.NewReader(sent), int(cut) + 1}).(*byteWire)
		for {
			frame, _, err := w.Receive()
			if err != nil {
				break
			}
			m, err := parse(frame)
			if err != nil {
				continue
			}
			if m.Type == typeData && (len(m.data) == 0 || len(m.data) > MaxData) {
				t.Fatalf("%d bytes of data", len(m.data))
			}
			if m.Type != typeData && m.check() != nil {
				t.Fatalf("a message that is none: %+v", m)
			}
		}
		if cap(w.buf) > MaxFrame+MaxData {
			t.Fatalf("the decoder holds %d bytes", cap(w.buf))
		}
	})
}

// chunks gives at most n bytes at a time.
type chunks struct {
	r io.Reader
	n int
}

func (c chunks) Read(p []byte) (int, error)  { return c.r.Read(p[:min(len(p), c.n)]) }
func (c chunks) Write(p []byte) (int, error) { return len(p), nil }
func (c chunks) Close() error                { return nil }

// FuzzStreams feeds any bytes to a connection that serves streams: it must end.
func FuzzStreams(f *testing.F) {
	echoed := strings.Replace(opens, "hold", "echo", 1)
	f.Add(slices.Concat(frame(echoed), data(1, 100), frame(`{"type":"end","stream":1}`)))
	f.Add(slices.Concat(frame(echoed), frame(`{"type":"reset","stream":1}`), data(1, 7)))
	f.Add(slices.Concat(frame(opens), frame(`{"type":"cancel","id":1}`), frame(`{"type":"note","method":"x"}`)))
	f.Fuzz(func(t *testing.T, sent []byte) {
		a, b := net.Pipe()
		conn := NewConn(a, flowing())
		drained := make(chan struct{})
		go func() { io.Copy(io.Discard, b); close(drained) }()
		b.Write(hello)
		b.Write(sent)
		b.Close()
		conn.Close()
		<-drained
	})
}
