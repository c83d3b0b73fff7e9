//go:build linux && !macshim

package launchd

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	firstFD = 3
	maxFDs  = 256 // systemd passes what our units list, which is a handful
)

// passed is what systemd passed to this process, by name; what was taken is nil.
var passed = struct {
	mu   sync.Mutex
	read bool
	fds  map[string][]uintptr
	err  error
}{}

// activate takes descriptors as sd_listen_fds_with_names does. The variables go, so
// that no child takes them for its own.
func activate(name string) ([]uintptr, error) {
	passed.mu.Lock()
	defer passed.mu.Unlock()
	if !passed.read {
		passed.read = true
		passed.fds, passed.err = listenFDs(os.Getenv, os.Getpid())
		for _, fds := range passed.fds {
			for _, fd := range fds {
				syscall.CloseOnExec(int(fd))
			}
		}
		for _, key := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
			os.Unsetenv(key)
		}
	}
	if passed.err != nil {
		return nil, passed.err
	}
	fds, ok := passed.fds[name]
	switch {
	case !ok:
		return nil, errors.New("the agent's definition has no such socket")
	case fds == nil:
		return nil, errTaken
	}
	passed.fds[name] = nil
	return fds, nil
}

// listenFDs reads systemd's variables.
func listenFDs(getenv func(string) string, pid int) (map[string][]uintptr, error) {
	if getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, ErrNotManaged // or meant for a process that started this one
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 1 || n > maxFDs {
		return nil, fmt.Errorf("LISTEN_FDS=%q is not a number of descriptors", getenv("LISTEN_FDS"))
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	if len(names) != n {
		return nil, fmt.Errorf("LISTEN_FDNAMES=%q does not name %d descriptors", getenv("LISTEN_FDNAMES"), n)
	}
	fds := map[string][]uintptr{}
	for i, name := range names {
		fds[name] = append(fds[name], uintptr(firstFD+i))
	}
	return fds, nil
}
