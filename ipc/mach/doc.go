// Package mach is a Mach service as a transport of ipc: launchd answers for a name, starts the program behind
// it when somebody connects, and XPC carries the frames. It is macOS's alone, and needs cgo; elsewhere Listen and
// Dial say errors.ErrUnsupported. PROTOCOL.md says what an XPC message holds.
//
// # Who is there
//
// The kernel tells the user and the process of the other end. Its audit token, which stays true when a pid is
// used again, is not public for XPC; a requirement is what names a program for good: the system compares each
// message's sender with it. A Wire's Peer is known from the beginning, since Dial waits for the service's first answer.
//
// # Bounds
//
// XPC takes whatever it is given and tells no sender to wait. So each end has a credit, which the other renews
// as its frames are received; who sends beyond it, or frames that are none, is cut off. What a peer can make us
// hold is window bytes and one message, where a descriptor counts as fileCost bytes.
//
// # Ends
//
// XPC's interrupted and invalid are not ipc's. A client's connection that was interrupted would find or
// start the service again with the next message, but the conversation that it carried is over: it is
// ipc.ErrInterrupted, and the next Dial starts anew. XPC says invalid when a name is not there (ErrNobody, which
// passes) and, to the service, when a client has gone, which is an interruption too. ipc.ErrInvalid is
// what stays so: a peer that is not signed as required, or breaks the rules. A Wire that is closed tells its
// end in a message, and waits until XPC has sent it: a cancel alone throws away what is on its way.
package mach
