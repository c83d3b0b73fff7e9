//go:build linux

package agent

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// openTerminal makes a pseudo-terminal: our side, whose reads end with a deadline or Close, and the
// program's, which is its user's.
func openTerminal(size guestapi.Terminal, as account) (ours, theirs *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open a terminal: %w", err)
	}
	ours = os.NewFile(uintptr(fd), "terminal")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = setSize(ours, size.Cols, size.Rows)
	}
	if err == nil {
		theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil && os.Geteuid() == 0 {
		err = theirs.Chown(int(as.uid), -1)
	}
	if err != nil {
		ours.Close()
		theirs.Close()
		return nil, nil, fmt.Errorf("cannot make a terminal: %w", err)
	}
	return ours, theirs, nil
}

// control does something to an open file without making it block, as Fd would.
func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// setSize tells a terminal its size; one that is not known is the classic's.
func setSize(f *os.File, cols, rows uint16) error {
	if cols == 0 || rows == 0 {
		cols, rows = 80, 24
	}
	return control(f, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: cols, Row: rows})
	})
}

// lineMode tells whether a terminal collects lines, and so knows ^D.
func lineMode(f *os.File) (yes bool) {
	control(f, func(fd int) error {
		t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		yes = err == nil && t.Lflag&unix.ICANON != 0
		return err
	})
	return yes
}

// foreground is the process group that a terminal's keys interrupt, 0 for none.
func foreground(f *os.File) (group int) {
	control(f, func(fd int) (err error) {
		group, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		return err
	})
	return group
}
