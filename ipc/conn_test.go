package ipc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type echoReq struct {
	Files
	Text string `json:"text"`
	File FD     `json:"file,omitempty"`
}
type echoResp struct {
	Files
	Text string `json:"text"`
	File FD     `json:"file,omitempty"`
}

var (
	echo = Method[echoReq, echoResp]{Name: "test.echo"}
	hang = Method[struct{}, struct{}]{Name: "test.hang"}
)

// serving makes a connected pair of which one end serves echo and hang.
func serving(t *testing.T) (client, server *Conn) {
	t.Helper()
	mux := NewMux()
	Handle(mux, echo, func(_ context.Context, req *echoReq) (*echoResp, error) {
		resp := &echoResp{Text: req.Text}
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
	Handle(mux, hang, func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	sock, file, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	server, err = FromFile(file, mux)
	if err != nil {
		t.Fatal(err)
	}
	client = NewConn(sock, nil)
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func TestCallsDoNotWaitForEachOther(t *testing.T) {
	client, _ := serving(t)
	ctx, cancel := context.WithCancel(context.Background())
	hung := make(chan error)
	go func() {
		_, err := Call(ctx, client, hang, &struct{}{})
		hung <- err
	}()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			text := strings.Repeat("x", i*100)
			resp, err := Call(context.Background(), client, echo, &echoReq{Text: text})
			if err != nil || resp.Text != text {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-hung; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call ended with %v, want context.Canceled", err)
	}
}

func TestDescriptorsTravelBothWays(t *testing.T) {
	client, _ := serving(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	req := &echoReq{Text: "pipe"}
	req.File = req.Attach(w)
	resp, err := Call(context.Background(), client, echo, req)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	back, err := resp.Take(resp.File)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(back, "through two processes' worth of sockets")
	back.Close()
	// EOF shows that no copy of the writing end was left open on the way.
	got, err := io.ReadAll(r)
	if err != nil || string(got) != "through two processes' worth of sockets" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := resp.Take(resp.File); err == nil {
		t.Error("a descriptor was taken twice")
	}
}

func TestDeadlineReachesTheHandler(t *testing.T) {
	client, server := serving(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := Call(ctx, client, hang, &struct{}{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a deadline error", err)
	}
	for n := 1; n > 0; { // the handler ends by its own copy of the deadline or by the cancel
		server.mu.Lock()
		n = len(server.serving)
		server.mu.Unlock()
	}
}

func TestUnknownMethodIsRefused(t *testing.T) {
	client, _ := serving(t)
	_, err := Call(context.Background(), client, Method[struct{}, struct{}]{Name: "no.such"}, &struct{}{})
	var e *Error
	if !errors.As(err, &e) || e.Code != NoMethod {
		t.Errorf("got %v, want code %s", err, NoMethod)
	}
}

func TestPeerGoneMeansInterrupted(t *testing.T) {
	client, server := serving(t)
	res := make(chan error)
	go func() {
		_, err := Call(context.Background(), client, hang, &struct{}{})
		res <- err
	}()
	for n := 0; n == 0; {
		server.mu.Lock()
		n = len(server.serving)
		server.mu.Unlock()
	}
	server.Close()
	if err := <-res; !errors.Is(err, ErrInterrupted) {
		// The handler's own error may win the race to the wire.
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("the call under way ended with %v, want interrupted", err)
		}
	}
	<-client.Done()
	if _, err := Call(context.Background(), client, echo, &echoReq{}); !errors.Is(err, ErrInterrupted) {
		t.Errorf("a later call ended with %v, want interrupted", err)
	}
}

func TestClosedHereMeansInvalid(t *testing.T) {
	client, _ := serving(t)
	client.Close()
	if _, err := Call(context.Background(), client, echo, &echoReq{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want invalid", err)
	}
}

// frame is text with its length in front.
func frame(text string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// hello is what every peer says first.
var hello = frame(`{"type":"hello","protocol":1,"build":"a test"}`)

func TestPeersThatLie(t *testing.T) {
	tests := []struct {
		name string
		sent []byte
		want error
	}{
		{"a second hello", hello, ErrInvalid},
		{"frame of no bytes", []byte{0, 0, 0, 0}, ErrInvalid},
		{"frame longer than allowed", []byte{0xff, 0xff, 0xff, 0xff}, ErrInvalid},
		{"not JSON", frame("hello"), ErrInvalid},
		{"unknown type", frame(`{"type":"shout","id":1}`), ErrInvalid},
		{"call of nothing", frame(`{"type":"call","id":1}`), ErrInvalid},
		{"negative time limit", frame(`{"type":"call","id":1,"method":"test.echo","timeout_ms":-1}`), ErrInvalid},
		{"descriptors that never came", frame(`{"type":"call","id":1,"method":"test.echo","fds":3}`), ErrInvalid},
		{"too many descriptors named", frame(`{"type":"call","id":1,"method":"test.echo","fds":65}`), ErrInvalid},
		{"error that says nothing", frame(`{"type":"error","id":1}`), ErrInvalid},
		{"cut in the length", []byte{0, 0}, ErrInterrupted},
		{"cut in the text", frame(`{"type":"call"}`)[:10], ErrInterrupted},
		{"reply that nobody waits for, then the end", frame(`{"type":"reply","id":7}`), ErrInterrupted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sock, file, err := Pair()
			if err != nil {
				t.Fatal(err)
			}
			conn := NewConn(sock, nil)
			defer conn.Close()
			file.Write(hello)
			file.Write(tt.sent)
			file.Close()
			<-conn.Done()
			if !errors.Is(conn.Err(), tt.want) {
				t.Errorf("sent %q: the connection ended with %v, want %v", tt.sent, conn.Err(), tt.want)
			}
		})
	}
}

func TestTooManyCallsAreRefused(t *testing.T) {
	client, _ := serving(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	results := make(chan error, maxCalls+1)
	for range maxCalls + 1 {
		go func() {
			_, err := Call(ctx, client, hang, &struct{}{})
			results <- err
		}()
	}
	var e *Error
	if err := <-results; !errors.As(err, &e) || e.Code != Busy {
		t.Errorf("the first to end was %v, want code %s", err, Busy)
	}
	cancel()
	for range maxCalls {
		<-results
	}
}

func TestBadBodyIsRefused(t *testing.T) {
	client, _ := serving(t)
	lie := Method[struct {
		Text int `json:"text"`
	}, echoResp]{Name: echo.Name}
	_, err := Call(context.Background(), client, lie, &struct {
		Text int `json:"text"`
	}{5})
	var e *Error
	if !errors.As(err, &e) || e.Code != BadRequest {
		t.Errorf("got %v, want code %s", err, BadRequest)
	}
}

func FuzzPeer(f *testing.F) {
	f.Add(frame(`{"type":"call","id":1,"method":"test.echo","body":{"text":"x"}}`))
	f.Add(append(frame(`{"type":"cancel","id":1}`), frame(`{"type":"reply","id":1}`)...))
	f.Fuzz(func(t *testing.T, sent []byte) {
		sock, file, err := Pair()
		if err != nil {
			t.Fatal(err)
		}
		mux := NewMux()
		Handle(mux, echo, func(_ context.Context, req *echoReq) (*echoResp, error) {
			return &echoResp{Text: req.Text}, nil
		})
		conn := NewConn(sock, mux)
		nc, err := net.FileConn(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, nc)
		nc.Write(hello)
		io.Copy(nc, bytes.NewReader(sent))
		nc.(*net.UnixConn).CloseWrite()
		<-conn.Done()
		nc.Close()
	})
}
