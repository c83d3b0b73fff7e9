package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// specFlags are what a machine can be told to be.
type specFlags struct {
	cpus                          int
	memory, disk                  string
	kernel, cmdline, engine, role string
	disks                         []string
}

func (f *specFlags) add(fl *pflag.FlagSet) {
	fl.IntVar(&f.cpus, "cpus", 0, "number of vCPUs")
	fl.StringVar(&f.memory, "memory", "", "guest memory `SIZE`")
	fl.StringVar(&f.disk, "disk", "", "nominal `SIZE` of its data; the image takes what is written")
	fl.StringVar(&f.kernel, "kernel", "", "kernel `FILE` instead of the boot asset's")
	fl.StringVar(&f.cmdline, "cmdline", "", "words to add to the kernel's command line")
}

// spec reads what the flags say.
func (f *specFlags) spec(name string) (agentapi.Spec, error) {
	s := agentapi.Spec{Name: name, CPUs: f.cpus, Kernel: f.kernel, Cmdline: f.cmdline, Backend: f.engine, Role: f.role, Disks: f.disks}
	memory, err := optionalSize(f.memory, units.RAMInBytes)
	if err != nil {
		return s, err
	}
	s.Memory = uint64(memory)
	s.Disk, err = optionalSize(f.disk, units.FromHumanSize)
	return s, err
}

// optionalSize reads a size; none is 0.
func optionalSize(text string, read func(string) (int64, error)) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := read(text)
	if err != nil || n <= 0 {
		return 0, usagef("cannot read %q as a size: write 512MiB or 2GiB", text)
	}
	return n, nil
}

func newCreate() *cobra.Command {
	var o outputFlags
	var f specFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a machine without starting it",
		Long: `Create makes a machine's record and its disk. What is not said follows the
configuration, now and later. The default machine needs no create: it is made when
something first needs it.`,
		Example: `  arcbox create work --cpus 4 --memory 4GiB
  arcbox create x86 --role rosetta`,
		Args:              exactlyOne,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := f.spec(args[0])
			if err != nil {
				return err
			}
			return onAgent(cmd, func(ctx context.Context, conn *ipc.Conn) error { return create(ctx, cmd, conn, spec, &o) })
		},
	}
	o.add(cmd)
	fl := cmd.Flags()
	f.add(fl)
	fl.StringArrayVar(&f.disks, "attach", nil, "further disk image `FILE[,ro]`; may be repeated")
	fl.StringVar(&f.engine, "engine", "", "hypervisor engine: soft, or hvf on a Mac")
	fl.StringVar(&f.role, "role", "", "native, or rosetta for one that also runs x86-64 programs")
	completeFlag(cmd, "engine", completeEngine)
	completeFlag(cmd, "role", cobra.FixedCompletions([]cobra.Completion{"native", "rosetta"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// exactlyOne refuses all but one word after a command.
func exactlyOne(cmd *cobra.Command, args []string) error {
	if len(args) == 0 || args[0] == "" {
		return usagef("%s needs a name; see %s --help", cmd.CommandPath(), cmd.CommandPath())
	}
	return atMostOne(cmd, args)
}

func create(ctx context.Context, cmd *cobra.Command, conn *ipc.Conn, spec agentapi.Spec, o *outputFlags) error {
	resp, err := ipc.Call(ctx, conn, agentapi.Create, &agentapi.CreateReq{Spec: spec})
	if err != nil || o.quiet {
		return err
	}
	if o.json {
		return printJSON(cmd.OutOrStdout(), resp.Machine)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is made; arcbox start %s brings it up\n", resp.Machine.Name, resp.Machine.Name)
	return err
}

func newRemove() *cobra.Command {
	var quiet, force, keep bool
	cmd := &cobra.Command{
		Use:   "rm NAME...",
		Short: "Delete machines and their disks",
		Long: `Rm deletes machines and all that is on their disks. It refuses a machine that runs,
unless --force, which cuts it off. With --keep-disk the disk image stays where it is.`,
		Example: `  arcbox rm work
  arcbox rm --force work test`,
		Aliases: []string{"remove", "delete"},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s needs a name; see arcbox list", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: completeMachines,
		RunE: func(cmd *cobra.Command, args []string) error {
			return onAgent(cmd, func(ctx context.Context, conn *ipc.Conn) error {
				var errs []error
				for _, name := range args {
					_, err := ipc.Call(ctx, conn, agentapi.Remove, &agentapi.RemoveReq{Name: name, Force: force, KeepDisk: keep})
					if err == nil && !quiet {
						fmt.Fprintf(cmd.OutOrStdout(), "%s is gone\n", name)
					}
					errs = append(errs, err)
				}
				return errors.Join(errs...)
			})
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&force, "force", "f", false, "cut off a machine that runs")
	fl.BoolVar(&keep, "keep-disk", false, "leave the disk image where it is")
	fl.BoolVarP(&quiet, "quiet", "q", false, "print nothing but errors")
	return cmd
}

func newResources() *cobra.Command {
	var o outputFlags
	var f specFlags
	cmd := &cobra.Command{
		Use:   "resources [NAME]",
		Short: "Show and change what a machine has",
		Long: `Resources shows what a machine has now and what it will have at its next start, and
with flags changes that.`,
		Example: `  arcbox resources
  arcbox resources work --cpus 4 --memory 8GiB`,
		Args:              atMostOne,
		ValidArgsFunction: completeMachine,
	}
	o.add(cmd)
	f.add(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req, changes, err := f.changes(cmd.Flags(), firstArg(args))
		if err != nil {
			return err
		}
		return onAgent(cmd, func(ctx context.Context, conn *ipc.Conn) error {
			var resp *agentapi.ResourcesResp
			if changes {
				resp, err = ipc.Call(ctx, conn, agentapi.SetResources, req)
			} else {
				resp, err = ipc.Call(ctx, conn, agentapi.Resources, &agentapi.ResourcesReq{Name: req.Name})
			}
			return sayResources(cmd, resp, err, &o)
		})
	}
	return cmd
}

// changes is what the flags that were given ask for.
func (f *specFlags) changes(fl *pflag.FlagSet, name string) (req *agentapi.SetResourcesReq, any bool, err error) {
	spec, err := f.spec(name)
	req = &agentapi.SetResourcesReq{Name: name}
	set := func(flag string, do func()) {
		if fl.Changed(flag) {
			any = true
			do()
		}
	}
	set("cpus", func() { req.CPUs = &spec.CPUs })
	set("memory", func() { req.Memory = &spec.Memory })
	set("disk", func() { req.Disk = &spec.Disk })
	set("kernel", func() { req.Kernel = &spec.Kernel })
	set("cmdline", func() { req.Cmdline = &spec.Cmdline })
	return req, any, err
}

func sayResources(cmd *cobra.Command, r *agentapi.ResourcesResp, err error, o *outputFlags) error {
	out := cmd.OutOrStdout()
	switch {
	case err != nil || o.quiet:
		return err
	case o.json:
		return printJSON(out, r)
	}
	t := newTable(out, "", "NOW", "NEXT START")
	row := func(name, now, next string) {
		if now == next {
			next = ""
		}
		t.row(name, now, paintFor(out).in(yellow, next))
	}
	row("cpus", fmt.Sprint(r.Now.CPUs), fmt.Sprint(r.Next.CPUs))
	row("memory", size(r.Now.Memory), size(r.Next.Memory))
	row("disk", units.HumanSize(float64(r.Now.Disk)), units.HumanSize(float64(r.Next.Disk)))
	row("kernel", cmp.Or(r.Now.Kernel, "the asset's"), cmp.Or(r.Next.Kernel, "the asset's"))
	row("cmdline", cmp.Or(r.Now.Cmdline, "the asset's"), cmp.Or(r.Next.Cmdline, "the asset's"))
	return t.print()
}

func newHold() *cobra.Command {
	var o outputFlags
	var name, reason string
	var release, all bool
	cmd := &cobra.Command{
		Use:   "hold [HOLD]",
		Short: "Keep a machine from going idle",
		Long: `Hold keeps a machine from going idle, and so from being stopped by itself, until
the hold is released or the agent ends. Holds have a name and are counted. Without
HOLD it lists those that there are.`,
		Example: `  arcbox hold
  arcbox hold backup --reason "nightly copy"
  arcbox hold backup --release`,
		Args:              atMostOne,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return onAgent(cmd, func(ctx context.Context, conn *ipc.Conn) error {
				held, err := hold(ctx, conn, name, firstArg(args), reason, release, all)
				if err != nil || o.quiet {
					return err
				}
				if o.json {
					return printJSON(cmd.OutOrStdout(), append([]agentapi.Held{}, held...))
				}
				t := newTable(cmd.OutOrStdout(), "HOLD", "COUNT", "FOR", "REASON")
				for _, h := range held {
					t.row(h.Hold, fmt.Sprint(h.Count), ago(h.Since), h.Reason)
				}
				return t.print()
			})
		},
	}
	o.add(cmd)
	fl := cmd.Flags()
	fl.StringVarP(&name, "machine", "m", "", "of machine `NAME`")
	fl.StringVar(&reason, "reason", "", "why, for people")
	fl.BoolVar(&release, "release", false, "release it once")
	fl.BoolVar(&all, "all", false, "with --release: as often as it is held")
	completeFlag(cmd, "machine", completeMachines)
	return cmd
}

// hold does what the flags say and has the holds that there are then.
func hold(ctx context.Context, conn *ipc.Conn, name, what, reason string, release, all bool) ([]agentapi.Held, error) {
	switch {
	case what == "" && (release || reason != ""):
		return nil, usagef("cannot do that without a hold's name; see arcbox hold --help")
	case what == "":
		resp, err := ipc.Call(ctx, conn, agentapi.Inspect, &agentapi.InspectReq{Name: name})
		if err != nil {
			return nil, err
		}
		return resp.Holds, nil
	case release:
		resp, err := ipc.Call(ctx, conn, agentapi.Release, &agentapi.ReleaseReq{Name: name, Hold: what, All: all})
		if err != nil {
			return nil, err
		}
		return resp.Holds, nil
	}
	resp, err := ipc.Call(ctx, conn, agentapi.Hold, &agentapi.HoldReq{Name: name, Hold: what, Reason: reason})
	if err != nil {
		return nil, err
	}
	return resp.Holds, nil
}
