package agent

import (
	"context"
	"errors"

	"github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

func (a *agent) assetRoutes(mux *ipc.Mux) {
	handleAssets(mux, agentapi.Assets, a.assets)
	handleAssets(mux, agentapi.FetchAsset, a.fetchAsset)
	handleAssets(mux, agentapi.VerifyAsset, a.verifyAsset)
	handleAssets(mux, agentapi.UseAsset, a.useAsset)
	handleAssets(mux, agentapi.RemoveAsset, a.removeAsset)
}

// handleAssets is ipc.Handle for methods about boot assets, whose errors get the code that callers branch on.
func handleAssets[Req, Resp any](mux *ipc.Mux, m ipc.Method[Req, Resp], h func(context.Context, *Req) (*Resp, error)) {
	ipc.Handle(mux, m, func(ctx context.Context, req *Req) (*Resp, error) {
		resp, err := h(ctx, req)
		switch {
		case errors.Is(err, boot.ErrNotFound):
			err = &ipc.Error{Code: agentapi.NotFound, Message: err.Error(), Hint: "see arcbox assets list"}
		case errors.Is(err, boot.ErrInUse):
			err = &ipc.Error{Code: ipc.WrongState, Message: err.Error()}
		}
		return resp, err
	})
}

// errNoLibrary is what an agent of mock machines answers.
var errNoLibrary = &ipc.Error{Code: ipc.WrongState, Message: "cannot look at boot assets: this agent has none"}

func (a *agent) library() (*boot.Library, error) {
	if a.options.Library == nil {
		return nil, errNoLibrary
	}
	return a.options.Library, nil
}

func (a *agent) assets(context.Context, *agentapi.AssetsReq) (*agentapi.AssetsResp, error) {
	lib, err := a.library()
	if err != nil {
		return nil, err
	}
	all, err := lib.List()
	if err != nil {
		return nil, err
	}
	resp := &agentapi.AssetsResp{Assets: []agentapi.Asset{}}
	for i := range all {
		resp.Assets = append(resp.Assets, tellAsset(lib, &all[i]))
	}
	return resp, nil
}

// tellAsset says what an asset is.
func tellAsset(lib *boot.Library, x *boot.Asset) agentapi.Asset {
	t := agentapi.Asset{ID: x.ID, Dir: x.Dir, Installed: x.Installed.UTC()}
	if x.Manifest != nil {
		t.Flavour, t.KernelVersion, t.Size = x.Manifest.Flavour, x.Manifest.KernelVersion, x.Manifest.Size()
	}
	if x.Damage != nil {
		t.Damage = x.Damage.Error()
	}
	if d, err := lib.Default(); err == nil {
		t.Default = d.ID == x.ID
	}
	return t
}

func (a *agent) fetchAsset(ctx context.Context, _ *agentapi.FetchAssetReq) (*agentapi.AssetResp, error) {
	lib, err := a.library()
	if err != nil {
		return nil, err
	}
	x, err := a.fetch(ctx)
	if err != nil {
		return nil, err
	}
	return &agentapi.AssetResp{Asset: tellAsset(lib, x)}, nil
}

func (a *agent) verifyAsset(ctx context.Context, req *agentapi.AssetReq) (*agentapi.AssetResp, error) {
	lib, err := a.library()
	if err != nil {
		return nil, err
	}
	x, err := lib.Find(req.ID)
	if err != nil {
		return nil, err
	}
	err = x.Verify(ctx, nil)
	if err != nil && !errors.Is(err, boot.ErrDamaged) {
		return nil, err
	}
	resp := &agentapi.AssetResp{Asset: tellAsset(lib, x)}
	if err != nil {
		resp.Asset.Damage = err.Error()
	}
	return resp, nil
}

func (a *agent) useAsset(ctx context.Context, req *agentapi.AssetReq) (*agentapi.AssetResp, error) {
	lib, err := a.library()
	if err != nil {
		return nil, err
	}
	x, err := lib.Select(ctx, req.ID, nil)
	if err != nil {
		return nil, err
	}
	return &agentapi.AssetResp{Asset: tellAsset(lib, x)}, nil
}

func (a *agent) removeAsset(ctx context.Context, req *agentapi.AssetReq) (*agentapi.RemoveAssetResp, error) {
	lib, err := a.library()
	if err != nil {
		return nil, err
	}
	if req.ID == "" {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot remove an asset without its ID")
	}
	x, err := lib.Find(req.ID)
	if err != nil {
		return nil, err
	}
	return &agentapi.RemoveAssetResp{}, lib.Remove(ctx, x.ID)
}
