//go:build linux

// Command init is PID 1 of the guests of package gostd's tests: it mounts vda, a
// piece of GOROOT, runs the test binaries that its list names, says how each ended,
// and powers off.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/arcboxlabs/arcbox-go/test/kit/guest"
)

const goroot = "/goroot"

func main() {
	if err := guest.LoadModules(); err != nil {
		fmt.Println("gostd:", err)
	}
	mount("proc", "/proc", "proc", 0)
	mount("sysfs", "/sys", "sysfs", 0)
	mount("devtmpfs", "/dev", "devtmpfs", 0)
	mount("tmpfs", "/tmp", "tmpfs", 0)
	mount("/dev/vda", goroot, "erofs", syscall.MS_RDONLY)
	if err := guest.Loopback(); err != nil {
		fmt.Println("gostd: cannot bring up lo:", err)
	}
	list, err := os.ReadFile(goroot + "/list")
	if err != nil {
		fmt.Println("gostd: no tests:", err)
	}
	for line := range strings.Lines(string(list)) {
		words := strings.Fields(line)
		run(words[0], words[1:])
	}
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

func mount(source, dir, kind string, flags uintptr) {
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = syscall.Mount(source, dir, kind, flags, "")
	}
	if err != nil && err != syscall.EBUSY {
		fmt.Printf("gostd: cannot mount %s: %v\n", dir, err)
	}
}

// run runs a package's tests in its directory and prints one line, or the end of
// the output too where they failed.
func run(pkg string, args []string) {
	dir := filepath.Join(goroot, "src", pkg)
	cmd := exec.Command(filepath.Join(dir, "gostd.test"), args...)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=/tmp", "TMPDIR=/tmp", "PATH=/bin", "GOROOT=" + goroot}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	if err == nil {
		fmt.Printf("gostd: %s ok %v\n", pkg, time.Since(start).Round(time.Millisecond))
		return
	}
	text := out.Bytes()
	fmt.Printf("gostd: %s FAIL %v\n%s\n", pkg, err, text[max(0, len(text)-3000):])
}
