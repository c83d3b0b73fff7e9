package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/arcboxlabs/arcbox-go/agent/config"
	"github.com/arcboxlabs/arcbox-go/agent/docker"
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/launchd"
)

// service is what keeps the agent of a home, where that is installed.
func service(h home.Home) (launchd.Manager, error) { return launchd.New(h.Service()) }

// serviceAgent is the agent as it is installed.
func serviceAgent(h home.Home) (a launchd.Agent, err error) {
	program, err := agentProgram()
	if err != nil {
		return a, err
	}
	socket, err := config.Standard(h).AgentSocket(h)
	if err != nil {
		return a, err
	}
	sockets := []launchd.Socket{{Name: agentapi.ServiceSocket, Path: socket}}
	if c, _ := config.Standard(h).Load(); c.Docker.Enable {
		path, err := c.Sockets.DockerPath(h)
		if err != nil {
			return a, err
		}
		sockets = append(sockets, launchd.Socket{Name: agentapi.ServiceDocker, Path: path})
	}
	env := map[string]string{}
	for _, name := range []string{home.Env, "ARCBOX_ASSETS"} {
		if val := os.Getenv(name); val != "" {
			if env[name], err = filepath.Abs(val); err != nil {
				return a, err
			}
		}
	}
	return launchd.Agent{
		Program: program, Args: []string{"--takeover"}, Env: env, // of one that a command has started meanwhile
		Sockets:      sockets,
		MachServices: []string{h.Service()},
		Log:          filepath.Join(h.Log(), "arcboxd.stderr"), OpenFiles: 10240, Description: "ArcBox agent",
	}, nil
}

// installed is the service of the user's home if it is installed, else nil.
func installed(ctx context.Context) (launchd.Manager, *launchd.Status) {
	h, err := home.Find()
	if err != nil {
		return nil, nil
	}
	m, err := service(h)
	if err != nil || !m.Installed() {
		return nil, nil
	}
	st, err := m.Status(ctx)
	if err != nil {
		return nil, nil // without a session there is no service, but there can be an agent
	}
	return m, &st
}

func newAgentInstall() *cobra.Command {
	var o outputFlags
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Have launchd or systemd start the agent at login and keep it",
		Long: `Install makes the agent a part of your session: it starts when you log in and when
something connects to its socket, and again when it crashes. An agent that runs is
replaced; machines go on. Docker's clients find it by the context arcbox, unless the setting
docker.expose says otherwise. Repeated, it mends what is no longer so.`,
		Example:           `  arcbox agent install`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := home.Find()
			if err != nil {
				return err
			}
			m, err := service(h)
			if err != nil {
				return err
			}
			a, err := serviceAgent(h)
			if err != nil {
				return err
			}
			if err := home.Make(h.Log()); err != nil {
				return err
			}
			if err := m.Install(cmd.Context(), a); err != nil {
				return err
			}
			if err := tellDocker(h); err != nil {
				return err
			}
			return onAgent(cmd, func(context.Context, *ipc.Conn) error { return sayAgent(cmd, &o) })
		},
	}
	o.add(cmd)
	return cmd
}

func newAgentUninstall() *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Undo install; machines go on",
		Long: `Uninstall ends the agent and removes what install has put into your session. Machines
go on, and commands start an agent when they need it, as before.`,
		Example:           `  arcbox agent uninstall`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := home.Find()
			if err != nil {
				return err
			}
			m, err := service(h)
			if err != nil {
				return err
			}
			err = errors.Join(m.Uninstall(cmd.Context()), untellDocker(h))
			if err == nil && !quiet {
				fmt.Fprintln(cmd.OutOrStdout(), "the agent is no longer part of your session")
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing but errors")
	return cmd
}

// tellDocker makes the docker context that the settings ask for, none with ExposeNone.
func tellDocker(h home.Home) error {
	c, _ := config.Standard(h).Load() // what is wrong with them the agent says
	if !c.Docker.Enable {
		return setDocker(h, c, config.ExposeNone)
	}
	return setDocker(h, c, c.Docker.Expose)
}

// untellDocker removes it; what was selected before is again.
func untellDocker(h home.Home) error {
	c, _ := config.Standard(h).Load()
	return setDocker(h, c, config.ExposeNone)
}

func setDocker(h home.Home, c *config.Config, e config.Expose) error {
	path, err := c.Sockets.DockerPath(h)
	if err != nil {
		return err
	}
	client, err := docker.FindClient()
	if err != nil {
		return err
	}
	if e == config.ExposeNone {
		return client.Withdraw(path)
	}
	return client.Publish(path, e == config.ExposeDefault)
}

// stopService keeps an agent that was stopped from being started by the next connection.
func stopService(ctx context.Context) error {
	m, _ := installed(ctx)
	if m == nil {
		return nil
	}
	return m.Stop(ctx)
}

// startService starts the agent if it is installed; ok is false when it is not.
func startService(ctx context.Context) (ok bool, err error) {
	m, _ := installed(ctx)
	if m == nil {
		return false, nil
	}
	err = m.Start(ctx)
	if errors.Is(err, launchd.ErrNotInstalled) {
		return false, nil
	}
	if err != nil {
		err = fmt.Errorf("cannot start the agent: %w", err)
	}
	return true, err
}

// serviceLine says how the session keeps the agent.
func serviceLine(p paint, s *launchd.Status) string {
	line := "service: " + s.Manager + ", " + p.state(string(s.State))
	if s.Enabled {
		line += ", starts at login"
	}
	if s.Problem != "" {
		line += "\n" + p.in(red, "problem: "+s.Problem)
	}
	return line
}
