package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// A place is one end of a copy.
type place struct {
	machine string // "" with guest false
	guest   bool
	path    string
}

// parsePlace reads NAME:/PATH, :/PATH for the default machine, or a path of the host. What has a slash before its colon is
// a path, as with scp.
func parsePlace(word string) (place, error) {
	name, inside, ok := strings.Cut(word, ":")
	if !ok || strings.Contains(name, "/") || name == "." || name == ".." {
		if word == "" {
			return place{}, usagef("cannot copy: a path is empty")
		}
		return place{path: word}, nil
	}
	if !strings.HasPrefix(inside, "/") {
		return place{}, usagef("cannot use %q: a path in a machine is NAME:/PATH, from the root on", word)
	}
	return place{name, true, inside}, nil
}

func newCp() *cobra.Command {
	var follow, quiet bool
	cmd := &cobra.Command{
		Use:   "cp SRC DST",
		Short: "Copy files into and out of a machine",
		Long: `Cp copies a file or a directory with all that is in it between this host and a
machine, which is brought up if need be. A path in a machine is NAME:/PATH, or :/PATH for the
default machine. As with cp -r, a directory as DST is copied into, and another DST is the
copy's new name. DST - writes a tar archive to standard output.

Modes and times are kept; owners become you, or root in the guest.`,
		Example: `  arcbox cp notes.txt default:/root/
  arcbox cp :/var/log ./guest-log
  arcbox cp work:/etc - | tar t`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%s takes two arguments, SRC and DST; see %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			src, err := parsePlace(args[0])
			if err != nil {
				return err
			}
			dst, err := parsePlace(args[1])
			if err != nil {
				return err
			}
			if src.guest == dst.guest {
				return usagef("cannot copy from %s to %s: one of them is in a machine, NAME:/PATH, and the other is not", args[0], args[1])
			}
			copied, err := copyFiles(cmd, src, dst, follow)
			if err != nil || quiet || dst.path == "-" {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d files, %s\n", copied.Files, size(uint64(max(copied.Bytes, 0))))
			return err
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow-link", "L", false, "copy what SRC leads to if it is a symbolic link")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing but errors")
	return cmd
}

func copyFiles(cmd *cobra.Command, src, dst place, follow bool) (guestapi.Copied, error) {
	ctx := cmd.Context()
	if src.guest {
		guest, err := dialGuest(ctx, src.machine, cmd.ErrOrStderr())
		if err != nil {
			return guestapi.Copied{}, err
		}
		defer guest.Close()
		return copyOut(ctx, guest, src.path, dst.path, follow, cmd.OutOrStdout())
	}
	if _, err := os.Lstat(src.path); err != nil { // before a machine is brought up for nothing
		return guestapi.Copied{}, fmt.Errorf("cannot copy: %w", err)
	}
	guest, err := dialGuest(ctx, dst.machine, cmd.ErrOrStderr())
	if err != nil {
		return guestapi.Copied{}, err
	}
	defer guest.Close()
	return copyIn(ctx, guest, src.path, dst.path, follow)
}

// copyIn has the guest unpack what is packed here.
func copyIn(ctx context.Context, guest *ipc.Conn, from, to string, follow bool) (guestapi.Copied, error) {
	req := &guestapi.CopyInReq{Path: to}
	data, ref := req.Open()
	req.Data = ref
	packed := make(chan error, 1)
	go func() {
		err := packTree(data, from, follow)
		if err == nil {
			err = data.CloseWrite()
		} else {
			data.Reset(ipc.Errorf(ipc.Cancelled, "the host cannot read it: %v", err))
		}
		packed <- err
	}()
	resp, err := ipc.Call(ctx, guest, guestapi.CopyIn, req)
	if err != nil {
		data.Close() // ends the packing
	}
	if perr := <-packed; perr != nil && err == nil {
		err = perr
	} else if perr != nil && isHostError(perr) {
		err = perr // the guest only knows that no more came
	}
	if err != nil {
		return guestapi.Copied{}, err
	}
	return resp.Copied, nil
}

// copyOut unpacks here what the guest packs.
func copyOut(ctx context.Context, guest *ipc.Conn, from, to string, follow bool, stdout io.Writer) (guestapi.Copied, error) {
	req := &guestapi.CopyOutReq{Path: from, Follow: follow}
	data, ref := req.Open()
	req.Data = ref
	type result struct {
		copied guestapi.Copied
		err    error
	}
	unpacked := make(chan result, 1)
	go func() {
		var r result
		if to == "-" {
			_, r.err = io.Copy(stdout, data)
		} else {
			r.copied, r.err = unpackTree(data, path.Base(from), filepath.Clean(to), to[len(to)-1] == '/')
		}
		if r.err != nil {
			data.Close() // the guest stops
		}
		unpacked <- r
	}()
	_, err := ipc.Call(ctx, guest, guestapi.CopyOut, req)
	if err != nil {
		data.Close()
	}
	r := <-unpacked
	if r.err != nil && (err == nil || isHostError(r.err)) {
		err = r.err
	}
	return r.copied, err
}
