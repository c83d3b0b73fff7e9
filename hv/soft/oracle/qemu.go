package oracle

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

//go:embed testdata/runner.c
var runnerSource []byte

// The programs that the oracle needs, from Debian's qemu-user and
// gcc-aarch64-linux-gnu.
const (
	qemuProgram  = "qemu-aarch64"
	crossProgram = "aarch64-linux-gnu-gcc"
)

// QEMU runs vectors under qemu-aarch64. Any goroutine may use it.
type QEMU struct {
	runner string
	limit  time.Duration // of one Run
}

// NewQEMU builds the runner, unless dir (made if need be) holds it already for
// this source. Errors: exec.ErrNotFound when QEMU or the compiler is missing.
func NewQEMU(dir string) (*QEMU, error) {
	if _, err := exec.LookPath(qemuProgram); err != nil {
		return nil, fmt.Errorf("cannot compare with QEMU: %w; install qemu-user", err)
	}
	sum := sha256.Sum256(append(runnerSource[:len(runnerSource):len(runnerSource)], strings.Join(runnerFlags, " ")...))
	path := filepath.Join(dir, "oracle-runner-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(path); err == nil {
		return &QEMU{path, batchTime}, nil
	}
	if _, err := exec.LookPath(crossProgram); err != nil {
		return nil, fmt.Errorf("cannot build the oracle's runner: %w; install gcc-aarch64-linux-gnu", err)
	}
	if err := build(dir, path); err != nil {
		return nil, err
	}
	return &QEMU{path, batchTime}, nil
}

// runnerFlags place the runner's 9 MiB image, and the heap after it, where no
// vector's address falls but by a chance of 2^-40: at the linker's default of
// 4 MiB an access that faults on the engine would find the runner's own memory.
var runnerFlags = []string{"-O2", "-static", "-Wl,-Ttext-segment=0x2b5d3c000000"}

// build compiles the runner beside path and moves it there, so that a test
// process at its side never sees half of it.
func build(dir, path string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	src, bin := filepath.Join(tmp, "runner.c"), filepath.Join(tmp, "runner")
	if err := os.WriteFile(src, runnerSource, 0o644); err != nil {
		return err
	}
	if out, err := exec.Command(crossProgram, append(runnerFlags, "-o", bin, src)...).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build the oracle's runner: %w\n%s", err, out)
	}
	return os.Rename(bin, path)
}

// batchTime is far more than a full batch takes.
const batchTime = 20 * time.Second

// ErrStuck is what Run ends with when vectors take too long.
var ErrStuck = errors.New("the vectors do not end")

// Run gives the result of every vector. All must name the same CPU and lie in
// the slots 0, 1, 2 and so on.
func (q *QEMU) Run(vs []*Vector) ([]Result, error) {
	if len(vs) == 0 {
		return nil, nil
	}
	input, err := encode(vs)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), q.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, qemuProgram, "-cpu", vs[0].CPU, q.runner)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("cannot run %d vectors under QEMU: %w", len(vs), ErrStuck)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot run %d vectors under QEMU: %w\n%s", len(vs), err, stderr.Bytes())
	}
	return decode(out, len(vs))
}
