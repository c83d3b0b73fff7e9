//go:build linux

// Package modules loads modules into the guest's kernel.
package modules

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Load loads the modules of a list, one path a line, each behind those it needs. Those that are loaded stay. A list that is not
// there is that of a kernel with everything built in.
func Load(list string) error {
	f, err := os.Open(list)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot load modules: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if err := load(lines.Text()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("cannot load modules: %w", err)
	}
	return nil
}

func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot load a module: %w", err)
	}
	defer f.Close()
	// The versions of symbols are left unread: they would tell a module of another build of this very release apart,
	// and every one that a module needs is looked for in a list from its beginning.
	if err := unix.FinitModule(int(f.Fd()), "", unix.MODULE_INIT_IGNORE_MODVERSIONS); err != nil && err != unix.EEXIST {
		return fmt.Errorf("cannot load %s: %w; is it from this kernel's build?", path, err)
	}
	return nil
}
