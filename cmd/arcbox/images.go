package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/storage"
	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
)

func newDisk() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disk",
		Short: "Make disk images, and see, check and shrink what they take",
		Long: `A machine's disk is one sparse file: the guest sees 8 TiB, and the host gives
what was written. Images are in the data directory (~/.arcbox/data, or below
ARCBOX_HOME); without FILE the commands use the default machine's, docker.img.`,
		Example: `  arcbox disk usage
  arcbox disk create --size 100GiB data.img
  arcbox disk compact data.img`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newDiskCreate(), newDiskUsage(), newDiskCompact(), newDiskCheck(), newDiskResize())
	return cmd
}

// imagePath is the image that the words after a command name.
func imagePath(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	h, err := home.Find()
	return filepath.Join(h.Data(), storage.DefaultName), err
}

// onImage runs do with the image of a command.
func onImage(do func(ctx context.Context, out io.Writer, path string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		path, err := imagePath(args)
		if err != nil {
			return err
		}
		return do(cmd.Context(), cmd.OutOrStdout(), path)
	}
}

// imageSize reads what --size says.
func imageSize(s string) (int64, error) {
	n, err := units.RAMInBytes(s)
	if err != nil {
		return 0, usagef("cannot use the size %q: %w", s, err)
	}
	return n, nil
}

// notes prints what somebody should know of an image.
func notes(out io.Writer, all []string) {
	for _, n := range all {
		fmt.Fprintln(out, "note:", n)
	}
}

func newDiskCreate() *cobra.Command {
	var size, reserve string
	var dense bool
	cmd := &cobra.Command{
		Use:   "create [FILE]",
		Short: "Make an image",
		Long:  `Makes a sparse image, which takes what is written to it. Nothing is replaced.`,
		Example: `  arcbox disk create
  arcbox disk create --size 100GiB data.img`,
		Args: atMostOne,
	}
	cmd.Flags().StringVar(&size, "size", "8TiB", "what the guest sees, `BYTES`")
	cmd.Flags().StringVar(&reserve, "reserve", "0", "space to take ahead of use, `BYTES`")
	cmd.Flags().BoolVar(&dense, "dense", false, "agree that all of it is written where the file system has no holes")
	cmd.RunE = onImage(func(_ context.Context, out io.Writer, path string) error {
		spec := storage.Spec{Path: path, Dense: dense}
		var err error
		if spec.Size, err = imageSize(size); err != nil {
			return err
		}
		if spec.Reserve, err = imageSize(reserve); err != nil {
			return err
		}
		if spec.Reserve == 0 {
			spec.Reserve = -1
		}
		img, err := storage.Create(spec)
		if err != nil {
			return err
		}
		notes(out, img.Notes)
		return img.Close()
	})
	return cmd
}

func newDiskUsage() *cobra.Command {
	var asJSON, scan bool
	cmd := &cobra.Command{
		Use:   "usage [FILE]",
		Short: "Say what an image takes",
		Long: `Says how large the disk is for the guest, what the image takes of the host's
disk, and with --scan how much of that "arcbox disk compact" would give back.
What deleted files still take is known to the guest alone: it comes back with
fstrim there.`,
		Example: `  arcbox disk usage --scan`,
		Args:    atMostOne,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON on standard output")
	cmd.Flags().BoolVar(&scan, "scan", false, "read all data to find what can be given back")
	cmd.RunE = onImage(func(ctx context.Context, out io.Writer, path string) error {
		u, err := storage.Measure(ctx, path, scan)
		if err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(out).Encode(u)
		}
		printUsage(out, path, u)
		return nil
	})
	return ofMachine(cmd, diskUsageOf(&asJSON))
}

func printUsage(out io.Writer, path string, u storage.Usage) {
	size := func(n int64) string { return units.BytesSize(float64(n)) }
	fmt.Fprintf(out, "%s\n  size         %s\n  takes        %s\n  data         %s\n  host's free  %s\n",
		path, size(u.Virtual), size(u.Allocated), size(u.Data), size(u.Free))
	if u.Reclaimable >= 0 {
		fmt.Fprintf(out, "  reclaimable  %s\n", size(u.Reclaimable))
	}
}

func newDiskCompact() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "compact [FILE]",
		Short: "Give back what an image takes for zeroes",
		Long: `Reads the image and makes holes where it holds zeroes only. No machine may be
using it. A running machine gives back what it deleted with fstrim.`,
		Example: `  arcbox disk compact data.img`,
		Args:    atMostOne,
	}
	cmd.RunE = onImage(func(ctx context.Context, out io.Writer, path string) error {
		freed, err := storage.Compact(ctx, path, nil)
		if errors.Is(err, file.ErrLocked) {
			return fmt.Errorf("cannot compact %s: %w; stop that, or run fstrim in it", path, file.ErrLocked)
		}
		if err == nil {
			fmt.Fprintf(out, "%s was given back\n", units.BytesSize(float64(freed)))
		}
		return err
	})
	return ofMachine(cmd, compactDiskOf)
}

func newDiskCheck() *cobra.Command {
	var asJSON, deep bool
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Look for damage that can be seen from outside",
		Long: `Compares the image with the file system in it, and looks at where it is. It
changes nothing. The exit status is 1 when there is a problem.`,
		Example: `  arcbox disk check --read data.img`,
		Args:    atMostOne,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON on standard output")
	cmd.Flags().BoolVar(&deep, "read", false, "read all data as well")
	cmd.RunE = onImage(func(ctx context.Context, out io.Writer, path string) error {
		r, err := storage.Check(ctx, path, deep)
		if err != nil {
			return err
		}
		if asJSON {
			err = json.NewEncoder(out).Encode(r)
		} else {
			printReport(out, path, r)
		}
		if err == nil && len(r.Problems) > 0 {
			err = fmt.Errorf("%s has %d problems", path, len(r.Problems))
		}
		return err
	})
	return ofMachine(cmd, checkDiskOf(&asJSON, &deep))
}

func printReport(out io.Writer, path string, r *storage.Report) {
	for _, p := range r.Problems {
		fmt.Fprintln(out, "problem:", p)
	}
	notes(out, r.Notes)
	if len(r.Problems) == 0 {
		fmt.Fprintf(out, "%s: no problem found\n", path)
	}
}

func newDiskResize() *cobra.Command {
	var size string
	cmd := &cobra.Command{
		Use:   "resize --size BYTES [FILE]",
		Short: "Make an image larger; none becomes smaller",
		Long: `Makes the image larger. No machine may be using it. The guest grows its file
system when it next starts.`,
		Example: `  arcbox disk resize --size 16TiB data.img`,
		Args:    atMostOne,
	}
	cmd.Flags().StringVar(&size, "size", "", "what the guest sees, `BYTES`")
	_ = cmd.MarkFlagRequired("size")
	cmd.RunE = onImage(func(_ context.Context, out io.Writer, path string) error {
		n, err := imageSize(size)
		if err != nil {
			return err
		}
		img, err := storage.Open(path, false)
		if err != nil {
			return err
		}
		err = img.Extend(storage.Spec{Path: path, Size: n, Reserve: -1})
		notes(out, img.Notes)
		return errors.Join(err, img.Close())
	})
	return cmd
}
