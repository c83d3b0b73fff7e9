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
// Beside calls there are notes, which nobody answers; streams: flows of bytes that a call
// opens and that share the connection fairly, each with a bounded window, so that a
// reader that stops holds up nothing else; and feeds: calls that are answered with a sequence of
// typed items in such a stream (HandleFeed, Subscribe).
//
// # Who may
//
// A Server lets connections of a Listener in and says what each peer, as the kernel names it,
// may ask for; a Method says what it needs, and the two meet in one place before a body is read.
// PeerOf and ConnOf tell a handler who asks. unixsock is the transport of Unix sockets, Memory
// one for tests; ipctest is what every transport must pass.
//
// # Ends
//
// ErrInterrupted says that a new connection may work, which a Redialer makes: CallAgain and
// Follow go on after an interruption. ErrInvalid says that none will.
//
// Everything that a peer sends is bounded and checked before it is used: see
// the constants in frame.go, conn.go and stream.go.
package ipc
