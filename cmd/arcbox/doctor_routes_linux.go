package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// routesProblem says why the agent's process can have no routes, and what to do; "" if it can.
func routesProblem(pid int, program string) (problem, mend string) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	switch {
	case err != nil || mayRoute(string(status)):
		return "", ""
	case program == "":
		program = "arcboxd"
	}
	return "the agent may not make interfaces: it lacks CAP_NET_ADMIN", "sudo setcap cap_net_admin+ep " + program + " && arcbox agent restart"
}

// mayRoute says whether a process with such a status has CAP_NET_ADMIN.
func mayRoute(status string) bool {
	for line := range strings.Lines(status) {
		if set, ok := strings.CutPrefix(line, "CapEff:"); ok {
			caps, err := strconv.ParseUint(strings.TrimSpace(set), 16, 64)
			return err == nil && caps&(1<<unix.CAP_NET_ADMIN) != 0
		}
	}
	return false
}
