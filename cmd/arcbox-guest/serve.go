//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/clock"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/config"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/initapi"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/reap"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/slack"
)

// grace is how long programs have to end after SIGTERM at shutdown.
const grace = 3 * time.Second

// maxGrace bounds what a host may ask for.
const maxGrace = 10 * time.Minute

// serve is the second stage, on the root. It ends the guest; when it returns,
// that is an error.
func serve() error {
	at := clock.Uptime()
	if err := prepareRoot(); err != nil {
		return err
	}
	slack.Watch(slack.Patient) // PID 1 does one thing at a time
	if err := openConsole(); err != nil {
		return err
	}
	mark("init", at)
	signals := listen()
	r := reap.New()
	go func() {
		defer emergency()
		r.Run(context.Background()) // as long as the guest lives
	}()
	cfg, err := orders()
	if err != nil {
		return err
	}
	var s *supervisor
	if cfg.Agent {
		s = superviseAgent(r) // it comes to life while the rest is done
	}
	problems := prepare(r, cfg)
	mark("ready", clock.Uptime())
	if s != nil {
		s.begin(&initapi.BeginReq{InitMS: at.Milliseconds(), Problems: problems})
	}
	return work(r, cfg, s, signals)
}

// prepare does what can go wrong without keeping the guest from its work.
func prepare(r *reap.Reaper, cfg config.Config) (problems []string) {
	try := func(err error) {
		if err != nil {
			say("%v", err)
			problems = append(problems, err.Error())
		}
	}
	try(name(cfg.Hostname))
	if cfg.Network.Address.IsValid() {
		try(connect(cfg.Network))
		try(connect6(cfg.Network6))
	}
	if device := cfg.DataDevice(); device != "" {
		try(mountData(r, device, cfg.Room))
	}
	try(layDocker())
	for _, processor := range cfg.Emulate {
		try(emulate(processor))
	}
	return problems
}

// orders is what the command line and the config disk ask for, the former
// before the latter. A config disk is never the data disk.
func orders() (config.Config, error) {
	line, err := commandLine()
	if err != nil {
		return line, err
	}
	disk, device, err := configDisk()
	if err != nil {
		return line, err
	}
	cfg := line.WithDefaults(disk)
	if device != "" && cfg.DataDevice() == device {
		cfg.Data = config.NoData
	}
	return cfg, nil
}

// work runs the order and ends the guest after it, or when a signal or the agent asks.
func work(r *reap.Reaper, cfg config.Config, s *supervisor, signals <-chan os.Signal) error {
	child, err := startWork(r, cfg)
	if err != nil {
		return err
	}
	var asked <-chan *initapi.EndReq
	if s != nil {
		asked = s.ends
	}
	how, patience := unix.LINUX_REBOOT_CMD_POWER_OFF, grace
	select {
	case status := <-child.Ended:
		say("run %s", outcome(status))
	case sig := <-signals:
		say("ending on signal %v", sig)
		if sig == unix.SIGTERM || sig == unix.SIGINT {
			how = unix.LINUX_REBOOT_CMD_RESTART
		}
	case req := <-asked:
		say("ending, as the host asks")
		if req.GraceMS > 0 {
			patience = time.Duration(min(req.GraceMS, maxGrace.Milliseconds())) * time.Millisecond
		}
		if req.Restart {
			how = unix.LINUX_REBOOT_CMD_RESTART
		}
	}
	if s != nil {
		s.close()
	}
	return shutdown(r, how, patience)
}

// listen asks for the signals that end a guest, ctrl-alt-del among them.
func listen() <-chan os.Signal {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPWR)
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != nil {
		say("cannot catch ctrl-alt-del: %v", err)
	}
	return signals
}

// name sets the host name and brings the loopback interface up.
func name(hostname string) error {
	if hostname == "" {
		hostname = "arcbox"
	}
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return fmt.Errorf("cannot set the host name: %w", err)
	}
	return loopback()
}

func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot bring lo up: %w", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("cannot bring lo up: %w", err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("cannot bring lo up: %w", err)
	}
	return nil
}

// shutdown ends every program, puts the data on its disk and leaves. It
// returns only when the kernel refuses.
func shutdown(r *reap.Reaper, how int, patience time.Duration) error {
	endAll(r, patience)
	unix.Sync()
	if err := unix.Unmount(dataDir, 0); err != nil && err != unix.EINVAL {
		say("cannot unmount %s: %v; making it read-only", dataDir, err)
		unix.Mount("", dataDir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	unix.Sync()
	mark("end", clock.Uptime())
	flushConsole()
	if err := unix.Reboot(how); err != nil {
		return fmt.Errorf("cannot leave: %w", err)
	}
	select {} // the kernel is going down
}

// endAll asks every other process to end, and kills those that have not after a time.
func endAll(r *reap.Reaper, patience time.Duration) {
	for _, s := range []syscall.Signal{unix.SIGTERM, unix.SIGKILL} {
		unix.Kill(-1, s) // everyone but PID 1
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := r.Drain(ctx)
		cancel()
		if err == nil {
			return
		}
		patience = grace
	}
}
