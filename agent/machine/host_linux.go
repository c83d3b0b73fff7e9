package machine

import "golang.org/x/sys/unix"

// hostMemory is how many bytes of memory the host has.
func hostMemory() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return info.Totalram * uint64(info.Unit)
}
