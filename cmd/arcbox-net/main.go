// Command arcbox-net plays one machine's network in user space. It is started by arcboxd with a
// socket at descriptor 3, over which it gets the stream to the machine's network card, and
// answers the methods of ipc/netapi. It needs no privileges, opens no disk, and outlives whoever
// started it.
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/sirupsen/logrus"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "arcbox-net:", err)
		os.Exit(1)
	}
}

// collectAt is by how much the heap grows until it is collected, in percent. What is in use is small and every frame is garbage soon,
// so that collecting would take a fifth of the time.
const collectAt = 400

// run serves until nobody wants the network any more, or a signal asks for the end.
func run() error {
	if len(os.Args) > 1 {
		return fmt.Errorf("cannot be started by hand: arcboxd does it")
	}
	log.SetFlags(0)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	logrus.SetOutput(io.Discard) // the library logs whatever a guest provokes
	p := newProcess(confine)
	if err := p.keeper.Inherit(); err != nil {
		return fmt.Errorf("%w; arcboxd starts this program", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	select {
	case <-p.keeper.Over():
	case <-signals:
	}
	p.close()
	return nil
}
