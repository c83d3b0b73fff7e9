//go:build linux

package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// loadModules loads the modules of a list. Those that are loaded stay.
func loadModules(list string) error {
	if list == "" {
		return nil
	}
	text, err := os.ReadFile(list)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot load modules: %w", err)
	}
	for _, path := range strings.Fields(string(text)) {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("cannot load a module: %w", err)
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("cannot load %s: %w", path, err)
		}
	}
	return nil
}
