//go:build macshim && !darwin

package standin

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// ControlEnv names the variable with the path of the control socket.
const ControlEnv = "ARCBOX_STANDIN_POWER"

func init() {
	path := os.Getenv(ControlEnv)
	if path == "" {
		return
	}
	os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(1)
	}
	go serve(l)
}

func serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for words := bufio.NewScanner(c); words.Scan(); {
				fmt.Fprintln(c, Control(words.Text()))
			}
		}()
	}
}

// Control makes the system do what word says (sleep, wake, memory, memory-critical, memory-normal, hot, cool) and
// answers "done", or "late" when somebody has not dealt with it.
func Control(word string) string {
	const within = 30 * time.Second // the system's own patience
	ok := true
	switch strings.TrimSpace(word) {
	case "sleep":
		ok = Message(CanSystemSleep, within) && Message(SystemWillSleep, within)
	case "wake":
		ok = Message(SystemWillPowerOn, within) && Message(SystemHasPoweredOn, within)
	case "memory":
		Memory(MemoryWarn)
	case "memory-critical":
		Memory(MemoryCritical)
	case "memory-normal":
		Memory(MemoryNormal)
	case "hot":
		Note(ThermalLevel, 2)
	case "cool":
		Note(ThermalLevel, 0)
	default:
		return "unknown"
	}
	if !ok {
		return "late"
	}
	return "done"
}
