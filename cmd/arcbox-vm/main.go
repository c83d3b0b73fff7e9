// Command arcbox-vm holds one VM. It is started by arcbox or arcboxd with a
// socket at descriptor 3, over which it gets its machine, every file as an open
// descriptor, and answers the methods of ipc/vmapi. It opens no file itself, and on
// Linux cannot once the machine is configured. A machine with a rendezvous outlives
// whoever started it; any other ends with the connection.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	_ "github.com/arcboxlabs/arcbox-go/agent/quiet"
)

// garbage is how much memory may be out of use before it is collected, in percent of what is in use: half of what Go
// chooses, as most of what a guest needs outside its memory, decoded code, is used again and never collected.
const garbage = 50

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "arcbox-vm:", err)
		os.Exit(1)
	}
}

// run serves until nobody wants the machine any more, or a signal asks for the end.
func run() error {
	if len(os.Args) > 1 {
		return fmt.Errorf("cannot be started by hand; use arcbox boot")
	}
	debug.SetGCPercent(garbage)
	v := newVM(confine)
	if err := v.keeper.Inherit(); err != nil {
		return fmt.Errorf("%w; start the VM with arcbox boot", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	select {
	case <-v.keeper.Over():
	case <-signals:
	}
	v.close()
	return nil
}
