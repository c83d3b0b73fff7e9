package machine

import "golang.org/x/sys/unix"

// openExit opens a descriptor that becomes readable when the process is gone, which need
// not be a child. The process is found now: a later one with its id is not taken for it.
func openExit(pid int) (fd int, err error) {
	kq, err := unix.Kqueue()
	if err != nil {
		return 0, err
	}
	unix.CloseOnExec(kq)
	watch := []unix.Kevent_t{{Fflags: unix.NOTE_EXIT}}
	unix.SetKevent(&watch[0], pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	if _, err = unix.Kevent(kq, watch, nil, nil); err == nil {
		err = unix.SetNonblock(kq, true)
	}
	if err != nil {
		unix.Close(kq)
		return 0, err
	}
	return kq, nil
}

// exited says whether the process behind such a descriptor is gone.
func exited(fd int) bool {
	n, err := unix.Kevent(fd, nil, make([]unix.Kevent_t, 1), &unix.Timespec{})
	return n > 0 && err == nil
}

// processName is the name of the program that a process runs, "" if there is no such process.
func processName(pid int) string {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.Proc.P_comm[:])
}
