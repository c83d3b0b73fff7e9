//go:build linux

package agent

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// pressureWindow is over how long the kernel measures how much of it programs waited for memory.
const pressureWindow = 2 * time.Second

// watchPressure has a channel written to when programs have waited for memory for percent of a
// window, at most once a window. It costs nothing while they do not. A kernel that cannot
// tell never does. stop must be called.
func watchPressure(percent float64) (pressed <-chan struct{}, stop func()) {
	if percent <= 0 {
		return nil, func() {}
	}
	fd, err := openPressure(percent)
	if err != nil {
		return nil, func() {}
	}
	end, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(fd)
		return nil, func() {}
	}
	ch := make(chan struct{}, 1)
	var done sync.WaitGroup
	done.Go(func() { waitForPressure(fd, end, ch) }) // a thread: Go's poller does not know POLLPRI
	return ch, func() {
		unix.Write(end, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		done.Wait()
		unix.Close(end)
		unix.Close(fd)
	}
}

func openPressure(percent float64) (int, error) {
	fd, err := unix.Open("/proc/pressure/memory", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	window := pressureWindow.Microseconds()
	stall := min(max(int64(percent/100*float64(window)), 1), window)
	if _, err := unix.Write(fd, fmt.Appendf(nil, "some %d %d\x00", stall, window)); err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// waitForPressure ends when end is written to.
func waitForPressure(fd, end int, ch chan<- struct{}) {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}, {Fd: int32(end), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		} else if err != nil || fds[1].Revents != 0 || fds[0].Revents&unix.POLLERR != 0 {
			return
		}
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
