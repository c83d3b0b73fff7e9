package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/arcboxlabs/arcbox-go/agent/config"
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// sources are where this user's settings come from.
func sources() (config.Sources, error) {
	h, err := home.Find()
	if err != nil {
		return config.Sources{}, err
	}
	return config.Standard(h), nil
}

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "See and change the settings",
		Long: `Settings come from defaults, /etc/arcbox/config.toml, config.toml in the data directory,
the environment and flags, the later before the earlier. A change of the file is
heeded by the agent at once; set says when it takes effect.`,
		Example: `  arcbox config get
  arcbox config set machine.memory 4GiB
  arcbox config unset machine.memory`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigGet(), newConfigSet(), newConfigUnset(), newConfigPath(), newConfigValidate())
	return cmd
}

// completeKey offers the settings by name.
func completeKey(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var keys []cobra.Completion
	for _, k := range config.Keys {
		keys = append(keys, cobra.CompletionWithDesc(k.Name, k.Doc))
	}
	return keys, cobra.ShellCompDirectiveNoFileComp
}

func newConfigGet() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "get [SETTING]",
		Short: "Print what a setting is, or all of them and where each comes from",
		Example: `  arcbox config get
  arcbox config get machine.memory
  arcbox config get --json`,
		Args:              atMostOne,
		ValidArgsFunction: completeKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := sources()
			if err != nil {
				return err
			}
			c, mistakes := s.Load()
			if mistakes != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "arcbox:", mistakes)
			}
			return printSettings(cmd.OutOrStdout(), c, firstArg(args), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON on standard output")
	return cmd
}

func printSettings(out io.Writer, c *config.Config, name string, asJSON bool) error {
	if name != "" {
		v, err := c.Get(name)
		if err != nil {
			return &statusError{exitUsage, err}
		}
		if asJSON {
			return printJSON(out, v)
		}
		_, err = fmt.Fprintln(out, v.Text)
		return err
	}
	if asJSON {
		return printJSON(out, c.All())
	}
	p := paintFor(out)
	t := newTable(out, "SETTING", "VALUE", "FROM")
	for _, v := range c.All() {
		from := v.Origin.String()
		if v.Origin.Layer == config.Defaults {
			from = p.in(dim, from)
		}
		text := v.Text
		if text == "" {
			text = `""`
		}
		t.row(v.Key, text, from)
	}
	return t.print()
}

func newConfigSet() *cobra.Command {
	return &cobra.Command{
		Use:   "set SETTING VALUE",
		Short: "Change one line of your settings file",
		Long:  `Set changes one setting in your file; comments and everything else stay as they are.`,
		Example: `  arcbox config set machine.memory 4GiB
  arcbox config set machines.work.cpus 2`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("%s takes a setting and a value; see arcbox config get", cmd.CommandPath())
			}
			return nil
		},
		ValidArgsFunction: completeKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeSetting(cmd, args[0], func(s config.Sources) (config.Effect, error) { return s.Set(args[0], args[1]) })
		},
	}
}

func newConfigUnset() *cobra.Command {
	return &cobra.Command{
		Use:               "unset SETTING",
		Short:             "Remove one line of your settings file",
		Example:           `  arcbox config unset machine.memory`,
		Args:              exactlyOne,
		ValidArgsFunction: completeKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeSetting(cmd, args[0], func(s config.Sources) (config.Effect, error) { return s.Unset(args[0]) })
		},
	}
}

func changeSetting(cmd *cobra.Command, name string, change func(config.Sources) (config.Effect, error)) error {
	h, err := home.Find()
	if err != nil {
		return err
	}
	if err := home.Make(h.Root()); err != nil {
		return err
	}
	effect, err := change(config.Standard(h))
	if err != nil {
		return err
	}
	tellSettings(cmd.Context())
	c, _ := config.Standard(h).Load()
	if v, err := c.Get(name); err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), "%s is %s; takes effect: %s\n", name, v.Text, effect)
	}
	return nil
}

// tellSettings has the agent, if one runs, read the settings before the next command. It would a moment later anyway, so
// nothing depends on it.
func tellSettings(ctx context.Context) {
	conn, err := dialAgent(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, _ = ipc.Call(ctx, conn, agentapi.Reload, &agentapi.ReloadReq{})
}

func newConfigPath() *cobra.Command {
	return &cobra.Command{
		Use:               "path",
		Short:             "Print where your settings file is, or would be",
		Example:           `  $EDITOR "$(arcbox config path)"`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := sources()
			if err == nil {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), s.User)
			}
			return err
		},
	}
}

func newConfigValidate() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Say what is wrong with the settings, with file and line",
		Long:  `Validate exits with 1 when something cannot be used. What nobody knows is a warning.`,
		Example: `  arcbox config validate
  arcbox config validate --json`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := sources()
			if err != nil {
				return err
			}
			c, mistakes := s.Load()
			return sayMistakes(cmd.OutOrStdout(), c, mistakes, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON on standard output")
	return cmd
}

func sayMistakes(out io.Writer, c *config.Config, mistakes error, asJSON bool) error {
	errs, warnings := []string{}, []string{}
	if mistakes != nil {
		errs = strings.Split(mistakes.Error(), "\n")
	}
	for _, w := range c.Warnings {
		warnings = append(warnings, w.Error())
	}
	if asJSON {
		if err := json.NewEncoder(out).Encode(map[string][]string{"errors": errs, "warnings": warnings}); err != nil {
			return err
		}
	} else {
		for _, w := range warnings {
			fmt.Fprintln(out, "warning:", w)
		}
		for _, e := range errs {
			fmt.Fprintln(out, "error:", e)
		}
	}
	switch {
	case len(errs) > 0:
		return errors.New("the settings have mistakes; what could be used of them counts")
	case len(warnings) == 0 && !asJSON:
		fmt.Fprintln(out, "the settings are good")
	}
	return nil
}
