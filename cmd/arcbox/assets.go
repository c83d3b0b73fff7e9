package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	assets "github.com/arcboxlabs/arcbox-go/boot"
)

// assetsKeyEnv is the variable with keys that are trusted, beside --key.
const assetsKeyEnv = "ARCBOX_ASSETS_KEY"

// openLibrary gives what this user can boot.
func openLibrary() (*assets.Library, error) {
	h, err := home.Find()
	if err != nil {
		return nil, err
	}
	shared, err := home.Shared()
	if err != nil {
		return nil, err
	}
	return assets.OpenLibrary(h.Boot(), filepath.Join(shared, "boot")), nil
}

func newAssets() *cobra.Command {
	var asJSON bool // the same for each subcommand
	cmd := &cobra.Command{
		Use:   "assets",
		Short: "Get and keep the kernels and roots that machines boot from",
		Long: `Boot assets are a kernel, its initrd and a root file system with a manifest that
says what they are. They are kept in the data directory (~/.arcbox/boot, or
below ARCBOX_HOME) and in a store that the whole machine shares
(/var/cache/arcbox, or ARCBOX_ASSETS).

The default asset is the one that a rollback selected, else the newest of the
arcbox flavour, else the newest of the debian flavour.`,
		Example: `  arcbox assets fetch
  arcbox assets list --json
  arcbox assets path --file Image`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().BoolVar(&asJSON, "json", false, "print JSON on standard output")
	cmd.AddCommand(newAssetsFetch(&asJSON), newAssetsList(&asJSON), newAssetsVerify(&asJSON),
		newAssetsRemove(&asJSON), newAssetsUse(&asJSON), newAssetsRollback(&asJSON), newAssetsPath(&asJSON))
	return cmd
}

// atMostOne refuses more than one word after a command.
func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("%s takes one argument, and %q was given too; see %s --help", cmd.CommandPath(), args[1], cmd.CommandPath())
	}
	return nil
}

// firstArg gives the first argument or "".
func firstArg(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

type fetchFlags struct {
	flavour string
	keys    []string
	rebuild bool
}

func newAssetsFetch(asJSON *bool) *cobra.Command {
	var f fetchFlags
	cmd := &cobra.Command{
		Use:   "fetch [SOURCE]",
		Short: "Get assets, or repair damaged ones",
		Long: `Fetch brings assets unless they are there and intact, and repairs what is
damaged. SOURCE is a directory or an application bundle that holds assets, or
the https address of a folder. Without it they are built from Debian's own arm64
packages, which takes a Debian machine and a minute (the debian flavour) or about
a quarter of an hour (the arcbox flavour, whose kernel is compiled once). Without
--flavour that is the debian flavour, and the arcbox flavour too once its kernel
has been compiled.

What comes by https must be signed by a key given with --key or in
ARCBOX_ASSETS_KEY. A transfer that was cut off goes on where it was.

A build goes into the shared store if you can write there, everything else into
the data directory.`,
		Example: `  arcbox assets fetch
  arcbox assets fetch --flavour arcbox
  arcbox assets fetch /Volumes/ArcBox/ArcBox.app
  arcbox assets fetch --key BASE64 https://example.com/assets/6.12.8`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			return fetchAssets(cmd, &f, firstArg(args), *asJSON)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.flavour, "flavour", "", "`FLAVOUR` to build: debian, or arcbox for our own kernel")
	fl.StringArrayVar(&f.keys, "key", nil, "trust manifests that this ed25519 `KEY` (base64) signed; may be repeated")
	fl.BoolVar(&f.rebuild, "rebuild", false, "build even if there is an asset of the same inputs: Debian's packages may be newer")
	completeFlag(cmd, "flavour", completeFlavour)
	return cmd
}

func fetchAssets(cmd *cobra.Command, f *fetchFlags, source string, asJSON bool) error {
	if source != "" && (f.flavour != "" || f.rebuild) {
		return usagef("--flavour and --rebuild are for building, and a source was given")
	}
	lib, err := openLibrary()
	if err != nil {
		return err
	}
	keys, err := trustedKeys(f.keys)
	if err != nil {
		return err
	}
	show := newProgress(cmd.ErrOrStderr())
	fetch := assets.Fetch{Keys: keys, Progress: show.event, Rebuild: f.rebuild}
	got, err := runFetch(cmd.Context(), &fetch, lib, f.flavour, source)
	show.close()
	if err != nil {
		return err
	}
	if asJSON {
		records := make([]assetRecord, 0, len(got))
		for _, g := range got {
			records = append(records, assetJSON(g.asset, isDefault(lib, g.asset.ID)))
		}
		return printJSON(cmd.OutOrStdout(), records)
	}
	for _, g := range got {
		verb := "already there: "
		if g.fresh {
			verb = "fetched "
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s%s (%s) in %s\n", verb, g.asset.ID, g.asset.Manifest.Flavour, g.asset.Dir)
	}
	return nil
}

// fetched is an asset that a fetch brought, or found if it is not fresh.
type fetched struct {
	asset *assets.Asset
	fresh bool
}

// runFetch brings the assets from where the user said, or builds them.
func runFetch(ctx context.Context, fetch *assets.Fetch, lib *assets.Library, flavour, source string) ([]fetched, error) {
	if source == "" {
		return buildAssets(ctx, fetch, lib, flavour)
	}
	src, err := openSource(source)
	if err != nil {
		return nil, err
	}
	a, fresh, err := fetch.From(ctx, lib, src)
	if err != nil {
		return nil, err
	}
	return []fetched{{a, fresh}}, nil
}

// openSource tells addresses from directories.
func openSource(source string) (assets.Source, error) {
	if !strings.Contains(source, "://") {
		return assets.NewDirectory(source)
	}
	src, err := assets.NewHTTPS(source, nil)
	if err != nil {
		return nil, &statusError{exitUsage, err}
	}
	return src, nil
}

// trustedKeys are those of the command line and of the environment.
func trustedKeys(flags []string) ([]ed25519.PublicKey, error) {
	texts := append(flags, strings.Fields(os.Getenv(assetsKeyEnv))...)
	keys := make([]ed25519.PublicKey, 0, len(texts))
	for _, t := range texts {
		k, err := assets.ParseKey(t)
		if err != nil {
			return nil, &statusError{exitUsage, err}
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func newAssetsList(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the assets on this machine",
		Long: `List shows every asset in the data directory and in the shared store, the default
marked with a star and damaged ones with what is wrong at first sight. With --json
it prints a list that has the absolute path of every file.`,
		Example: `  arcbox assets list
  arcbox assets list --json | jq -r '.[] | select(.default) | .files[] | select(.name == "Image").path'`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return listAssets(cmd.OutOrStdout(), *asJSON) },
	}
}

func listAssets(out io.Writer, asJSON bool) error {
	lib, err := openLibrary()
	if err != nil {
		return err
	}
	all, err := lib.List()
	if err != nil {
		return err
	}
	def, err := lib.Default()
	if err != nil && !errors.Is(err, assets.ErrNotFound) {
		return err
	}
	list := make([]assetRecord, 0, len(all))
	for i := range all {
		list = append(list, assetJSON(&all[i], def != nil && def.ID == all[i].ID))
	}
	if asJSON {
		return printJSON(out, list)
	}
	return printAssets(out, list)
}

// An assetRecord is an asset as --json shows it.
type assetRecord struct {
	ID            string       `json:"id"`
	Flavour       string       `json:"flavour,omitempty"`
	KernelVersion string       `json:"kernel_version,omitempty"`
	Cmdline       string       `json:"cmdline,omitempty"`
	Default       bool         `json:"default"`
	Installed     time.Time    `json:"installed,omitzero"`
	Dir           string       `json:"dir"`
	Damage        string       `json:"damage,omitempty"`
	Files         []fileRecord `json:"files"`
}

type fileRecord struct {
	Name   string `json:"name"`
	Path   string `json:"path"` // absolute
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

func assetJSON(a *assets.Asset, isDefault bool) assetRecord {
	r := assetRecord{ID: a.ID, Dir: a.Dir, Default: isDefault, Installed: a.Installed.UTC(), Files: []fileRecord{}}
	if a.Damage != nil {
		r.Damage = a.Damage.Error()
	}
	if a.Manifest == nil {
		return r
	}
	r.Flavour, r.KernelVersion, r.Cmdline = a.Manifest.Flavour, a.Manifest.KernelVersion, a.Manifest.Cmdline
	for _, f := range a.Manifest.Files {
		r.Files = append(r.Files, fileRecord{f.Name, a.Path(f.Name), f.Size, f.SHA256})
	}
	return r
}

func isDefault(lib *assets.Library, id string) bool {
	def, err := lib.Default()
	return err == nil && def.ID == id
}

func printJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func printAssets(out io.Writer, list []assetRecord) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "no assets; run arcbox assets fetch")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tID\tFLAVOUR\tSIZE\tINSTALLED\tSTATE")
	for _, r := range list {
		mark, state, size := "", "ok", int64(0)
		if r.Default {
			mark = "*"
		}
		if r.Damage != "" {
			state = strings.ReplaceAll(r.Damage, "\n", "; ")
		}
		for _, f := range r.Files {
			size += f.Size
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", mark, r.ID, r.Flavour, units.BytesSize(float64(size)), r.Installed.Format(time.DateTime), state)
	}
	return w.Flush()
}

func newAssetsVerify(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "verify [ASSET]",
		Short: "Read every file and compare it to its manifest",
		Long: `Verify checks all assets, or the one given by its ID, the beginning of it, or its
flavour. It exits with 1 if a file is damaged; arcbox assets fetch repairs it.`,
		Example: `  arcbox assets verify
  arcbox assets verify debian`,
		Args:              atMostOne,
		ValidArgsFunction: completeOneAsset,
		RunE: func(cmd *cobra.Command, args []string) error {
			return verifyAssets(cmd, firstArg(args), *asJSON)
		},
	}
}

func verifyAssets(cmd *cobra.Command, ref string, asJSON bool) error {
	list, err := chosenAssets(ref)
	if err != nil {
		return err
	}
	show := newProgress(cmd.ErrOrStderr())
	bad := 0
	for i := range list {
		if list[i].Damage = list[i].Verify(cmd.Context(), show.event); list[i].Damage != nil {
			bad++
		}
	}
	show.close()
	if err := cmd.Context().Err(); err != nil {
		return err
	}
	if err := printVerdicts(cmd.OutOrStdout(), list, asJSON); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("cannot vouch for %d of %d assets: they are damaged; run arcbox assets fetch to repair them", bad, len(list))
	}
	return nil
}

// printVerdicts prints for each asset whether it is damaged.
func printVerdicts(out io.Writer, list []assets.Asset, asJSON bool) error {
	type verdict struct {
		ID     string `json:"id"`
		OK     bool   `json:"ok"`
		Damage string `json:"damage,omitempty"`
	}
	verdicts := make([]verdict, 0, len(list))
	for _, a := range list {
		v := verdict{ID: a.ID, OK: a.Damage == nil}
		if a.Damage != nil {
			v.Damage = strings.ReplaceAll(a.Damage.Error(), "\n", "; ")
		}
		verdicts = append(verdicts, v)
	}
	if asJSON {
		return printJSON(out, verdicts)
	}
	for _, v := range verdicts {
		if v.OK {
			v.Damage = "ok"
		}
		if _, err := fmt.Fprintf(out, "%s: %s\n", v.ID, v.Damage); err != nil {
			return err
		}
	}
	return nil
}

// chosenAssets are the one that ref means, or all.
func chosenAssets(ref string) ([]assets.Asset, error) {
	lib, err := openLibrary()
	if err != nil {
		return nil, err
	}
	if ref == "" {
		return lib.List()
	}
	a, err := lib.Find(ref)
	if err != nil {
		return nil, err
	}
	return []assets.Asset{*a}, nil
}

func newAssetsRemove(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "remove ASSET...",
		Short: "Delete assets",
		Long: `Remove deletes assets given by their ID or the beginning of it. It refuses what a
machine runs from and what a rollback selected.`,
		Example: `  arcbox assets remove 6.1.0-41-cloud-arm64-0123456789ab`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || slices.Contains(args, "") {
				return usagef("%s needs an asset; see arcbox assets list", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: completeAssetIDs,
		RunE:              func(cmd *cobra.Command, args []string) error { return removeAssets(cmd, args, *asJSON) },
	}
}

func removeAssets(cmd *cobra.Command, refs []string, asJSON bool) error {
	lib, err := openLibrary()
	if err != nil {
		return err
	}
	removed := []string{}
	for _, ref := range refs {
		a, err := lib.Find(ref)
		if err != nil {
			return err
		}
		if err := lib.Remove(cmd.Context(), a.ID); err != nil {
			return err
		}
		if !asJSON {
			fmt.Fprintf(cmd.OutOrStdout(), "removed %s\n", a.ID)
		}
		removed = append(removed, a.ID)
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), map[string][]string{"removed": removed})
	}
	return nil
}

func newAssetsUse(asJSON *bool) *cobra.Command {
	var best bool
	cmd := &cobra.Command{
		Use:   "use ASSET",
		Short: "Boot machines from an asset, from their next start on",
		Long: `Use makes an asset, given by its ID, the beginning of it, or its flavour, the
default once all of its files have been read. Machines boot from it at their next start. It holds until a new
version is fetched; --best ends it at once.`,
		Example: `  arcbox assets use debian
  arcbox assets use --best`,
		Args: func(cmd *cobra.Command, args []string) error {
			if best == (len(args) > 0) {
				return usagef("%s takes either an asset or --best; see arcbox assets list", cmd.CommandPath())
			}
			return atMostOne(cmd, args)
		},
		ValidArgsFunction: completeOneAsset,
		RunE: func(cmd *cobra.Command, args []string) error {
			lib, err := openLibrary()
			if err != nil {
				return err
			}
			show := newProgress(cmd.ErrOrStderr())
			a, err := lib.Select(cmd.Context(), firstArg(args), show.event)
			show.close()
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), assetJSON(a, true))
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "default is now %s\n", a.ID)
			return err
		},
	}
	cmd.Flags().BoolVar(&best, "best", false, "let the newest of the best flavour win again")
	return cmd
}

func newAssetsRollback(asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "rollback",
		Short: "Go back to the assets that booted last",
		Long: `Rollback makes the assets that booted last, other than the present default, the
default again. It holds until a new version is fetched.`,
		Example:           `  arcbox assets rollback`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, _ []string) error { return rollbackAssets(cmd, *asJSON) },
	}
}

func rollbackAssets(cmd *cobra.Command, asJSON bool) error {
	lib, err := openLibrary()
	if err != nil {
		return err
	}
	from, to, err := lib.Rollback(cmd.Context())
	if err != nil {
		return err
	}
	was := ""
	if from != nil {
		was = from.ID
	}
	if asJSON {
		return printJSON(cmd.OutOrStdout(), map[string]string{"from": was, "to": to.ID})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "default is now %s, was %s\n", to.ID, cmp.Or(was, "nothing"))
	return err
}

func newAssetsPath(asJSON *bool) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "path [ASSET]",
		Short: "Print where the files of an asset are",
		Long: `Path prints the absolute path of the directory of the default asset, or of the one
given by its ID, the beginning of it, or its flavour; with --file that of a file.`,
		Example: `  arcbox assets path
  arcbox boot --kernel "$(arcbox assets path debian --file Image)"`,
		Args:              atMostOne,
		ValidArgsFunction: completeOneAsset,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := assetPath(firstArg(args), file)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"path": path})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "print the path of this file: Image, initrd, root.erofs, x86-64.erofs")
	return cmd
}

// assetPath gives where an asset is, or one of its files.
func assetPath(ref, file string) (string, error) {
	lib, err := openLibrary()
	if err != nil {
		return "", err
	}
	a, err := lib.Find(ref)
	if err != nil {
		return "", err
	}
	if file == "" {
		return a.Dir, nil
	}
	if path := a.Path(file); path != "" {
		return path, nil
	}
	return "", fmt.Errorf("cannot find a file %q in %s; see arcbox assets list --json", file, a.ID)
}
