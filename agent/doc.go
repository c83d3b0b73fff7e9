// Package agent is arcboxd: the one process of a user that knows that user's machines and answers
// for them on the control socket. It holds no VM and parses nothing that a guest says: agent/machine
// supervises the processes that do, and this package joins it to who asks.
//
// # Start
//
// Lock, control socket, clean-up, settings, records, and then READY. The socket comes second, so that whoever
// waits sees how far it has got and what went wrong; calls about machines wait until the records
// are read. The phases are data (agentapi.SetupStatus).
//
// # End
//
// Whoever asks for something new is refused, calls under way have their time, machines are stopped side by
// side if that is wanted and live on without it, feeds end, the socket goes, and the lock last.
package agent
