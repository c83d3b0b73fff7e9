package kernel

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A Source is a verified source package on disk.
type Source struct {
	Deb     string // path
	Version string // Debian's, as in 6.12.117-1~deb12u1
	SHA256  string
}

// environment makes the product depend on nothing of this machine but the
// compiler. The version counts links of one tree and would count up otherwise.
var environment = []string{
	"ARCH=arm64",
	"CROSS_COMPILE=aarch64-linux-gnu-",
	"KBUILD_BUILD_USER=arcbox",
	"KBUILD_BUILD_HOST=arcbox",
	"KBUILD_BUILD_TIMESTAMP=2026-01-01",
	"KBUILD_BUILD_VERSION=1",
	"LC_ALL=C",
}

// steps is how many lines a whole compile prints, for the progress shown.
const steps = 1850

// Build compiles the source with our configuration and puts the product into
// the cache. It needs the packages that scripts/deps installs, 2 GB of space
// and minutes; what it is at, it says.
func Build(ctx context.Context, cache string, src Source, say func(format string, args ...any)) (Kernel, error) {
	dst := filepath.Join(root(cache), src.Version+"-"+Digest())
	if k, err := read(dst); err == nil {
		return k, nil
	}
	w := workshop{dir: filepath.Join(root(cache), "work-"+src.Version), say: say}
	if err := w.unpack(ctx, src.Deb); err != nil {
		return Kernel{}, err
	}
	if err := w.configure(ctx); err != nil {
		return Kernel{}, err
	}
	if err := w.compile(ctx); err != nil {
		return Kernel{}, err
	}
	if err := w.deliver(ctx, dst, src); err != nil {
		return Kernel{}, err
	}
	if err := os.RemoveAll(w.dir); err != nil {
		say("cannot remove the build tree: %v", err)
	}
	return read(dst)
}

// A workshop is a source tree being compiled.
type workshop struct {
	dir string
	say func(format string, args ...any)
}

// tree is the source tree in the workshop.
func (w workshop) tree() string { return filepath.Join(w.dir, Package) }

// unpack unpacks the source, unless an earlier build did it to the end.
func (w workshop) unpack(ctx context.Context, deb string) error {
	done := filepath.Join(w.dir, "unpacked")
	if _, err := os.Stat(done); err == nil {
		w.say("going on with the kernel in %s", w.dir)
		return nil
	}
	w.say("unpacking the kernel's source")
	if err := os.RemoveAll(w.dir); err != nil {
		return fmt.Errorf("cannot unpack the kernel's source: %w", err)
	}
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return fmt.Errorf("cannot unpack the kernel's source: %w", err)
	}
	if err := w.run(ctx, w.dir, nil, "dpkg-deb", "-x", deb, "deb"); err != nil {
		return err
	}
	if err := w.run(ctx, w.dir, nil, "tar", "-xf", "deb/usr/src/"+Package+".tar.xz"); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(w.dir, "deb")); err != nil {
		return fmt.Errorf("cannot unpack the kernel's source: %w", err)
	}
	return os.WriteFile(done, nil, 0o644)
}

// configure writes the configuration and checks that the source took every
// option: one that was renamed or lost its dependency is dropped in silence.
func (w workshop) configure(ctx context.Context) error {
	all := filepath.Join(w.dir, "all.config")
	if err := os.WriteFile(all, []byte(fragments()), 0o644); err != nil {
		return fmt.Errorf("cannot configure the kernel: %w", err)
	}
	if err := w.run(ctx, w.tree(), nil, "make", "KCONFIG_ALLCONFIG="+all, "allnoconfig"); err != nil {
		return err
	}
	config, err := os.ReadFile(filepath.Join(w.tree(), ".config"))
	if err != nil {
		return fmt.Errorf("cannot configure the kernel: %w", err)
	}
	if lost := missing(fragments(), string(config)); len(lost) > 0 {
		return fmt.Errorf("cannot configure the kernel: this source does not take %s", strings.Join(lost, ", "))
	}
	return nil
}

// missing lists the options of our fragments that a configuration lacks.
func missing(fragments, config string) []string {
	have := map[string]bool{}
	for line := range strings.Lines(config) {
		have[strings.TrimSpace(line)] = true
	}
	var lost []string
	for line := range strings.Lines(fragments) {
		option := strings.TrimSpace(line)
		if strings.HasPrefix(option, "CONFIG_") && !have[option] {
			lost = append(lost, option)
		}
	}
	slices.Sort(lost)
	return lost
}

// compile runs make and says how far it is.
func (w workshop) compile(ctx context.Context) error {
	started, lines, said := time.Now(), 0, -1
	return w.run(ctx, w.tree(), func(string) {
		lines++
		if percent := min(lines*100/steps, 99); percent/5 > said {
			said = percent / 5
			w.say("compiling the kernel: %d %% after %v", said*5, time.Since(started).Round(time.Second))
		}
	}, "make", fmt.Sprintf("-j%d", runtime.NumCPU()), "Image")
}

// deliver puts the product into the cache: complete under another name first,
// so that what Find sees is whole.
func (w workshop) deliver(ctx context.Context, dst string, src Source) error {
	k, err := w.record(ctx, src)
	if err != nil {
		return fmt.Errorf("cannot record the kernel: %w", err)
	}
	part := filepath.Join(w.dir, "product")
	if err := os.MkdirAll(part, 0o755); err != nil {
		return fmt.Errorf("cannot keep the kernel: %w", err)
	}
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	for name, from := range map[string]string{imageFile: "arch/arm64/boot/Image", configFile: ".config"} {
		if err := os.Rename(filepath.Join(w.tree(), from), filepath.Join(part, name)); err != nil {
			return fmt.Errorf("cannot keep the kernel: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(part, recordFile), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("cannot keep the kernel: %w", err)
	}
	if err := os.RemoveAll(dst); err != nil { // a damaged one
		return fmt.Errorf("cannot keep the kernel: %w", err)
	}
	return os.Rename(part, dst)
}

// record gathers what a product was made of.
func (w workshop) record(ctx context.Context, src Source) (Kernel, error) {
	release, err := os.ReadFile(filepath.Join(w.tree(), "include/config/kernel.release"))
	if err != nil {
		return Kernel{}, err
	}
	sum, err := digestFile(filepath.Join(w.tree(), "arch/arm64/boot/Image"))
	if err != nil {
		return Kernel{}, err
	}
	gcc, err := exec.CommandContext(ctx, "aarch64-linux-gnu-gcc", "--version").Output()
	if err != nil {
		return Kernel{}, err
	}
	compiler, _, _ := strings.Cut(string(gcc), "\n")
	return Kernel{Version: strings.TrimSpace(string(release)), ImageSHA256: sum, Source: filepath.Base(src.Deb),
		SourceVersion: src.Version, SourceSHA256: src.SHA256, Compiler: compiler}, nil
}

// run runs a tool in a directory, with each line it prints given to line. The
// tool and all it started are killed when ctx ends.
func (w workshop) run(ctx context.Context, dir string, line func(string), name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), environment...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot compile a kernel: %w; run scripts/deps", err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if line != nil {
			line(lines.Text())
		}
	}
	io.Copy(io.Discard, out) // after a line that was too long
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("cannot compile a kernel: %s %s: %w: %s", name, args[len(args)-1], err, tail(complaint.String(), 5))
	}
	return nil
}

// tail is the end of a tool's complaint, on one line.
func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
