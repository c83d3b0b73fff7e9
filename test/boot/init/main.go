//go:build linux

// Command init is PID 1 of the guests of package boot's tests: it does what
// act= on the kernel command line says.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/arcboxlabs/arcbox-go/test/kit/guest"
)

func main() {
	must(guest.LoadModules())
	must(guest.OpenConsole())
	fmt.Println("test init: up")
	act, arg, _ := strings.Cut(os.Getenv("act"), ":")
	actions[act](arg)
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

var actions = map[string]func(arg string){
	"":         func(string) {},
	"poweroff": func(string) {},
	"reset":    func(string) { syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART) },
	"exit":     func(string) { os.Exit(7) }, // "Attempted to kill init"
	"hang":     func(string) { time.Sleep(time.Hour) },
	"sysrq":    sysrq,
	"echo":     echo,
	"vda":      readDisk,
	"sleep":    nap,
	"wakeups":  wakeups,
}

// sysrq asks the kernel for what the magic key does: c crashes it.
func sysrq(key string) {
	must(os.MkdirAll("/proc", 0o755))
	must(syscall.Mount("proc", "/proc", "proc", 0, ""))
	must(os.WriteFile("/proc/sysrq-trigger", []byte(key), 0))
}

// echo repeats lines that are typed until one says bye.
func echo(string) {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() && in.Text() != "bye" {
		fmt.Printf("test init: heard %q\n", in.Text())
	}
}

// readDisk prints the first line on vda, then writes another in its place.
func readDisk(write string) {
	must(os.MkdirAll("/dev", 0o755))
	syscall.Mount("devtmpfs", "/dev", "devtmpfs", 0, "")
	disk, err := os.OpenFile("/dev/vda", os.O_RDWR, 0)
	if err != nil {
		disk, err = os.Open("/dev/vda")
	}
	must(err)
	line, err := bufio.NewReader(disk).ReadString('\n')
	must(err)
	fmt.Printf("test init: vda says %q\n", strings.TrimSpace(line))
	if write != "" {
		if _, err := disk.WriteAt([]byte(write+"\n"), 0); err != nil {
			fmt.Println("test init: vda refuses:", err)
			return
		}
		must(disk.Sync())
		fmt.Println("test init: vda took it")
	}
}

// nap sleeps so that timers and WFI have something to do.
func nap(string) {
	for range 20 {
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Printf("test init: slept on %d CPUs\n", runtime.NumCPU())
}

func must(err error) {
	if err != nil {
		fmt.Println("test init: failed:", err)
		syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	}
}
