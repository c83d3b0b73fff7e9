package main

import (
	"context"
	"fmt"
	"io"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/arcboxlabs/arcbox-go/agent/storage"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// ofMachine gives a command about an image --machine, with which it is about a machine's, runs or not: the agent knows what may
// be done with it. The command as it was is for image files.
func ofMachine(cmd *cobra.Command, ask func(ctx context.Context, out io.Writer, conn *ipc.Conn, name string) error) *cobra.Command {
	var name string
	cmd.Flags().StringVarP(&name, "machine", "m", "", "of machine `NAME`, which may run")
	completeFlag(cmd, "machine", completeMachines)
	image := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if name == "" {
			return image(cmd, args)
		}
		if len(args) > 0 {
			return usagef("cannot do that to both %s and the disk of %s: leave one out", args[0], name)
		}
		return onAgent(cmd, func(ctx context.Context, conn *ipc.Conn) error { return ask(ctx, cmd.OutOrStdout(), conn, name) })
	}
	return cmd
}

func diskUsageOf(asJSON *bool) func(context.Context, io.Writer, *ipc.Conn, string) error {
	return func(ctx context.Context, out io.Writer, conn *ipc.Conn, name string) error {
		u, err := ipc.Call(ctx, conn, agentapi.DiskUsage, &agentapi.DiskUsageReq{Name: name})
		switch {
		case err != nil:
			return err
		case *asJSON:
			return printJSON(out, u)
		}
		reclaimable := ""
		if u.Reclaimable >= 0 {
			reclaimable = size(uint64(u.Reclaimable))
		}
		fmt.Fprintln(out, u.Path)
		return facts(out, "  size", size(uint64(u.Virtual)), "  takes", size(uint64(u.Allocated)), "  host's free", size(uint64(u.HostFree)), "  reclaimable", reclaimable)
	}
}

func compactDiskOf(ctx context.Context, out io.Writer, conn *ipc.Conn, name string) error {
	resp, err := ipc.Call(ctx, conn, agentapi.CompactDisk, &agentapi.CompactDiskReq{Name: name})
	if err == nil {
		fmt.Fprintf(out, "%s was given back\n", units.BytesSize(float64(resp.Freed)))
	}
	return err
}

func checkDiskOf(asJSON, deep *bool) func(context.Context, io.Writer, *ipc.Conn, string) error {
	return func(ctx context.Context, out io.Writer, conn *ipc.Conn, name string) error {
		r, err := ipc.Call(ctx, conn, agentapi.CheckDisk, &agentapi.CheckDiskReq{Name: name, Deep: *deep})
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(out, r)
		} else {
			printReport(out, "the disk of "+name, &storage.Report{Problems: r.Problems, Notes: r.Notes})
		}
		if err == nil && len(r.Problems) > 0 {
			err = fmt.Errorf("the disk of %s has %d problems", name, len(r.Problems))
		}
		return err
	}
}
