// Package ipc carries typed calls between the processes of ArcBox. The model
// is XPC's: a connection to one peer, messages with a route and a dictionary
// body, replies, descriptors passed along, and two ways for a connection to
// end: interrupted (the peer went away) and invalid (it broke the protocol, or
// we closed it). The wire is JSON in length-prefixed frames over any stream of
// bytes, written down in PROTOCOL.md; descriptors need a Unix socket.
//
// A method is one Go value that both ends share:
//
//	var Pause = ipc.Method[PauseReq, PauseResp]{Name: "vm.pause"}
//
//	mux := ipc.NewMux()
//	ipc.Handle(mux, vmapi.Pause, v.pause)       // the end that serves
//	resp, err := ipc.Call(ctx, conn, vmapi.Pause, req) // the end that asks
//
// Either end of a connection may serve, ask or both. Calls do not wait for each
// other: each has its own goroutine, its own deadline, and is cancelled on both
// ends when the caller's context ends.
//
// Beside calls there are notes, which nobody answers, and streams: flows of bytes
// that a call opens and that share the connection fairly, each with a bounded
// window, so that a reader that stops holds up nothing else.
//
// Everything that a peer sends is bounded and checked before it is used: see
// the constants in frame.go, conn.go and stream.go.
package ipc
