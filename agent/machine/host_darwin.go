package machine

import "golang.org/x/sys/unix"

// hostMemory is how many bytes of memory the host has.
func hostMemory() uint64 {
	n, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0
	}
	return n
}
