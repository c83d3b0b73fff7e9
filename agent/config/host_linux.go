package config

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// thisHost asks the system. What it does not tell is 0, for which there is a default.
func thisHost() Host {
	h := Host{CPUs: runtime.NumCPU()}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		h.Memory = int64(info.Totalram) * int64(info.Unit)
	}
	return h
}
