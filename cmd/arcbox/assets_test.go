package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/agent/home"
)

// publishAsset makes a directory that assets can be fetched from.
func publishAsset(t *testing.T, version string) string {
	t.Helper()
	kernel := make([]byte, 8192)
	binary.LittleEndian.PutUint32(kernel, 0x14000010) // b +0x40
	binary.LittleEndian.PutUint64(kernel[0x10:], uint64(len(kernel)))
	copy(kernel[0x38:], "ARM\x64")
	copy(kernel[0x40:], version)
	manifest := fmt.Sprintf(`{"schema": 1, "flavour": "arcbox", "kernel_version": %q, "cmdline": "console=hvc0",
		"files": [{"name": "Image", "size": %d, "sha256": "%x"}]}`, version, len(kernel), sha256.Sum256(kernel))
	dir := t.TempDir()
	for name, data := range map[string][]byte{"Image": kernel, "manifest.json": []byte(manifest)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// runAssets runs arcbox assets in the home that the environment names.
func runAssets(args ...string) (stdout string, status int) {
	root := newRoot()
	var out, progress bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&progress)
	root.SetArgs(append([]string{"assets"}, args...))
	status = report(root.Execute())
	return out.String(), status
}

// emptyHome makes the environment that of a machine without assets.
func emptyHome(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv(home.Env, filepath.Join(dir, "home"))
	t.Setenv(home.SharedEnv, filepath.Join(dir, "shared"))
	t.Setenv("DOCKER_CONFIG", filepath.Join(dir, "docker"))
	return filepath.Join(dir, "home")
}

func TestAssetsFromFetchToRemove(t *testing.T) {
	home := emptyHome(t)
	src := publishAsset(t, "6.12.8")
	mustRun(t, "fetch", src)
	var listed []assetRecord
	if err := json.Unmarshal([]byte(mustRun(t, "list", "--json")), &listed); err != nil {
		t.Fatal(err)
	}
	if len(listed) != 1 || !listed[0].Default || len(listed[0].Files) != 1 {
		t.Fatalf("listed %+v", listed)
	}
	image := listed[0].Files[0].Path
	if !filepath.IsAbs(image) || filepath.Base(image) != "Image" || !strings.HasPrefix(image, home) {
		t.Errorf("the kernel is at %s", image)
	}
	if got := mustRun(t, "path", "arcbox", "--file", "Image"); got != image+"\n" {
		t.Errorf("path says %q, list says %q", got, image)
	}
	if err := os.Truncate(image, 5); err != nil {
		t.Fatal(err)
	}
	if out, status := runAssets("verify"); status != exitError || !strings.Contains(out, "5 bytes") {
		t.Errorf("verify of a damaged asset: status %d, %q", status, out)
	}
	mustRun(t, "fetch", src)
	if out := mustRun(t, "verify", "--json"); !strings.Contains(out, `"ok": true`) {
		t.Errorf("verify after the repair: %q", out)
	}
	if out := mustRun(t, "remove", listed[0].ID); !strings.Contains(out, listed[0].ID) {
		t.Errorf("remove says %q", out)
	}
	if out := mustRun(t, "list", "--json"); out != "[]\n" {
		t.Errorf("left: %q", out)
	}
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, status := runAssets(args...)
	if status != 0 {
		t.Fatalf("arcbox assets %s: status %d, %q", strings.Join(args, " "), status, out)
	}
	return out
}

func TestAssetsRollbackGoesToWhatBooted(t *testing.T) {
	emptyHome(t)
	mustRun(t, "fetch", publishAsset(t, "6.12.1"))
	lib, err := openLibrary()
	if err != nil {
		t.Fatal(err)
	}
	good, err := lib.Default()
	if err != nil {
		t.Fatal(err)
	}
	if err := lib.MarkBooted(t.Context(), good.ID); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "fetch", publishAsset(t, "6.12.2"))
	if out := mustRun(t, "rollback", "--json"); !strings.Contains(out, good.ID) {
		t.Errorf("rolled back to %s, want %s", out, good.ID)
	}
	if out := mustRun(t, "path"); !strings.Contains(out, good.ID) {
		t.Errorf("the default is %s, want %s", out, good.ID)
	}
}

func TestBadAssetsRequests(t *testing.T) {
	tests := []struct {
		name   string
		args   string
		status int
	}{
		{"fetch from nowhere", "fetch /nowhere", exitError},
		{"fetch from a directory without assets", "fetch .", exitError},
		{"fetch without encryption", "fetch http://example.com/", exitUsage},
		{"fetch from two places", "fetch a b", exitUsage},
		{"fetch of an unknown flavour", "fetch --flavour gentoo", exitUsage},
		{"fetch of a flavour from a source", "fetch --flavour debian .", exitUsage},
		{"fetch with a key that is none", "fetch --key x .", exitUsage},
		{"list with a word", "list all", exitUsage},
		{"path of nothing", "path", exitError},
		{"path of what is not there", "path 6.1", exitError},
		{"verify of what is not there", "verify 6.1", exitError},
		{"remove of nothing", "remove", exitUsage},
		{"remove of what is not there", "remove 6.1", exitError},
		{"remove of what is outside", "remove ../home", exitError},
		{"rollback where nothing booted", "rollback", exitError},
		{"unknown flag", "list --jsn", exitUsage},
		{"unknown command", "lst", exitUsage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			home := emptyHome(t)
			if out, status := runAssets(strings.Fields(tt.args)...); status != tt.status {
				t.Errorf("status %d, want %d: %q", status, tt.status, out)
			}
			if _, err := os.Lstat(home); err == nil {
				t.Error("a data directory was made")
			}
		})
	}
}

func TestBootRefusesADamagedKernel(t *testing.T) {
	emptyHome(t)
	mustRun(t, "fetch", publishAsset(t, "6.12.8"))
	image := strings.TrimSpace(mustRun(t, "path", "--file", "Image"))
	if err := os.WriteFile(image, make([]byte, 8192), 0o644); err != nil { // the same size
		t.Fatal(err)
	}
	root := newRoot()
	root.SetArgs([]string{"boot"})
	if err := root.Execute(); err == nil || !strings.Contains(err.Error(), "run arcbox assets fetch") {
		t.Errorf("error %v, want one that says how to repair it", err)
	}
}

func TestAnAssetIsUsedUntilTheBestIs(t *testing.T) {
	emptyHome(t)
	mustRun(t, "fetch", publishAsset(t, "6.12.7"))
	old := filepath.Base(strings.TrimSpace(mustRun(t, "path")))
	mustRun(t, "fetch", publishAsset(t, "6.12.8"))
	isDefault := func() string { return filepath.Base(strings.TrimSpace(mustRun(t, "path"))) }
	newest := isDefault()
	if newest == old {
		t.Fatal("the second fetch changed nothing")
	}
	mustRun(t, "use", old)
	if got := isDefault(); got != old {
		t.Errorf("after use the default is %s, want %s", got, old)
	}
	mustRun(t, "use", "--best")
	if got := isDefault(); got != newest {
		t.Errorf("after use --best the default is %s, want %s", got, newest)
	}
	if err := os.Truncate(strings.TrimSpace(mustRun(t, "path", old, "--file", "Image")), 3); err != nil {
		t.Fatal(err)
	}
	if _, status := runAssets("use", old); status != exitError {
		t.Errorf("a damaged asset was taken: exit %d", status)
	}
	if _, status := runAssets("use"); status != exitUsage {
		t.Errorf("use of nothing exits with %d", status)
	}
}
