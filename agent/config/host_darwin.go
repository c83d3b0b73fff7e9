package config

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// thisHost asks the system. What it does not tell is 0, for which there is a default.
func thisHost() Host {
	h := Host{CPUs: runtime.NumCPU()}
	if n, err := unix.SysctlUint64("hw.memsize"); err == nil {
		h.Memory = int64(n)
	}
	return h
}
