//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/agent"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/modules"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/superblock"
)

const (
	binfmtDir   = "/proc/sys/fs/binfmt_misc"
	emulatorDir = "/run/arcbox/x86-64"
	emulator    = emulatorDir + "/qemu-x86_64-static"
)

// emulatorUUID is of the disk with the emulator; boot/debian makes it.
var emulatorUUID = [16]byte{0xa5, 0xc8, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 2}

// Of an x86-64 program's ELF header: the class, byte order, type (2 or 3, the mask leaves one bit out) and machine. What the
// mask has as 0 may be anything.
const (
	x8664Magic = `\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00`
	x8664Mask  = `\xff\xff\xff\xff\xff\xfe\xfe\xfc\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`
)

// emulate has the kernel run another processor's programs. The emulator is opened now (F), so that it is
// there in containers too; it gets the program as a descriptor (O), with its own rights (C) and its argv[0] (P).
func emulate(processor string) error {
	if processor != "x86-64" {
		return fmt.Errorf("cannot run programs of %.32q: only those of x86-64", processor)
	}
	if err := modules.Load(emulateModules); err != nil {
		return fmt.Errorf("cannot run x86-64 programs: %w", err)
	}
	if err := unix.Mount("binfmt_misc", binfmtDir, "binfmt_misc", noExec, ""); err != nil {
		return fmt.Errorf("cannot run x86-64 programs: the kernel has no binfmt_misc: %w", err)
	}
	if err := mountEmulator(); err != nil {
		return fmt.Errorf("cannot run x86-64 programs: %w", err)
	}
	line := ":" + agent.EmulationName + ":M::" + x8664Magic + ":" + x8664Mask + ":" + emulator + ":POCF"
	if err := os.WriteFile(filepath.Join(binfmtDir, "register"), []byte(line), 0); err != nil {
		return fmt.Errorf("cannot run x86-64 programs: %w", err)
	}
	return nil
}

// mountEmulator mounts the disk with the emulator.
func mountEmulator() error {
	device, err := findDisk(emulatorUUID)
	if err != nil {
		return err
	}
	if device == "" {
		return errors.New("no disk has the emulator; give the machine its asset's x86-64.erofs")
	}
	if err := os.MkdirAll(emulatorDir, 0o755); err != nil {
		return err
	}
	return unix.Mount(device, emulatorDir, "erofs", unix.MS_RDONLY|unix.MS_NODEV, "")
}

// findDisk is the device of the disk with an EROFS of that UUID, or "".
func findDisk(want [16]byte) (string, error) {
	devices, err := filepath.Glob("/dev/vd[a-z]")
	if err != nil {
		return "", err
	}
	for _, device := range devices {
		d, err := openDisk(device)
		if err != nil {
			continue
		}
		uuid, ok := superblock.EROFS(d.file)
		d.file.Close()
		if ok && uuid == want {
			return device, nil
		}
	}
	return "", nil
}
