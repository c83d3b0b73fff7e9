//go:build linux

// Command init is PID 1 of the guest that package debug's tests look into: it
// says where its kernel keeps some symbols and powers off.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// wanted are the symbols: functions that are called first and last.
var wanted = map[string]bool{"start_kernel": true, "__arm64_sys_reboot": true}

func main() {
	// Not fatal: without symbols the test says what is missing.
	os.MkdirAll("/proc", 0o755)
	syscall.Mount("proc", "/proc", "proc", 0, "")
	os.WriteFile("/proc/sys/kernel/kptr_restrict", []byte("0"), 0)
	if symbols, err := os.Open("/proc/kallsyms"); err == nil {
		for lines := bufio.NewScanner(symbols); lines.Scan(); {
			if f := strings.Fields(lines.Text()); len(f) == 3 && wanted[f[2]] {
				fmt.Printf("symbol %s 0x%s\n", f[2], f[0])
			}
		}
	}
	fmt.Println("debug init: done")
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}
