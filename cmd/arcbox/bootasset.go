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
func (f *bootFlags) useAsset() (id string, release func() error, err error) {
	lib, err := openLibrary()
	if err != nil {
		return "", nil, err
	}
	asset, err := lib.Find(f.asset)
	if errors.Is(err, assets.ErrNotFound) {
		return "", nil, usagef("%w; or give --kernel FILE", err)
	} else if err != nil {
		return "", nil, err
	}
	held, err := asset.Use()
	if err != nil {
		return "", nil, err
	}
	f.kernel = asset.Path(assets.KernelName)
	if f.initrd == "" {
		f.initrd = asset.Path(assets.InitrdName)
	}
	if root := asset.Path(assets.RootName); root != "" {
		f.disks = append([]string{root + ",ro"}, f.disks...)
	}
	if f.cmdline, err = assets.Cmdline(asset.Manifest.Cmdline, f.cmdline, 0); err != nil {
		return "", nil, errors.Join(usagef("%w", err), held.Close())
	}
	return asset.ID, held.Close, nil
}

// remember notes for rollback that an asset booted and powered off.
func remember(ctx context.Context, id string, end *vmapi.WaitResp) error {
	if id == "" || end.Outcome != vmapi.PowerOff {
		return nil
	}
	lib, err := openLibrary()
	if err != nil {
		return err
	}
	if err := lib.MarkBooted(ctx, id); err != nil {
		return fmt.Errorf("cannot note that %s booted: %w", id, err)
	}
	return nil
}
