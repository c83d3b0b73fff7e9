package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	assets "github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/boot/debian"
	"github.com/arcboxlabs/arcbox-go/boot/debian/kernel"
)

// buildAssets builds one flavour, or with "" those that take no compiler: Debian's
// and, if our own kernel is in the cache, ours. It works in the machine's shared
// cache, or in the data directory of a user who may not write there.
func buildAssets(ctx context.Context, fetch *assets.Fetch, lib *assets.Library, flavour string) ([]fetched, error) {
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	cache, err := home.Shared()
	if err != nil {
		return nil, err
	}
	if !lib.Shared.Writable() {
		cache = filepath.Join(h.Root(), "cache")
	}
	flavours := []string{flavour}
	switch flavour {
	case assets.FlavourDebian, assets.FlavourArcBox:
	case "":
		flavours[0] = assets.FlavourDebian
		if _, err := kernel.Find(cache); err == nil {
			flavours = append(flavours, assets.FlavourArcBox)
		}
	default:
		return nil, usagef("there is no flavour %q; the flavours are %s and %s", flavour, assets.FlavourDebian, assets.FlavourArcBox)
	}
	guest, err := guestProgram()
	if err != nil {
		return nil, err
	}
	var got []fetched
	for _, flavour := range flavours {
		b, err := debian.New(flavour, cache, guest)
		if err != nil {
			return nil, err
		}
		a, fresh, err := fetch.Build(ctx, lib, b)
		if err != nil {
			return nil, err
		}
		got = append(got, fetched{a, fresh})
	}
	return got, nil
}

// guestProgram finds arcbox-guest beside this program.
func guestProgram() (string, error) {
	path, err := home.Beside("arcbox-guest")
	if err != nil {
		return "", fmt.Errorf("cannot build assets: %w", err)
	}
	return path, nil
}
