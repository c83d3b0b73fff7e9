package main

import (
	"fmt"
	"time"

	"github.com/landlock-lsm/go-landlock/landlock"
	abi "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// confine takes from every thread of this process, and for ever, the right to open files
// and TCP ports, to signal other processes and to gain rights by exec, as far as the
// kernel can. What is open stays open. It says how far that is.
func confine() string {
	_ = time.Now().String() // loads the time zone, for the log
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Sprintf("none: cannot give up new privileges: %v", errno)
	}
	version, err := abi.LandlockGetABIVersion()
	if err != nil {
		return fmt.Sprintf("none: this kernel has no Landlock: %v", err)
	}
	if err := landlock.V6.BestEffort().Restrict(); err != nil {
		return fmt.Sprintf("none: Landlock refused: %v", err)
	}
	return fmt.Sprintf("landlock %d", version)
}
