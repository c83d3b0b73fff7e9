//go:build linux

package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// LoadBtrfs loads Btrfs where the kernel has it as a module, which LoadModules leaves out and kit.ModulesFor brings along.
func LoadBtrfs() error {
	list, err := os.ReadFile("/usr/lib/arcbox/modules/btrfs")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot load Btrfs: %w", err)
	}
	for path := range strings.FieldsSeq(string(list)) {
		if err := LoadModule(path); err != nil {
			return err
		}
	}
	return nil
}
