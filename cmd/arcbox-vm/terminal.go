package main

import (
	"fmt"
	"io"
	"net"
	"os"
)

// openTerminal makes a connection of the socket that a request brought.
func openTerminal(f *os.File) (net.Conn, error) {
	defer f.Close() // FileConn has a copy of its own
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("cannot use the terminal's descriptor: %w", err)
	}
	return conn, nil
}

// typeIn passes what is typed to a console until the terminal closes. enter
// blocks while the guest does not read.
func typeIn(terminal io.Reader, enter func([]byte) error) {
	buf := make([]byte, 4096)
	for {
		n, err := terminal.Read(buf)
		if n > 0 && enter(buf[:n]) != nil {
			return
		}
		if err != nil {
			return
		}
	}
}
