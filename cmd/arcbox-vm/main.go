// Command arcbox-vm holds one VM. It is started by arcbox or arcboxd with a
// socket at descriptor 3, over which it gets its machine, every file as an open
// descriptor, and answers the methods of ipc/vmapi. It opens no file itself, and
// ends with the connection.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "arcbox-vm:", err)
		os.Exit(1)
	}
}

// run serves until the connection ends or a signal asks for the end.
func run() error {
	if len(os.Args) > 1 {
		return fmt.Errorf("cannot be started by hand; use arcbox boot")
	}
	vm := newVM()
	mux := ipc.NewMux()
	ipc.Handle(mux, vmapi.Configure, vm.configure)
	ipc.Handle(mux, vmapi.Start, vm.start)
	ipc.Handle(mux, vmapi.Wait, vm.wait)
	ipc.Handle(mux, vmapi.ForceStop, vm.forceStop)
	ipc.Handle(mux, vmapi.Resize, vm.resize)
	ipc.Handle(mux, vmapi.Stats, vm.stats)
	conn, err := ipc.FromFile(os.NewFile(vmapi.ConnFD, "3"), mux)
	if err != nil {
		return fmt.Errorf("%w; start the VM with arcbox boot", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	select {
	case <-conn.Done():
	case <-signals:
	}
	vm.close()
	return conn.Close()
}
