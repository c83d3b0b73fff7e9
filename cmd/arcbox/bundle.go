package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// Bounds of a bundle: of each log its end, and so many logs.
const (
	bundleTail  = 1 << 20
	bundleFiles = 200
)

// secrets are words that look as if nobody else should have them, with what follows.
var secrets = regexp.MustCompile(`(?i)((?:pass(?:word|wd)?|secret|token|api[_-]?key|private[_-]?key|authorization|credential)s?["']?\s*[:=]\s*)("[^"]*"|'[^']*'|bearer\s+\S+|[^\s,;}]+)` +
	`|-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)-----END [A-Z ]*PRIVATE KEY-----|\b(?:ghp|gho|github_pat|sk|xox[bp])[_-][A-Za-z0-9_-]{16,}`)

// withoutSecrets leaves out of text what looks like one.
func withoutSecrets(text string) string { return secrets.ReplaceAllString(text, "${1}[left out]") }

// bundle writes what a bug report needs. Nothing of the environment is in it.
func (p *patient) bundle(ctx context.Context, path string) error {
	files := map[string]string{}
	if text, err := json.MarshalIndent(map[string]any{"version": readVersion(), "findings": p.found}, "", "  "); err == nil {
		files["doctor.json"] = string(text)
	}
	if p.conn != nil {
		ask, cancel := context.WithTimeout(ctx, 2*answerTime)
		defer cancel()
		if d, err := ipc.Call(ask, p.conn, agentapi.Diagnostics, &agentapi.DiagnosticsReq{}); err == nil {
			maps.Copy(files, d.Files)
		} else {
			files["agent/error.txt"] = err.Error()
		}
	}
	p.collect(files, "config.toml", "machines/*.json", "log/*", "log/crash/*")
	return writeBundle(path, files)
}

// collect adds the ends of files of the home.
func (p *patient) collect(files map[string]string, patterns ...string) {
	for _, pattern := range patterns {
		found, _ := filepath.Glob(filepath.Join(p.home.Root(), pattern))
		for _, path := range found {
			if len(files) >= bundleFiles {
				return
			}
			name, err := filepath.Rel(p.home.Root(), path)
			if text, rerr := readTail(path); err == nil && rerr == nil {
				files["home/"+filepath.ToSlash(name)] = text
			}
		}
	}
}

// readTail is the end of a regular file.
func readTail(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "", errors.New("it is no file")
	}
	if over := info.Size() - bundleTail; over > 0 {
		if _, err := f.Seek(over, io.SeekStart); err != nil {
			return "", err
		}
	}
	text, err := io.ReadAll(io.LimitReader(f, bundleTail))
	return strings.ToValidUTF8(string(text), "?"), err
}

// writeBundle packs files, by name, for this user alone.
func writeBundle(path string, files map[string]string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := withoutSecrets(files[name])
		h := &tar.Header{Name: "arcbox/" + name, Mode: 0o600, Size: int64(len(text)), ModTime: time.Now()}
		if err = w.WriteHeader(h); err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			break
		}
	}
	if err := errors.Join(err, w.Close(), z.Close(), f.Close()); err != nil {
		os.Remove(path)
		return fmt.Errorf("cannot write the bundle: %w", err)
	}
	return nil
}

// entitlements are what a program on macOS was signed for, as codesign prints them.
func entitlements(ctx context.Context, program string) string {
	out, err := exec.CommandContext(ctx, "/usr/bin/codesign", "-d", "--entitlements", "-", program).CombinedOutput()
	if err != nil {
		return ""
	}
	return string(out)
}
