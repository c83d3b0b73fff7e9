//go:build linux

// Command init is PID 1 of the guests of package gostd's tests: it runs every
// test binary under /tests, says how each ended, and powers off.
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
)

func main() {
	mount("proc", "/proc")
	mount("devtmpfs", "/dev")
	mount("tmpfs", "/tmp")
	dirs, err := filepath.Glob("/tests/*")
	if err != nil || len(dirs) == 0 {
		fmt.Println("gostd: no tests:", err)
	}
	for _, dir := range dirs {
		run(dir)
	}
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

func mount(kind, dir string) {
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = syscall.Mount(kind, dir, kind, 0, "")
	}
	if err != nil && err != syscall.EBUSY {
		fmt.Printf("gostd: cannot mount %s: %v\n", dir, err)
	}
}

// run runs dir/test with the arguments in dir/args and prints one line, or the
// end of the output too where it failed.
func run(dir string) {
	args, _ := os.ReadFile(filepath.Join(dir, "args"))
	cmd := exec.Command(filepath.Join(dir, "test"), strings.Fields(string(args))...)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=/tmp", "TMPDIR=/tmp", "PATH=/bin"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err := cmd.Run()
	name := strings.ReplaceAll(filepath.Base(dir), "_", "/")
	if err == nil {
		fmt.Printf("gostd: %s ok %v\n", name, time.Since(start).Round(time.Millisecond))
		return
	}
	text := out.Bytes()
	fmt.Printf("gostd: %s FAIL %v\n%s\n", name, err, text[max(0, len(text)-3000):])
}
