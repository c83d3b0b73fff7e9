package ipc

import (
	"context"
	"io"
	"net"
	"testing"
)

type checkReq struct {
	Service string `json:"service"`
}
type checkResp struct {
	Status int `json:"status"`
}

var check = Method[checkReq, checkResp]{Name: "health.check"}

// sockets are a connected pair of Unix sockets.
func sockets(b testing.TB) (near, far *net.UnixConn) {
	near, file, err := Pair()
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		b.Fatal(err)
	}
	return near, c.(*net.UnixConn)
}

func BenchmarkRoundTrip(b *testing.B) {
	mux := NewMux()
	Handle(mux, check, func(context.Context, *checkReq) (*checkResp, error) { return &checkResp{1}, nil })
	near, far := sockets(b)
	server, client := NewConn(far, mux), NewConn(near, nil)
	defer server.Close()
	defer client.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Call(context.Background(), client, check, &checkReq{"dockerd"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRawEcho(b *testing.B) {
	near, far := sockets(b)
	defer near.Close()
	go func() {
		defer far.Close()
		p := make([]byte, 100)
		for {
			if _, err := io.ReadFull(far, p); err != nil {
				return
			}
			far.Write(p)
		}
	}()
	p := make([]byte, 100)
	for b.Loop() {
		near.Write(p)
		io.ReadFull(near, p)
	}
}
