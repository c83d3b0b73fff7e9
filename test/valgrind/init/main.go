//go:build linux

// Command init is PID 1 of the guest of package valgrind's test: it runs every
// program of vda, writes what each printed into a tar archive on vdb, and powers
// off.
package main

import (
	"archive/tar"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/arcboxlabs/arcbox-go/test/kit/guest"
)

func main() {
	if err := run(); err != nil {
		fmt.Println("valgrind:", err)
	}
	syscall.Sync()
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

func run() error {
	if err := guest.LoadModules(); err != nil {
		return err
	}
	for kind, dir := range map[string]string{"proc": "/proc", "devtmpfs": "/dev"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(kind, dir, kind, 0, ""); err != nil && err != syscall.EBUSY {
			return err
		}
	}
	const programs = "/programs"
	if err := os.Mkdir(programs, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("/dev/vda", programs, "erofs", syscall.MS_RDONLY, ""); err != nil {
		return err
	}
	out, err := os.OpenFile("/dev/vdb", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(programs + "/*")
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	for _, file := range files {
		if err := add(w, file); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return out.Sync()
}

// add runs one program.
func add(w *tar.Writer, file string) error {
	text, err := exec.Command(file).Output()
	fmt.Printf("valgrind: %s: %d bytes, %v\n", filepath.Base(file), len(text), err)
	if err := w.WriteHeader(&tar.Header{Name: filepath.Base(file), Mode: 0o644, Size: int64(len(text))}); err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
