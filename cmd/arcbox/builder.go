package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	assets "github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/boot/debian"
)

// newBuilder gives what builds a flavour on this machine, "" for the debian one.
// It works in the machine's shared cache, or in the data directory of a user who
// may not write there.
func newBuilder(lib *assets.Library, flavour string) (assets.Builder, error) {
	switch flavour {
	case "":
		flavour = assets.FlavourDebian
	case assets.FlavourDebian, assets.FlavourArcBox:
	default:
		return nil, usagef("there is no flavour %q; the flavours are %s and %s", flavour, assets.FlavourDebian, assets.FlavourArcBox)
	}
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	cache := sharedAssets()
	if !lib.Shared.Writable() {
		cache = filepath.Join(h.Root(), "cache")
	}
	guest, err := guestProgram()
	if err != nil {
		return nil, err
	}
	return debian.New(flavour, cache, guest)
}

// guestProgram finds arcbox-guest beside this program.
func guestProgram() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot find arcbox-guest: %w", err)
	}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	path := filepath.Join(filepath.Dir(self), "arcbox-guest")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("cannot build assets: %w; arcbox-guest belongs beside %s", err, self)
	}
	return path, nil
}
