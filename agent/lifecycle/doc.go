// Package lifecycle is one machine's life as data: a table of states and events
// that names effects, and one goroutine that owns the state. It does no I/O:
// a Driver performs the effects and reports what became of them.
//
// # Requests and reports
//
// EnsureReady is the entry for everything that needs the VM. Callers share one
// attempt and one deadline. It returns when the guest agent has answered and
// never before.
//
// Every attempt to bring a machine up has an epoch. A Driver reports with the
// epoch that it was given; what comes from an attempt that has been abandoned is
// dropped, so that a late "ready" of a killed VM cannot make a new one Running.
//
// # What wins
//
// A stop asked for during a start abandons the start. A start asked for during a
// stop waits for the stop and starts again. A forced stop pre-empts everything.
// The last request decides where the machine ends up; callers of EnsureReady
// that a stop overtakes are told so.
//
// STATES.md is generated from the table, and a test fails when the two differ.
package lifecycle
