package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// qemu is the peer of everything that runs a guest: TCG, a thread for each vCPU,
// and the CPU model that is nearest to what our engine offers.
const qemu = "qemu-system-aarch64 (TCG)"

// A machine is one guest of both VMMs: same kernel, initrd, memory.
type machine struct {
	kernel, initrd, cmdline string
	cpus                    int
}

// A run is what one boot of it showed.
type boot struct {
	toInit       time.Duration            // from starting the process to init's first line
	took         map[string]time.Duration // by kind of work, by the guest's clock
	instructions uint64                   // ours only
}

// guestSuites are the figures that need a guest.
func guestSuites() ([]*suite, error) {
	initrd, err := benchInitrd()
	if err != nil {
		return nil, err
	}
	flavours, err := kernels()
	if err != nil {
		return nil, err
	}
	var suites []*suite
	for _, fl := range []string{"arcbox", "debian"} {
		m, ok := flavours[fl]
		if !ok {
			fmt.Fprintf(os.Stderr, "bench: no %s kernel here; its figures are left out\n", fl)
			continue
		}
		m.initrd = initrd
		if len(suites) == 0 {
			four := m
			four.cpus = 4
			suites = append(suites, cpuSuite(m), scaleSuite(m), bootSuite("boot.init.smp4", four))
		}
		suites = append(suites, bootSuite("boot.init."+fl, m), countSuite(fl, m))
	}
	return suites, nil
}

// cpuSuite measures the guest's speed at three kinds of work.
func cpuSuite(m machine) *suite {
	return &suite{
		names: []string{"cpu.int", "cpu.mem", "cpu.fp"}, rounds: 5, peer: qemu, unit: "s",
		round: func(s *samples) error {
			return m.both("int,mem,fp", func(ours, peer boot) {
				for _, kind := range []string{"int", "mem", "fp"} {
					s.add("cpu."+kind, ours.took[kind].Seconds(), peer.took[kind].Seconds())
				}
			})
		},
	}
}

// scaleSuite measures how many times as fast two vCPUs do what one does alone,
// without memory in common: 2 at best, on a host with two idle cores.
func scaleSuite(m machine) *suite {
	m.cpus = 2
	return &suite{
		names: []string{"smp.scale"}, rounds: 5, peer: qemu, unit: "times", more: true,
		round: func(s *samples) error {
			return m.both("alone,together", func(ours, peer boot) { s.add("smp.scale", ours.scale(), peer.scale()) })
		},
	}
}

func (r boot) scale() float64 { return r.took["alone"].Seconds() / r.took["together"].Seconds() }

// bootSuite measures from the start of the process to the first line of init.
func bootSuite(name string, m machine) *suite {
	return &suite{
		names: []string{name}, rounds: 7, peer: qemu, unit: "s",
		round: func(s *samples) error {
			return m.both("none", func(ours, peer boot) { s.add(name, ours.toInit.Seconds(), peer.toInit.Seconds()) })
		},
	}
}

// goals are the most million instructions that a boot to init may take with
// 512 MiB; its peer is the goal.
var goals = map[string]float64{"arcbox": 45, "debian": 100}

// countSuite counts the instructions of a boot to init and the power-off.
func countSuite(flavour string, m machine) *suite {
	name := "boot.init." + flavour + ".instructions"
	return &suite{
		names: []string{name}, rounds: 1, peer: "goal", unit: "M",
		round: func(s *samples) error {
			r, err := m.ours("none")
			s.add(name, float64(r.instructions)/1e6, goals[flavour])
			return err
		},
	}
}

func (s *samples) add(name string, ours, peer float64) {
	s.ours[name] = append(s.ours[name], ours)
	s.peer[name] = append(s.peer[name], peer)
}

// both runs the work under each VMM once, one after the other.
func (m machine) both(work string, use func(ours, peer boot)) error {
	ours, err := m.ours(work)
	if err != nil {
		return err
	}
	peer, err := m.qemu(work)
	if err != nil {
		return err
	}
	use(ours, peer)
	return nil
}

func (m machine) append(work string) string { return m.cmdline + " console=ttyAMA0 bench=" + work }

func (m machine) ours(work string) (boot, error) {
	cmd := exec.Command("bin/arcbox", "boot", "--kernel", m.kernel, "--initrd", m.initrd, "--memory", "512MiB",
		"--cpus", strconv.Itoa(max(m.cpus, 1)), "--console", "ttyAMA0", "--timeout", "5m", "--json", "--cmdline", m.append(work))
	var summary bytes.Buffer
	cmd.Stderr = &summary
	r, err := watch(cmd)
	if err != nil {
		return r, fmt.Errorf("%w\n%s", err, summary.String())
	}
	var end struct{ Instructions uint64 }
	if err := json.Unmarshal(summary.Bytes(), &end); err != nil {
		return r, fmt.Errorf("cannot read the summary %q: %w", summary.String(), err)
	}
	r.instructions = end.Instructions
	return r, nil
}

func (m machine) qemu(work string) (boot, error) {
	return watch(exec.Command("qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "max,pauth=off", "-accel", "tcg,thread=multi",
		"-smp", strconv.Itoa(max(m.cpus, 1)), "-m", "512", "-display", "none", "-nodefaults", "-serial", "stdio", "-no-reboot",
		"-kernel", m.kernel, "-initrd", m.initrd, "-append", m.append(work)))
}

// watch runs a VMM and reads what the benchmark's init says on its console.
func watch(cmd *exec.Cmd) (boot, error) {
	r := boot{took: map[string]time.Duration{}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return r, err
	}
	lines := bufio.NewScanner(out)
	var last string
	for lines.Scan() {
		last = lines.Text()
		r.read(last, time.Since(start))
	}
	if err := cmd.Wait(); err != nil {
		return r, fmt.Errorf("%s: %w; its last line was %q", filepath.Base(cmd.Path), err, last)
	}
	if r.toInit == 0 {
		return r, fmt.Errorf("%s: init never spoke; the last line was %q", filepath.Base(cmd.Path), last)
	}
	return r, nil
}

// read takes what one console line says: "bench init" or "bench WORK NS SUM".
func (r *boot) read(line string, at time.Duration) {
	words := strings.Fields(line)
	if len(words) < 2 || words[0] != "bench" {
		return
	}
	if words[1] == "init" {
		r.toInit = at
	} else if len(words) == 4 {
		ns, _ := strconv.ParseInt(words[2], 10, 64)
		r.took[words[1]] = time.Duration(ns)
	}
}

// benchInitrd builds the benchmark's init and packs it.
func benchInitrd() (string, error) {
	dir := filepath.Join("build", "bench")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	init := filepath.Join(dir, "init")
	build := exec.Command("go", "build", "-trimpath", "-o", init, "./bench/guest")
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build the benchmark's init: %w\n%s", err, out)
	}
	return pack(dir, "init")
}

// pack makes a cpio archive of one program.
func pack(dir, name string) (string, error) {
	path := filepath.Join(dir, name+".cpio")
	out, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer out.Close()
	cmd := exec.Command("cpio", "-o", "-H", "newc", "--quiet")
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, strings.NewReader(name+"\n"), out, os.Stderr
	return path, cmd.Run()
}

// kernels are those of the asset flavours that this machine has.
func kernels() (map[string]machine, error) {
	found, err := kit.Assets("bin/arcbox")
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errors.New("there are no boot assets; run make assets")
	}
	all := map[string]machine{}
	for _, f := range found {
		all[f.Name] = machine{kernel: f.Kernel, cmdline: f.Tuning}
	}
	return all, nil
}
