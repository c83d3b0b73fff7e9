package agent

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/boot/debian"
	"github.com/arcboxlabs/arcbox-go/boot/debian/kernel"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// fetch makes a boot asset when there is none, as "arcbox assets fetch" does, and says how far it is.
func (a *agent) fetch(ctx context.Context) (*boot.Asset, error) {
	a.enter(agentapi.DownloadingAssets, "making the boot asset", nil)
	asset, err := a.build(ctx)
	if err != nil {
		a.enter(agentapi.Degraded, "there is no boot asset; see arcbox assets fetch", err)
		return nil, err
	}
	a.enter(agentapi.AssetsReady, asset.ID, nil)
	a.settle()
	return asset, nil
}

// build makes an asset of our own kernel if it has been compiled, else of Debian's.
func (a *agent) build(ctx context.Context) (*boot.Asset, error) {
	guest, err := home.Beside("arcbox-guest")
	if err != nil {
		return nil, fmt.Errorf("cannot make a boot asset: %w", err)
	}
	cache, err := home.Shared()
	if err != nil {
		return nil, err
	}
	if !a.options.Library.Shared.Writable() {
		cache = filepath.Join(a.options.Home.Root(), "cache")
	}
	flavour := boot.FlavourDebian
	if _, err := kernel.Find(cache); err == nil {
		flavour = boot.FlavourArcBox
	}
	builder, err := debian.New(flavour, cache, guest)
	if err != nil {
		return nil, err
	}
	f := boot.Fetch{Progress: a.fetching}
	asset, _, err := f.Build(ctx, a.options.Library, builder)
	return asset, err
}

// fetching tells followers of the setup what a fetch is at.
func (a *agent) fetching(e boot.Event) {
	if e.File == "" {
		a.log.Info().Str("phase", string(e.Phase)).Msg(e.Message)
		a.setup.say(e.Message)
		return
	}
	a.setup.progress(agentapi.Progress{What: string(e.Phase) + " " + e.File, Done: e.Done, Total: e.Total, Unit: "bytes"})
}
