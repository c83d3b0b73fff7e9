//go:build linux

// Command init is PID 1 of the guests of package devices' tests: it does what
// act= on the kernel command line says, and prints what it has done on the console.
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/test/kit/guest"
)

func main() {
	must(unix.Mount("dev", "/dev", "devtmpfs", 0, ""))
	must(guest.LoadModules())
	console, err := os.OpenFile("/dev/hvc0", os.O_RDWR, 0)
	must(err)
	os.Stdout = console
	act, arg, _ := strings.Cut(os.Getenv("act"), ":")
	actions[act](arg)
	time.Sleep(100 * time.Millisecond)
	must(unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

var actions = map[string]func(arg string){
	"vsock":   vsock,
	"memory":  memory,
	"disk":    disk,
	"packets": packets,
}

func must(err error) {
	if err != nil {
		fmt.Println("FAIL", err)
		time.Sleep(time.Hour)
	}
}

// vsock echoes what comes to port 1, until a connection to the host's port 1024 ends.
func vsock(string) {
	l, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Bind(l, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: 1}))
	must(unix.Listen(l, 128))
	go func() {
		for {
			fd, _, err := unix.Accept(l)
			must(err)
			go echo(os.NewFile(uintptr(fd), "connection"))
		}
	}()
	c, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Connect(c, &unix.SockaddrVM{CID: unix.VMADDR_CID_HOST, Port: 1024}))
	host := os.NewFile(uintptr(c), "host")
	_, err = io.WriteString(host, "ready\n")
	must(err)
	_, _ = io.Copy(io.Discard, host)
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

// memory uses so many MiB, frees them, and waits.
func memory(arg string) {
	n, err := strconv.Atoi(arg)
	must(err)
	b, err := unix.Mmap(-1, 0, n<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	must(err)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	fmt.Println("used")
	must(unix.Munmap(b))
	fmt.Println("freed")
	time.Sleep(time.Hour)
}
