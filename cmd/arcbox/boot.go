package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/arcboxlabs/arcbox-go/agent/machine"
	assets "github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// Exit statuses of arcbox boot, beyond those of every command.
const (
	exitReset   = 3 // the guest reset itself, and a foreground boot does not start it again
	exitPanic   = 4 // the guest's kernel panicked, or the guest crashed
	exitTimeout = 5 // --timeout passed
)

// Why a boot was ended from outside.
var (
	errLeft    = errors.New("left with Ctrl-A x")
	errTimeout = errors.New("the time was up")
)

// bootFlags are arcbox boot's command line.
type bootFlags struct {
	kernel, initrd, dtbOut string
	asset                  string
	disks                  []string
	cmdline                string
	cpus                   int
	memory                 string
	engine                 string
	console                string
	timeout                time.Duration
	json, digest           bool
	seed                   string // of --deterministic; empty without it
	record, replay         string
	faults                 []string
	debug                  debugFlags
}

func newBoot() *cobra.Command {
	var f bootFlags
	cmd := &cobra.Command{
		Use:   "boot [--kernel FILE]",
		Short: "Boot a kernel in the foreground, with this terminal as its console",
		Long: `Boot a kernel in the foreground, with this terminal as its console.

The kernel is an arm64 Image (raw, gzip or EFI zboot), or any flat image that
follows the arm64 boot protocol. Without --kernel a boot asset is booted, with
its own initrd, root (as vda, before any --disk) and command line, to whose end
--cmdline is added; see arcbox assets. Ctrl-A x leaves.

Exit status: 0 the guest powered off, 3 it reset, 4 it panicked or crashed,
5 the timeout passed, 1 any other error, 2 bad usage.`,
		Example: `  arcbox boot --disk data.img
  arcbox boot --kernel Image --initrd initrd.img --cmdline "console=hvc0"
  arcbox boot --kernel Image --disk root.erofs,ro --disk data.img --cmdline "root=/dev/vda console=hvc0"
  arcbox boot --kernel flat.bin --console ttyAMA0 --timeout 10s --json`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return boot(cmd.Context(), &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.kernel, "kernel", "", "kernel `FILE` (default: a boot asset)")
	fl.StringVar(&f.asset, "asset", "", "boot asset `REF` without --kernel: an ID or a flavour (default: the best there is)")
	fl.StringVar(&f.initrd, "initrd", "", "initial RAM disk `FILE`")
	fl.StringVar(&f.dtbOut, "dtb-out", "", "write the device tree that the guest gets to `FILE`")
	fl.StringArrayVar(&f.disks, "disk", nil, "disk image `FILE[,ro]`; repeat for vdb, vdc, ...")
	fl.StringVar(&f.cmdline, "cmdline", "", "kernel command line")
	fl.IntVar(&f.cpus, "cpus", 1, "number of vCPUs")
	fl.StringVar(&f.memory, "memory", "512MiB", "guest memory `SIZE`")
	fl.StringVar(&f.engine, "engine", "", "hypervisor engine: soft, or hvf on a Mac (default: the best there is)")
	fl.StringVar(&f.console, "console", "hvc0", "console that this terminal is: hvc0 or ttyAMA0")
	fl.DurationVar(&f.timeout, "timeout", 0, "give up after so long, 0 for never")
	fl.BoolVar(&f.json, "json", false, "print a summary as JSON on standard error at the end")
	fl.StringVar(&f.seed, "deterministic", "", "make a run that the same `SEED` repeats: console, instructions, memory")
	fl.Lookup("deterministic").NoOptDefVal = "1"
	fl.StringVar(&f.record, "record", "", "log what a deterministic guest gets from outside (what is typed, the terminal's size) to `FILE`")
	fl.StringVar(&f.replay, "replay", "", "give the guest what the log `FILE` has, when it was given")
	fl.StringSliceVar(&f.faults, "fault", nil, "let a deterministic guest meet `FAULT`s: disk-error=N, delay-irq=N, ...; TAB or a wrong one lists them")
	f.debug.add(fl)
	fl.BoolVar(&f.digest, "memory-digest", false, "add memory_sha256 of guest RAM to the summary")
	completeFlag(cmd, "asset", completeAsset)
	completeFlag(cmd, "console", completeConsole)
	completeFlag(cmd, "engine", completeEngine)
	completeFlag(cmd, "fault", completeFault)
	return cmd
}

// boot runs one guest from start to end.
func boot(ctx context.Context, f *bootFlags) error {
	var asset *assets.Asset // nil with --kernel
	switch {
	case f.kernel != "" && f.asset != "":
		return usagef("cannot boot both a kernel and an asset: give --kernel or --asset")
	case f.kernel == "":
		var release func() error
		var err error
		if asset, release, err = f.useAsset(ctx); err != nil {
			return err
		}
		defer release()
	}
	req, err := f.request()
	defer req.Close()
	defer f.debug.close()
	if err != nil {
		return err
	}
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	if f.timeout > 0 {
		timer := time.AfterFunc(f.timeout, func() { leave(errTimeout) })
		defer timer.Stop()
	}
	end, err := f.run(ctx, leave, req)
	if err != nil {
		return err
	}
	if f.json {
		json.NewEncoder(os.Stderr).Encode(summarize(end, context.Cause(ctx)))
	}
	if err := settle(ctx, asset, end); err != nil {
		fmt.Fprintln(os.Stderr, "arcbox:", err)
	}
	return f.verdict(end, context.Cause(ctx))
}

// run holds a VM process and a terminal for as long as the guest lives.
func (f *bootFlags) run(ctx context.Context, leave context.CancelCauseFunc, req *vmapi.ConfigureReq) (*vmapi.WaitResp, error) {
	program, err := machine.VMProgram()
	if err != nil {
		return nil, err
	}
	term, far, err := openTerminal()
	if err != nil {
		return nil, err
	}
	req.Terminal = req.Attach(far) // req closes it
	proc, err := machine.StartProcess(program, os.Stderr)
	if err != nil {
		return nil, err
	}
	defer term.close()
	defer proc.Close() // ends the guest, and with it what the terminal prints
	resp, err := ipc.Call(ctx, proc.Conn, vmapi.Configure, req)
	if err != nil {
		return nil, f.bootError(ctx, err)
	}
	req.Close() // our copies; the VM has its own, and the terminal's end shows by EOF
	if f.dtbOut != "" {
		if err := os.WriteFile(f.dtbOut, resp.DTB, 0o644); err != nil {
			return nil, fmt.Errorf("cannot write the device tree: %w", err)
		}
	}
	if _, err := ipc.Call(ctx, proc.Conn, vmapi.Start, &vmapi.StartReq{}); err != nil {
		return nil, f.bootError(ctx, err)
	}
	resize := func(cols, rows int) {
		ipc.Call(ctx, proc.Conn, vmapi.Resize, &vmapi.ResizeReq{Cols: uint16(cols), Rows: uint16(rows)})
	}
	if err := term.start(leave, resize); err != nil {
		return nil, err
	}
	return await(ctx, proc.Conn)
}

// bootError says of a VM that did not start which file it was, or that it was
// the clock.
func (f *bootFlags) bootError(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errTimeout) {
		return &statusError{exitTimeout, errors.New("cannot start the guest: the time was up")}
	}
	var refusal *ipc.Error
	if !errors.As(err, &refusal) {
		return vmGone(err)
	}
	switch refusal.Code {
	case vmapi.BadKernel:
		return fmt.Errorf("cannot boot %s: %w", f.kernel, err)
	case vmapi.BadInitrd:
		return fmt.Errorf("cannot boot with %s: %w", f.initrd, err)
	}
	return err
}

// await returns when the guest has ended. When ctx ends first the guest is
// stopped, and how that went is returned.
func await(ctx context.Context, conn *ipc.Conn) (*vmapi.WaitResp, error) {
	end, err := ipc.Call(ctx, conn, vmapi.Wait, &vmapi.WaitReq{})
	if err == nil || ctx.Err() == nil {
		return end, vmGone(err)
	}
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if _, err := ipc.Call(short, conn, vmapi.ForceStop, &vmapi.ForceStopReq{}); err != nil {
		return nil, vmGone(err)
	}
	end, err = ipc.Call(short, conn, vmapi.Wait, &vmapi.WaitReq{})
	return end, vmGone(err)
}

// vmGone says in the user's words that arcbox-vm died.
func vmGone(err error) error {
	if errors.Is(err, ipc.ErrInterrupted) {
		return fmt.Errorf("the VM process died: %w", err)
	}
	return err
}

// verdict turns the end of a guest into this program's.
func (f *bootFlags) verdict(end *vmapi.WaitResp, cause error) error {
	switch end.Outcome {
	case vmapi.PowerOff:
		return nil
	case vmapi.Reset:
		return &statusError{exitReset, errors.New("the guest reset itself")}
	case vmapi.Panic, vmapi.Fault:
		return &statusError{exitPanic, errors.New(crashReport(end))}
	}
	switch {
	case errors.Is(cause, errLeft):
		return nil
	case errors.Is(cause, errTimeout):
		return &statusError{exitTimeout, fmt.Errorf("stopped the guest after %v: %w", f.timeout, cause)}
	}
	return fmt.Errorf("the guest was stopped: %s", end.Message)
}

// crashReport is what a person needs to understand a dead guest.
func crashReport(end *vmapi.WaitResp) string {
	var b strings.Builder
	b.WriteString(end.Message)
	if end.LastLines != "" {
		fmt.Fprintf(&b, "\n--- last console lines\n%s", strings.TrimRight(end.LastLines, "\n"))
	}
	if end.Registers != "" {
		fmt.Fprintf(&b, "\n--- registers\n%s", strings.TrimRight(end.Registers, "\n"))
	}
	return b.String()
}

// A summary is what --json prints.
type summary struct {
	Outcome string `json:"outcome"` // a vmapi.Outcome, or "timeout" or "left"
	Message string `json:"message,omitempty"`
	vmapi.Counters
	MIPS         float64 `json:"mips,omitempty"` // guest instructions for each CPU second, in millions
	MemorySHA256 string  `json:"memory_sha256,omitempty"`
}

func summarize(end *vmapi.WaitResp, cause error) summary {
	s := summary{Outcome: string(end.Outcome), Message: end.Message, Counters: end.Stats, MemorySHA256: end.MemorySHA256}
	switch {
	case end.Outcome != vmapi.Stopped:
	case errors.Is(cause, errTimeout):
		s.Outcome = "timeout"
	case errors.Is(cause, errLeft):
		s.Outcome = "left"
	}
	if end.Stats.CPUSeconds > 0 {
		s.MIPS = float64(end.Stats.Instructions) / end.Stats.CPUSeconds / 1e6
	}
	return s
}

// request opens every file and checks what can be checked here. The request
// holds the descriptors, also when there is an error.
func (f *bootFlags) request() (*vmapi.ConfigureReq, error) {
	req := &vmapi.ConfigureReq{Engine: f.engine, CPUs: f.cpus, Cmdline: f.cmdline, Console: vmapi.Console(f.console), DigestMemory: f.digest}
	if req.Console != vmapi.HVC0 && req.Console != vmapi.TTYAMA0 {
		return req, usagef("cannot use console %q: choose hvc0 or ttyAMA0", f.console)
	}
	if f.cpus < 1 {
		return req, usagef("cannot boot with %d vCPUs: give at least 1", f.cpus)
	}
	size, err := units.RAMInBytes(f.memory)
	if err != nil || size <= 0 {
		return req, usagef("cannot read %q as a memory size: write 512MiB or 2GiB", f.memory)
	}
	req.Memory = uint64(size)
	if req.Kernel, err = attach(&req.Files, "kernel", f.kernel); err != nil {
		return req, err
	}
	if f.initrd != "" {
		if req.Initrd, err = attach(&req.Files, "initrd", f.initrd); err != nil {
			return req, err
		}
	}
	for _, spec := range f.disks {
		disk, err := openDisk(&req.Files, spec)
		if err != nil {
			return req, err
		}
		req.Disks = append(req.Disks, disk)
	}
	if err := f.addDeterministic(req); err != nil {
		return req, err
	}
	return req, f.debug.request(req)
}

// addDeterministic asks for a run that can be repeated.
func (f *bootFlags) addDeterministic(req *vmapi.ConfigureReq) error {
	if f.seed == "" {
		if f.record != "" || f.replay != "" || len(f.faults) != 0 {
			return usagef("cannot record, replay or make faults in another guest than a deterministic one: add --deterministic")
		}
		return nil
	}
	seed, err := strconv.ParseUint(f.seed, 0, 64)
	if err != nil {
		return usagef("cannot read %q as a seed: write a number", f.seed)
	}
	faults, err := parseFaults(f.faults)
	if err != nil {
		return err
	}
	d := &vmapi.Deterministic{Seed: seed, Faults: faults}
	req.Deterministic = d
	if f.replay != "" {
		if d.Replay, err = attach(&req.Files, "log", f.replay); err != nil {
			return err
		}
	}
	if f.record == "" {
		return nil
	}
	if sameFile(f.record, f.replay) {
		return usagef("cannot record to %s: it is what is replayed; give --record another file", f.record)
	}
	log, err := os.Create(f.record)
	if err != nil {
		return fmt.Errorf("cannot record: %w", err)
	}
	d.Record = req.Attach(log)
	return nil
}

// sameFile says whether both paths lead to one file that exists.
func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// attach opens a file for reading.
func attach(files *ipc.Files, what, path string) (ipc.FD, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("cannot read the %s: %w", what, err)
	}
	fd := files.Attach(file)
	info, err := file.Stat()
	switch {
	case err != nil:
		return 0, fmt.Errorf("cannot read the %s: %w", what, err)
	case !info.Mode().IsRegular():
		return 0, fmt.Errorf("cannot read the %s: %s is not a regular file", what, path)
	case info.Size() == 0:
		return 0, fmt.Errorf("cannot read the %s: %s is empty", what, path)
	}
	return fd, nil
}
