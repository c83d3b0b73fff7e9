package main

import (
	"context"
	"errors"
	"fmt"

	assets "github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// useAsset fills in what is booted when no kernel was named: the kernel, initrd
// and root of an asset, the root as vda, and its command line with the user's
// behind. The asset is in use until release is called.
//
// Kernel and initrd are verified: they are read as a whole anyway, and a guest
// with one wrong bit in them dies in ways that nobody can read. The root is not,
// because it may be large; see settle.
func (f *bootFlags) useAsset(ctx context.Context) (asset *assets.Asset, release func() error, err error) {
	lib, err := openLibrary()
	if err != nil {
		return nil, nil, err
	}
	asset, err = lib.Find(f.asset)
	if errors.Is(err, assets.ErrNotFound) {
		return nil, nil, usagef("%w; or give --kernel FILE", err)
	} else if err != nil {
		return nil, nil, err
	}
	held, err := asset.Use()
	if err != nil {
		return nil, nil, err
	}
	if err := asset.Verify(ctx, nil, assets.KernelName, assets.InitrdName); err != nil {
		return nil, nil, errors.Join(damaged(asset, err), held.Close())
	}
	f.kernel = asset.Path(assets.KernelName)
	if f.initrd == "" {
		f.initrd = asset.Path(assets.InitrdName)
	}
	if root := asset.Path(assets.RootName); root != "" {
		f.disks = append([]string{root + ",ro"}, f.disks...)
	}
	more := f.cmdline
	if f.console == string(vmapi.TTYAMA0) { // assets have the other
		more = "console=" + f.console + " " + more
	}
	if f.cmdline, err = assets.Cmdline(asset.Manifest.Cmdline, more, 0); err != nil {
		return nil, nil, errors.Join(usagef("%w", err), held.Close())
	}
	return asset, held.Close, nil
}

func damaged(asset *assets.Asset, err error) error {
	return fmt.Errorf("cannot boot %s: %w; run arcbox assets fetch to repair it", asset.ID, err)
}

// settle draws the conclusion of a boot for its asset, nil if there was none: one
// that powered off is noted for rollback, one that broke is looked into.
func settle(ctx context.Context, asset *assets.Asset, end *vmapi.WaitResp) error {
	switch {
	case asset == nil:
		return nil
	case end.Outcome == vmapi.PowerOff:
		return remember(ctx, asset.ID)
	case end.Outcome == vmapi.Panic || end.Outcome == vmapi.Fault:
		if err := asset.Verify(ctx, nil); err != nil {
			return damaged(asset, err)
		}
	}
	return nil
}

// remember notes that an asset booted.
func remember(ctx context.Context, id string) error {
	lib, err := openLibrary()
	if err != nil {
		return err
	}
	if err := lib.MarkBooted(ctx, id); err != nil {
		return fmt.Errorf("cannot note that %s booted: %w", id, err)
	}
	return nil
}
