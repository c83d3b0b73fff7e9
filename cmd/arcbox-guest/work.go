//go:build linux

package main

import (
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/config"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/reap"
)

// environment is what every program of the guest begins with.
var environment = []string{
	"HOME=/root",
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"PWD=/",
	"TERM=vt100",
	"USER=root",
}

// attributes are those of a program on our console, with env added to the
// environment. It has a session of its own.
func attributes(env map[string]string) *syscall.ProcAttr {
	vars := slices.Clone(environment)
	for key, value := range env {
		vars = append(vars, key+"="+value)
	}
	slices.Sort(vars[len(environment):])
	return &syscall.ProcAttr{Dir: "/", Env: vars, Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true}}
}

// startWork starts what the guest was told to do. A guest with an agent need not be told anything.
func startWork(r *reap.Reaper, cfg config.Config) (reap.Child, error) {
	switch {
	case cfg.Run != "":
		return r.Start([]string{"/bin/sh", "-c", cfg.Run}, attributes(cfg.Env))
	case len(cfg.Exec) > 0:
		return r.Start(cfg.Exec, attributes(cfg.Env))
	case cfg.Agent:
		return reap.Child{}, nil
	}
	return startShell(r, cfg.Env)
}

// startShell starts an interactive shell. Only a shell gets the terminal as its
// controlling one: at the end of such a session the kernel hangs the terminal
// up and drops what it has not sent yet, which would cut a script's output.
func startShell(r *reap.Reaper, env map[string]string) (reap.Child, error) {
	name := terminal()
	tty, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return reap.Child{}, fmt.Errorf("cannot give a shell: %w", err)
	}
	defer tty.Close()
	attr := attributes(env)
	attr.Files = []uintptr{tty.Fd(), tty.Fd(), tty.Fd()}
	attr.Sys.Setctty = name != "/dev/console"
	return r.Start([]string{"/bin/sh", "-l"}, attr)
}

// outcome says how a program ended: "ended with status 3" or "was killed by
// signal 9 (killed)".
func outcome(s syscall.WaitStatus) string {
	if s.Signaled() {
		return fmt.Sprintf("was killed by signal %d (%v)", int(s.Signal()), s.Signal())
	}
	return fmt.Sprintf("ended with status %d", s.ExitStatus())
}
