//go:build linux

package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// vsock serves ports until a connection to the host's port 1024 ends: 1 sends back what comes, 2 says
// how many bytes came after it has said that it sends no more, and 3 sends for ever.
func vsock(string) {
	serve(1, echo)
	serve(2, func(f *os.File) {
		must(unix.Shutdown(int(f.Fd()), unix.SHUT_WR))
		n, err := io.Copy(io.Discard, f)
		fmt.Println("heard", n, err)
		_ = f.Close()
	})
	serve(3, func(f *os.File) {
		go func() { _, _ = io.Copy(io.Discard, f) }()
		b := make([]byte, 64<<10)
		for {
			if _, err := f.Write(b); err != nil {
				fmt.Println("broken")
				_ = f.Close()
				return
			}
		}
	})
	c, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Connect(c, &unix.SockaddrVM{CID: unix.VMADDR_CID_HOST, Port: 1024}))
	host := os.NewFile(uintptr(c), "host")
	_, err = io.WriteString(host, "ready\n")
	must(err)
	_, _ = io.Copy(io.Discard, host)
}

// serve gives each connection to a port a goroutine.
func serve(port uint32, do func(f *os.File)) {
	l, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Bind(l, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: port}))
	must(unix.Listen(l, 128))
	go func() {
		for {
			fd, _, err := unix.Accept(l)
			must(err)
			go do(os.NewFile(uintptr(fd), "connection"))
		}
	}()
}

func echo(f *os.File) {
	b := make([]byte, 64<<10)
	for {
		n, err := f.Read(b)
		if err != nil {
			_ = f.Close()
			return
		}
		if _, err := f.Write(b[:n]); err != nil {
			_ = f.Close()
			return
		}
	}
}
