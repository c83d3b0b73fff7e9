package main

import "testing"

func TestRPCContendersAnswer(t *testing.T) {
	peer, err := startRPCPeer()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.close()
	tests := []struct {
		name string
		ask  func() (rpcResult, error)
		trip bool
	}{
		{"ours", func() (rpcResult, error) { return rpcOurs(50) }, true},
		{"echo", func() (rpcResult, error) { return rpcEcho(50) }, true},
		{"grpc-go", func() (rpcResult, error) { return peer.ask("trips 50") }, true},
		{"our fan-out", func() (rpcResult, error) { return rpcFanOut(5, 3) }, false},
		{"fan-out of writes", func() (rpcResult, error) { return rpcWrites(5, 3) }, false},
		{"grpc-go's fan-out", func() (rpcResult, error) { return peer.ask("fanout 5 3") }, false},
	}
	for _, tt := range tests {
		r, err := tt.ask()
		if err != nil || tt.trip != (r.P50 > 0 && r.P99 >= r.P50) || tt.trip == (r.Event > 0) {
			t.Errorf("%s: %+v, %v", tt.name, r, err)
		}
	}
}
