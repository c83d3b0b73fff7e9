package agent_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/arcboxlabs/arcbox-go/agent"
	"github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// install puts an asset with a kernel that nobody could boot into a store, and gives its ID.
func install(t *testing.T, store, version string) string {
	t.Helper()
	kernel := []byte("the kernel " + version)
	manifest := fmt.Sprintf(`{"schema": 1, "flavour": "arcbox", "kernel_version": %q, "cmdline": "console=hvc0",
		"files": [{"name": "Image", "size": %d, "sha256": "%x"}]}`, version, len(kernel), sha256.Sum256(kernel))
	sum := sha256.Sum256([]byte(manifest))
	id := version + "-" + hex.EncodeToString(sum[:])[:12]
	dir := filepath.Join(store, "assets", id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"Image": kernel, boot.ManifestName: []byte(manifest)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

// code is that of an error of a peer's.
func code(err error) ipc.Code {
	var e *ipc.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestAssetsThroughTheAgent(t *testing.T) {
	h := newHome(t)
	first, second := install(t, h.Boot(), "6.1.1"), install(t, h.Boot(), "6.1.2")
	r := startWith(t, h, func(o *agent.Options) { o.Library = boot.OpenLibrary(h.Boot(), t.TempDir()) })
	ctx := t.Context()
	list := func() map[string]agentapi.Asset {
		resp, err := ipc.Call(ctx, r.conn, agentapi.Assets, &agentapi.AssetsReq{})
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]agentapi.Asset{}
		for _, a := range resp.Assets {
			all[a.ID] = a
		}
		return all
	}
	if all := list(); len(all) != 2 || all[first].KernelVersion != "6.1.1" || all[first].Size != 16 || all[first].Damage != "" {
		t.Errorf("the assets are %+v", all)
	}
	if got, err := ipc.Call(ctx, r.conn, agentapi.UseAsset, &agentapi.AssetReq{ID: first}); err != nil || got.Asset.ID != first || !list()[first].Default {
		t.Errorf("using one: %+v, %v", got, err)
	}
	if _, err := ipc.Call(ctx, r.conn, agentapi.RemoveAsset, &agentapi.AssetReq{ID: first}); code(err) != ipc.WrongState {
		t.Errorf("the selected one is removed: %v", err)
	}
	if err := os.WriteFile(filepath.Join(h.Boot(), "assets", second, "Image"), []byte("another kernel 1"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := ipc.Call(ctx, r.conn, agentapi.VerifyAsset, &agentapi.AssetReq{ID: second}); err != nil || got.Asset.Damage == "" {
		t.Errorf("damage is not seen: %+v, %v", got, err)
	}
	if _, err := ipc.Call(ctx, r.conn, agentapi.RemoveAsset, &agentapi.AssetReq{ID: second}); err != nil || len(list()) != 1 {
		t.Errorf("removing one: %v, left are %+v", err, list())
	}
	for _, id := range []string{"nothing", second} {
		if _, err := ipc.Call(ctx, r.conn, agentapi.VerifyAsset, &agentapi.AssetReq{ID: id}); code(err) != agentapi.NotFound {
			t.Errorf("verifying %s: %v", id, err)
		}
	}
	if _, err := ipc.Call(ctx, r.conn, agentapi.RemoveAsset, &agentapi.AssetReq{}); code(err) != ipc.BadRequest {
		t.Errorf("removing what has no name: %v", err)
	}
}

func TestAnAgentWithoutAssetsSaysSo(t *testing.T) {
	r := start(t, newHome(t))
	if _, err := ipc.Call(t.Context(), r.conn, agentapi.Assets, &agentapi.AssetsReq{}); code(err) != ipc.WrongState {
		t.Error(err)
	}
}
