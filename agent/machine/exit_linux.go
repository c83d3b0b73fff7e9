package machine

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// openExit opens a descriptor that becomes readable when the process is gone, which need
// not be a child. The process is found now: a later one with its id is not taken for it.
func openExit(pid int) (fd int, err error) { return unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK) }

// exited says whether the process behind such a descriptor is gone.
func exited(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return n > 0 && err == nil
}

// processName is the name of the program that a process runs, "" if there is no such process.
func processName(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
