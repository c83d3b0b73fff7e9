package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	assets "github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// What the shell offers for flags that take one of few words, each with what it
// means behind a tab.
var (
	completeConsole = cobra.FixedCompletions([]cobra.Completion{
		cobra.CompletionWithDesc(string(vmapi.HVC0), "virtio console, once its driver runs"),
		cobra.CompletionWithDesc(string(vmapi.TTYAMA0), "serial port, from the first instruction"),
	}, cobra.ShellCompDirectiveNoFileComp)
	completeEngine = cobra.FixedCompletions([]cobra.Completion{
		cobra.CompletionWithDesc("soft", "software AArch64, on any host"),
		cobra.CompletionWithDesc("hvf", "Hypervisor.framework, on a Mac"),
	}, cobra.ShellCompDirectiveNoFileComp)
	completeFlavour = cobra.FixedCompletions([]cobra.Completion{
		cobra.CompletionWithDesc(assets.FlavourDebian, "Debian's stock cloud kernel"),
		cobra.CompletionWithDesc(assets.FlavourArcBox, "our own kernel"),
	}, cobra.ShellCompDirectiveNoFileComp)
)

// completeFlag joins a flag to its words. That fails only for a flag that the
// command does not have, which is a mistake in this program.
func completeFlag(cmd *cobra.Command, flag string, words cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, words); err != nil {
		panic(err)
	}
}

// completeWithin is how long the agent may take to say what a shell can offer.
const completeWithin = time.Second

// completeMachine offers the machines that the agent knows, to a command that takes one. It starts no agent.
func completeMachine(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeMachines(cmd, args, typed)
}

// completeMachines offers the machines that were not typed yet.
func completeMachines(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
	defer cancel()
	st, err := readStatus(ctx, "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, m := range st.Machines {
		if !slices.Contains(args, m.Name) {
			names = append(names, cobra.CompletionWithDesc(m.Name, m.State))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeAsset offers the flavours that are there and the assets by ID.
func completeAsset(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ids, flavours := listedAssets()
	return append(flavours, ids...), cobra.ShellCompDirectiveNoFileComp
}

// completeOneAsset is completeAsset for commands that take one.
func completeOneAsset(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeAsset(cmd, args, typed)
}

// completeAssetIDs offers the assets that were not typed yet.
func completeAssetIDs(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ids, _ := listedAssets(args...)
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// listedAssets gives the assets but those in without, and the flavours of all
// that are intact. A store that cannot be read offers nothing: a shell that
// completes has no place for errors.
func listedAssets(without ...string) (ids, flavours []cobra.Completion) {
	lib, err := openLibrary()
	if err != nil {
		return nil, nil
	}
	all, err := lib.List()
	if err != nil {
		return nil, nil
	}
	for _, a := range all {
		if slices.Contains(without, a.ID) {
			continue
		}
		what := "damaged"
		if a.Damage == nil && a.Manifest != nil {
			what = fmt.Sprintf("%s, kernel %s", a.Manifest.Flavour, a.Manifest.KernelVersion)
			newest := cobra.CompletionWithDesc(a.Manifest.Flavour, "the newest of this flavour")
			if !slices.Contains(flavours, newest) {
				flavours = append(flavours, newest)
			}
		}
		ids = append(ids, cobra.CompletionWithDesc(a.ID, what))
	}
	return ids, flavours
}
