// Package ipctest holds every transport of ipc to the same behaviour.
package ipctest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// A Transport is what the suite needs of one.
type Transport struct {
	// Listen makes a listener and what dials it.
	Listen func(t *testing.T) (ipc.Listener, func() (ipc.Wire, error))
	// Descriptors says that the transport carries them.
	Descriptors bool
}

// Run holds a transport to what ipc.Wire and ipc.Listener promise, and then has a server and
// clients use it.
func Run(t *testing.T, tr Transport) {
	tests := []struct {
		name string
		test func(*testing.T, Transport)
	}{
		{"frames arrive whole and in order", framesArrive},
		{"senders do not mix their frames", sendersDoNotMix},
		{"the longest frame", longestFrame},
		{"an end is read after what was sent before", endComesLast},
		{"close wakes whoever waits", closeWakes},
		{"descriptors come with their frame", descriptorsTravel},
		{"descriptors that nobody takes are closed", descriptorsAreClosed},
		{"the kernel says who it is", peerIsKnown},
		{"a closed listener", closedListener},
		{"calls, both ways", calls},
		{"a call is cancelled", cancelled},
		{"streams", streams},
		{"feeds", feeds},
		{"a peer that goes", peerGoes},
		{"a peer that may not", peerMayNot},
		{"a shutdown waits for calls", shutdownDrains},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, tr) })
	}
}

// pair makes a connected pair of wires.
func pair(t *testing.T, tr Transport) (near, far ipc.Wire) {
	t.Helper()
	l, dial := tr.Listen(t)
	defer l.Close()
	accepted := make(chan error, 1)
	go func() {
		var err error
		far, err = l.Accept()
		accepted <- err
	}()
	near, err := dial()
	if err := errors.Join(err, <-accepted); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// data is a data frame, which holds its number and n bytes that follow from it.
func data(number, n int) []byte {
	frame := binary.BigEndian.AppendUint32(nil, 1<<24|uint32(4+n))
	frame = binary.BigEndian.AppendUint32(frame, uint32(number))
	return append(frame, bytes.Repeat([]byte{byte(number)}, n)...)
}

func framesArrive(t *testing.T, tr Transport) {
	near, far := pair(t, tr)
	const n = 2000
	go func() {
		for i := range n {
			if err := near.Send(t.Context(), data(i, 1+i%300), nil); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := range n {
		frame, _, err := far.Receive()
		if err != nil || !bytes.Equal(frame, data(i, 1+i%300)) {
			t.Fatalf("frame %d came as %q, %v", i, frame, err)
		}
	}
}

func sendersDoNotMix(t *testing.T, tr Transport) {
	near, far := pair(t, tr)
	const senders, n = 8, 50
	for s := range senders {
		go func() {
			for range n {
				if err := near.Send(t.Context(), data(s, ipc.MaxData), nil); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	for range senders * n {
		frame, _, err := far.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if s := int(frame[7]); !bytes.Equal(frame, data(s, ipc.MaxData)) {
			t.Fatalf("a frame of sender %d is mixed with another", s)
		}
	}
}

func longestFrame(t *testing.T, tr Transport) {
	near, far := pair(t, tr)
	frame := append(binary.BigEndian.AppendUint32(nil, ipc.MaxFrame), bytes.Repeat([]byte("x"), ipc.MaxFrame)...)
	go near.Send(t.Context(), frame, nil)
	got, _, err := far.Receive()
	if err != nil || !bytes.Equal(got, frame) {
		t.Errorf("%d bytes came as %d, %v", len(frame), len(got), err)
	}
}

func endComesLast(t *testing.T, tr Transport) {
	near, far := pair(t, tr)
	near.Send(t.Context(), data(1, 10), nil)
	near.Send(t.Context(), data(2, 10), nil)
	near.Close()
	for i := 1; i <= 2; i++ {
		if frame, _, err := far.Receive(); err != nil || !bytes.Equal(frame, data(i, 10)) {
			t.Errorf("frame %d came as %q, %v", i, frame, err)
		}
	}
	if _, _, err := far.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end came %v, want EOF", err)
	}
	if err := near.Send(t.Context(), data(3, 1), nil); err == nil || errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("sending after Close: %v", err)
	}
}

func closeWakes(t *testing.T, tr Transport) {
	near, far := pair(t, tr)
	woken := make(chan error, 2)
	go func() {
		_, _, err := near.Receive()
		woken <- err
	}()
	go func() { // until the other end, who does not read, takes no more
		var err error
		for err == nil {
			err = near.Send(t.Context(), data(1, ipc.MaxData), nil)
		}
		woken <- err
	}()
	// Neither can be seen to wait; often they do by now, and they must end in any case.
	time.Sleep(20 * time.Millisecond)
	near.Close()
	for range 2 {
		if err := <-woken; err == nil {
			t.Error("woken without an error")
		}
	}
	far.Close()
}

func descriptorsTravel(t *testing.T, tr Transport) {
	near, far := pair(t, tr)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if !tr.Descriptors {
		if err := near.Send(t.Context(), data(1, 1), []*os.File{w}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("sending a descriptor: %v, want ErrUnsupported", err)
		}
		w.Close()
		return
	}
	if err := errors.Join(near.Send(t.Context(), data(1, 1), nil), near.Send(t.Context(), data(2, 1), []*os.File{w, r}), near.Send(t.Context(), data(3, 1), nil)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var files []*os.File
	for i := 1; i <= 2; i++ {
		_, came, err := far.Receive()
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, came...)
	}
	if len(files) != 2 {
		t.Fatalf("%d descriptors came with the second frame or before, want 2", len(files))
	}
	fmt.Fprint(files[0], "through")
	files[0].Close()
	files[1].Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "through" {
		t.Errorf("read %q, %v", got, err)
	}
}

func descriptorsAreClosed(t *testing.T, tr Transport) {
	if !tr.Descriptors {
		t.Skip("this transport carries none")
	}
	for _, received := range []bool{false, true} {
		near, far := pair(t, tr)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := near.Send(t.Context(), data(1, 1), []*os.File{w}); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if received {
			_, files, _ := far.Receive()
			for _, f := range files {
				f.Close()
			}
		}
		near.Close()
		far.Close()
		// The end of the pipe shows that nobody holds w any more.
		if n, err := io.Copy(io.Discard, r); n != 0 || err != nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
		r.Close()
	}
}

func peerIsKnown(t *testing.T, tr Transport) {
	near, far := pair(t, tr)
	for _, w := range []ipc.Wire{near, far} {
		p, err := w.Peer()
		if err != nil || p.UID != os.Getuid() || p.PID != os.Getpid() || p.Source == "" {
			t.Errorf("the peer is %+v, %v; it is this process, %d of user %d", p, err, os.Getpid(), os.Getuid())
		}
	}
}

func closedListener(t *testing.T, tr Transport) {
	l, dial := tr.Listen(t)
	s := &ipc.Server{Mux: ipc.NewMux()}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	w, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	c := ipc.NewConnOver(w, nil)
	defer c.Close()
	if _, err := ipc.Call(t.Context(), c, ipc.Ping, &struct{}{}); err != nil {
		t.Error(err)
	}
	s.Close()
	if err := <-served; err != nil {
		t.Errorf("Serve ended with %v", err)
	}
	if w, err := dial(); err == nil {
		w.Close()
		t.Error("a closed listener let somebody in")
	}
	<-c.Done()
	if !errors.Is(c.Err(), ipc.ErrInterrupted) {
		t.Errorf("the client's connection ended with %v, want interrupted", c.Err())
	}
}

// The service that the suite calls.
type (
	textBody struct {
		ipc.Files
		Text string `json:"text"`
		File ipc.FD `json:"file,omitempty"`
	}
	pipeReq struct {
		ipc.Streams
		Stream ipc.StreamRef `json:"stream"`
	}
	countReq  struct{ To int }
	countItem struct {
		N   int
		Pad string
	}
)

var (
	echo  = ipc.Method[textBody, textBody]{Name: "test.echo"}
	wait  = ipc.Method[struct{}, struct{}]{Name: "test.wait"}
	pipe  = ipc.Method[pipeReq, struct{}]{Name: "test.pipe"}
	count = ipc.Feed[countReq, countItem]{Name: "test.count", Need: ipc.Observe}
	reign = ipc.Method[struct{}, struct{}]{Name: "test.reign", Need: ipc.Admin}
)

// A service is a server of it.
type service struct {
	server *ipc.Server
	dial   func() (ipc.Wire, error)
	began  chan struct{} // told of each wait that begins
	let    chan struct{} // lets one end
}

func serve(t *testing.T, tr Transport, allow func(ipc.Peer) (ipc.Access, error)) *service {
	t.Helper()
	l, dial := tr.Listen(t)
	mux := ipc.NewMux()
	s := &service{&ipc.Server{Mux: mux, Allow: allow}, dial, make(chan struct{}, 10), make(chan struct{})}
	ipc.Handle(mux, echo, func(_ context.Context, req *textBody) (*textBody, error) {
		resp := &textBody{Text: req.Text}
		if req.File == 0 {
			return resp, nil
		}
		f, err := req.Take(req.File)
		if err != nil {
			return nil, err
		}
		resp.File = resp.Attach(f)
		return resp, nil
	})
	ipc.Handle(mux, wait, func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		s.began <- struct{}{}
		select {
		case <-s.let:
			return &struct{}{}, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})
	ipc.Handle(mux, pipe, func(_ context.Context, req *pipeReq) (*struct{}, error) {
		st, err := req.Accept(req.Stream)
		if err != nil {
			return nil, err
		}
		defer st.Close()
		if _, err := io.Copy(st, st); err != nil {
			return nil, err
		}
		return &struct{}{}, st.CloseWrite()
	})
	ipc.HandleFeed(mux, count, func(_ context.Context, req *countReq, out *ipc.Sink[countItem]) error {
		for n := range req.To {
			if err := out.Send(&countItem{n, strings.Repeat("x", 100)}); err != nil {
				return err
			}
		}
		return ipc.Errorf("full", "cannot count beyond %d", req.To)
	})
	ipc.Handle(mux, reign, func(context.Context, *struct{}) (*struct{}, error) { return &struct{}{}, nil })
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(l) }()
	t.Cleanup(func() {
		s.server.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve ended with %v", err)
		}
	})
	return s
}

func (s *service) connect(t *testing.T) *ipc.Conn {
	t.Helper()
	w, err := s.dial()
	if err != nil {
		t.Fatal(err)
	}
	c := ipc.NewConnOver(w, nil)
	t.Cleanup(func() { c.Close() })
	return c
}

func calls(t *testing.T, tr Transport) {
	s := serve(t, tr, nil)
	c := s.connect(t)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			text := strings.Repeat("x", i*1000)
			resp, err := ipc.Call(t.Context(), c, echo, &textBody{Text: text})
			if err != nil || resp.Text != text {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	// The server asks too, on the same connection.
	if _, err := ipc.Call(t.Context(), s.server.Conns()[0], ipc.Ping, &struct{}{}); err != nil {
		t.Error(err)
	}
	if h := c.Remote(); h != ipc.Here() {
		t.Errorf("the server says %+v, want %+v", h, ipc.Here())
	}
	if !tr.Descriptors {
		return
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	req := &textBody{}
	req.File = req.Attach(w)
	resp, err := ipc.Call(t.Context(), c, echo, req)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	resp.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Error(err)
	}
}

func cancelled(t *testing.T, tr Transport) {
	s := serve(t, tr, nil)
	c := s.connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-s.began
		cancel()
	}()
	if _, err := ipc.Call(ctx, c, wait, &struct{}{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
	if _, err := ipc.Call(t.Context(), c, echo, &textBody{}); err != nil {
		t.Error(err)
	}
}

func streams(t *testing.T, tr Transport) {
	c := serve(t, tr, nil).connect(t)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // four windows
	req := &pipeReq{}
	st, ref := req.Open()
	req.Stream = ref
	defer st.Close()
	go func() {
		st.Write(sent)
		st.CloseWrite()
	}()
	called := make(chan error, 1)
	go func() {
		_, err := ipc.Call(t.Context(), c, pipe, req)
		called <- err
	}()
	got, err := io.ReadAll(st)
	if err = errors.Join(err, <-called); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back as %d, %v", len(sent), len(got), err)
	}
}

func feeds(t *testing.T, tr Transport) {
	c := serve(t, tr, nil).connect(t)
	const n = 5000 // more than a window holds
	next := 0
	var last error
	for item, err := range ipc.Subscribe(t.Context(), c, count, &countReq{n}) {
		if err != nil {
			last = err
			break
		}
		if item.N != next {
			t.Fatalf("item %d is %d", next, item.N)
		}
		next++
	}
	var e *ipc.Error
	if next != n || !errors.As(last, &e) || e.Code != "full" {
		t.Errorf("%d items came and then %v", next, last)
	}
	for range ipc.Subscribe(t.Context(), c, count, &countReq{n}) {
		break
	}
	if _, err := ipc.Call(t.Context(), c, echo, &textBody{}); err != nil {
		t.Errorf("after a feed that was left: %v", err)
	}
}

func peerGoes(t *testing.T, tr Transport) {
	s := serve(t, tr, nil)
	c, other := s.connect(t), s.connect(t)
	go func() {
		<-s.began
		s.server.Close()
	}()
	_, err := ipc.Call(t.Context(), c, wait, &struct{}{})
	var e *ipc.Error
	if !errors.Is(err, ipc.ErrInterrupted) && !errors.As(err, &e) { // the handler's own error may come first
		t.Errorf("the call under way ended with %v", err)
	}
	<-other.Done()
	if _, err := ipc.Call(t.Context(), other, echo, &textBody{}); !errors.Is(err, ipc.ErrInterrupted) {
		t.Errorf("a later call ended with %v, want interrupted", err)
	}
}

func peerMayNot(t *testing.T, tr Transport) {
	s := serve(t, tr, func(ipc.Peer) (ipc.Access, error) { return ipc.Observe, nil })
	c := s.connect(t)
	denied := func(what string, err error) {
		var e *ipc.Error
		if !errors.As(err, &e) || e.Code != ipc.Denied {
			t.Errorf("%s: %v, want code %s", what, err, ipc.Denied)
		}
	}
	_, err := ipc.Call(t.Context(), c, echo, &textBody{})
	denied("a call that needs control", err)
	_, err = ipc.Call(t.Context(), c, reign, &struct{}{})
	denied("a call that needs admin", err)
	if _, err := ipc.Call(t.Context(), c, ipc.Ping, &struct{}{}); err != nil {
		t.Error(err)
	}
	nobody := serve(t, tr, func(ipc.Peer) (ipc.Access, error) { return 0, ipc.Errorf(ipc.Denied, "cannot: closed today") })
	c = nobody.connect(t)
	_, err = ipc.Call(t.Context(), c, ipc.Ping, &struct{}{})
	denied("a call of one who is turned away", err)
	if !errors.Is(err, ipc.ErrInvalid) {
		t.Errorf("being turned away is %v, want invalid", err)
	}
}

func shutdownDrains(t *testing.T, tr Transport) {
	s := serve(t, tr, nil)
	c := s.connect(t)
	answered := make(chan error, 1)
	go func() {
		_, err := ipc.Call(t.Context(), c, wait, &struct{}{})
		answered <- err
	}()
	<-s.began
	over := make(chan struct{})
	go func() {
		defer close(over)
		s.server.Shutdown(context.Background())
	}()
	var e *ipc.Error
	for { // until the shutdown has begun
		if _, err := ipc.Call(t.Context(), c, echo, &textBody{}); errors.As(err, &e) && e.Code == ipc.Ending {
			break
		}
	}
	if !errors.Is(e, ipc.ErrInterrupted) {
		t.Errorf("%v does not say that another connection may work", e)
	}
	s.let <- struct{}{}
	if err := <-answered; err != nil {
		t.Errorf("the call under way ended with %v", err)
	}
	<-over
}
