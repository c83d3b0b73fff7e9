//go:build linux

// Package slack says how late the kernel may wake up threads of this program (timerslack_ns).
package slack

import (
	"math"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// How late a thread may be: as Linux has it, and while a guest starts.
const (
	Usual   = 50 * time.Microsecond
	Patient = 2 * time.Millisecond
)

// Watch sets how late the thread may be with which Go's runtime watches itself. That sleeps for 20 microseconds for as long as
// something takes longer than that, which on an engine that is slow is always: a thousand times in a start, in each of which two
// threads change places. What comes later with more slack is that other goroutines run while one waits in the kernel.
func Watch(slack time.Duration) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	// It is the first thread that the runtime starts. If it were another, nothing would be lost.
	watch, own := math.MaxInt, os.Getpid()
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil && id != own {
			watch = min(watch, id)
		}
	}
	os.WriteFile("/proc/"+strconv.Itoa(watch)+"/timerslack_ns", []byte(strconv.FormatInt(slack.Nanoseconds(), 10)), 0)
}

// Restore gives the calling thread, and what it starts from now on, the usual slack: a thread has that of the one which started
// it, and the watch starts some.
func Restore() { set(Usual) }

// set sets the calling thread's.
func set(slack time.Duration) {
	unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack.Nanoseconds()), 0, 0, 0)
}
