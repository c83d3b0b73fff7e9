//go:build linux

// Command init is PID 1 of the guests of package devices' tests: it does what
// act= on the kernel command line says, and prints what it has done on the console.
package main

import (
	"fmt"
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
