// Command arcbox-routed changes the host's routes for one user whose agent may not: it runs as root, where somebody has asked
// for that (sudo arcbox-routed install), and does nothing but what ipc/routeapi says. Without it everything but direct routes to
// containers works.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/arcboxlabs/arcbox-go/agent/route/helper"
	"github.com/arcboxlabs/arcbox-go/agent/route/system"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
	"github.com/arcboxlabs/arcbox-go/launchd"
)

const usage = `Usage: sudo arcbox-routed install [--user NAME] | uninstall | status

Lets the agent of one user have direct routes to the networks of containers (machine.routes = "on").

`

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	err := run(os.Args[1:])
	var wrong usageError
	switch {
	case errors.As(err, &wrong):
		fmt.Fprintln(os.Stderr, "arcbox-routed:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "arcbox-routed:", err)
		os.Exit(1)
	}
}

// A usageError is what was asked for wrongly.
type usageError struct{ error }

func run(args []string) error {
	fs := pflag.NewFlagSet("arcbox-routed", pflag.ContinueOnError)
	fs.Usage = func() { fmt.Fprint(os.Stderr, usage+fs.FlagUsages()) }
	whose := fs.String("user", "", "whose agent is served, a name or a number (default: who has called sudo)")
	if err := fs.Parse(args); errors.Is(err, pflag.ErrHelp) {
		return nil
	} else if err != nil {
		return usageError{err}
	}
	if fs.NArg() != 1 {
		return usageError{errors.New("it wants one of install, uninstall, status")}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch verb := fs.Arg(0); verb {
	case "serve":
		uid, err := strconv.Atoi(*whose)
		if err != nil {
			return usageError{errors.New("serve wants --user with a number; launchd does that")}
		}
		return serve(ctx, uid)
	case "install", "uninstall", "status":
		return manage(ctx, verb, *whose)
	default:
		return usageError{fmt.Errorf("it cannot %q; it can install, uninstall, status", verb)}
	}
}

// serve answers at the socket that the service manager has opened, until ctx ends. Wires go on without it where the kernel
// keeps them.
func serve(ctx context.Context, uid int) error {
	files, err := launchd.Files(helper.ServiceSocket)
	if err != nil {
		return fmt.Errorf("%w; launchd starts this program", err)
	}
	server := &ipc.Server{
		Mux: helper.NewServer(system.New()).Routes(), Allow: helper.Only(uid), Max: 8,
		TurnedAway: func(p ipc.Peer, err error) { log.Printf("turned %v away: %v", p, err) },
	}
	failed := make(chan error, len(files))
	for _, f := range files {
		l, err := unixsock.Inherited(f)
		if err != nil {
			return err
		}
		go func() { failed <- server.Serve(l) }()
	}
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	server.Close()
	return err
}

// manage installs or removes this program as a daemon, or says how it is.
func manage(ctx context.Context, verb, whose string) error {
	m, err := launchd.NewDaemon(helper.Label)
	if err != nil {
		return fmt.Errorf("%w; on Linux the agent itself needs the right: sudo setcap cap_net_admin+ep on arcboxd", err)
	}
	in := installation{m, programPath}
	if verb == "status" {
		return in.status(ctx)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("cannot %s: only root can; run sudo arcbox-routed %s", verb, verb)
	}
	if verb == "uninstall" {
		return in.remove(ctx)
	}
	uid, err := uidOf(whose)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return in.install(ctx, self, uid)
}

// uidOf is the user whom name names, by default the one who has called sudo.
func uidOf(name string) (int, error) {
	if name == "" {
		name = os.Getenv("SUDO_UID")
	}
	if name == "" {
		return 0, errors.New("cannot tell whose agent is to be served; say --user NAME")
	}
	u, err := user.Lookup(name)
	if err != nil {
		u, err = user.LookupId(name)
	}
	if err != nil {
		return 0, fmt.Errorf("cannot find the user %q: %w", name, err)
	}
	return strconv.Atoi(u.Uid)
}
