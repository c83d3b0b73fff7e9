package launchd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// systemctl is the Manager of a user's systemd.
type systemctl struct {
	tool
	names []string // the label, then former ones
	dir   string   // where units are
}

func newSystemctl(path, dir string, names []string) *systemctl {
	m := &systemctl{tool{path: path}, names, dir}
	// Where a login has left this out, as sudo and cron do, it is still there.
	if run := fmt.Sprintf("/run/user/%d", os.Getuid()); os.Getenv("XDG_RUNTIME_DIR") == "" {
		m.env = []string{"XDG_RUNTIME_DIR=" + run}
	}
	return m
}

func (m *systemctl) label() string { return m.names[0] }

// do runs systemctl, which must succeed.
func (m *systemctl) do(ctx context.Context, verb string, args ...string) error {
	r, err := m.run(ctx, slices.Concat([]string{"--user", "--no-ask-password", verb}, args)...)
	if err == nil && r.code != 0 {
		err = fmt.Errorf("cannot %s %s: %s", verb, strings.Join(args, " "), r.say())
	}
	return err
}

// properties asks for some of a unit's, or of systemd's own for "".
func (m *systemctl) properties(ctx context.Context, unit string, keys ...string) (map[string]string, error) {
	args := []string{"--user", "show", "--property=" + strings.Join(keys, ",")}
	if unit != "" {
		args = append(args, "--", unit)
	}
	r, err := m.run(ctx, args...)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot reach systemd: %w: there is no systemctl here; run the agent in the foreground", ErrNoSession)
	}
	if err != nil {
		return nil, err
	}
	if r.code != 0 {
		return nil, fmt.Errorf("cannot reach systemd: %w: %s; log in as this user, or run the agent in the foreground", ErrNoSession, r.say())
	}
	props := map[string]string{}
	for line := range strings.Lines(r.out) {
		key, val, _ := strings.Cut(strings.TrimSpace(line), "=")
		props[key] = val
	}
	return props, nil
}

// definitions are the files for a, the service first.
func (m *systemctl) definitions(a Agent) []definition {
	defs := []definition{{m.unit(serviceName(m.label())), []byte(serviceUnit(m.label(), a))}}
	for _, s := range a.Sockets {
		defs = append(defs, definition{m.unit(socketName(m.label(), s.Name)), []byte(socketUnit(m.label(), a, s))})
	}
	return defs
}

func (m *systemctl) unit(name string) string { return filepath.Join(m.dir, name) }

// units are the names of what is installed for a label: sockets first, since they are
// started and stopped first.
func (m *systemctl) units(label string) (sockets []string, service string, installed bool) {
	files, _ := filepath.Glob(m.unit(socketName(label, "*")))
	for _, f := range files {
		sockets = append(sockets, filepath.Base(f))
	}
	_, err := os.Stat(m.unit(serviceName(label)))
	return sockets, serviceName(label), err == nil
}

func (m *systemctl) Install(ctx context.Context, a Agent) error {
	if err := a.check(); err != nil {
		return err
	}
	if _, err := m.properties(ctx, "", "Version"); err != nil {
		return err
	}
	for _, old := range m.names[1:] {
		if err := m.forget(ctx, old); err != nil {
			return err
		}
	}
	if err := a.makeDirs(); err != nil {
		return err
	}
	defs := m.definitions(a)
	have, _, _ := m.units(m.label())
	if len(have) != len(a.Sockets) || slices.ContainsFunc(defs, func(d definition) bool { return !d.same() }) {
		return m.exchange(ctx, defs)
	}
	if err := m.enable(ctx); err != nil {
		return err
	}
	return m.Start(ctx)
}

// exchange makes defs what systemd runs, or leaves what it ran before. Sockets are
// opened before the service, which gets only those that are open.
func (m *systemctl) exchange(ctx context.Context, defs []definition) error {
	_, _, before := m.units(m.label())
	if before {
		if err := m.Stop(ctx); err != nil {
			return err
		}
	}
	if err := m.prune(ctx, defs); err != nil {
		return err
	}
	undo, err := write(defs...)
	if err != nil {
		return err
	}
	if err := m.enable(ctx); err != nil {
		errs := []error{err, undo(), m.do(context.WithoutCancel(ctx), "daemon-reload")}
		if before {
			errs = append(errs, m.Start(context.WithoutCancel(ctx)))
		}
		return errors.Join(errs...)
	}
	return m.Start(ctx)
}

// prune removes the units of sockets that are no longer wanted.
func (m *systemctl) prune(ctx context.Context, defs []definition) error {
	sockets, _, _ := m.units(m.label())
	for _, s := range sockets {
		if slices.ContainsFunc(defs, func(d definition) bool { return d.path == m.unit(s) }) {
			continue
		}
		if err := errors.Join(m.do(ctx, "disable", "--now", s), remove(m.unit(s))); err != nil {
			return err
		}
	}
	return nil
}

// enable makes systemd read the units and start them at login.
func (m *systemctl) enable(ctx context.Context) error {
	if err := m.do(ctx, "daemon-reload"); err != nil {
		return err
	}
	sockets, service, _ := m.units(m.label())
	return m.do(ctx, "enable", append(sockets, service)...)
}

func (m *systemctl) Start(ctx context.Context) error {
	sockets, service, installed := m.units(m.label())
	p, err := m.properties(ctx, service, "ActiveState")
	switch {
	case err != nil:
		return err
	case !installed:
		return fmt.Errorf("cannot start %s: %w", m.label(), ErrNotInstalled)
	case p["ActiveState"] == "active":
		return nil
	}
	if len(sockets) > 0 {
		if err := m.do(ctx, "start", sockets...); err != nil {
			return err
		}
	}
	if err := m.do(ctx, "start", service); err != nil {
		s, serr := m.Status(ctx)
		if serr != nil || s.Problem == "" {
			return fmt.Errorf("%w: %w", ErrFailed, err)
		}
		return fmt.Errorf("%w: %s", ErrFailed, s.Problem)
	}
	return nil
}

func (m *systemctl) Stop(ctx context.Context) error {
	sockets, service, installed := m.units(m.label())
	if _, err := m.properties(ctx, "", "Version"); err != nil || !installed {
		return err
	}
	if len(sockets) > 0 { // else the next caller starts it again
		if err := m.do(ctx, "stop", sockets...); err != nil {
			return err
		}
	}
	return m.do(ctx, "stop", service)
}

func (m *systemctl) Uninstall(ctx context.Context) error {
	var errs []error
	for _, label := range m.names {
		errs = append(errs, m.forget(ctx, label))
	}
	return errors.Join(errs...)
}

// forget removes every trace of one label. Without a session nothing runs, and the
// files go all the same, with the links that enabling makes.
func (m *systemctl) forget(ctx context.Context, label string) error {
	sockets, service, installed := m.units(label)
	if !installed && len(sockets) == 0 {
		return nil
	}
	all := append(sockets, service)
	_, err := m.properties(ctx, "", "Version")
	alive := err == nil
	if alive {
		err = m.do(ctx, "disable", append([]string{"--now"}, all...)...)
	}
	if err != nil && !errors.Is(err, ErrNoSession) {
		return err
	}
	var errs []error
	for _, name := range all {
		errs = append(errs, m.erase(name))
	}
	if alive {
		errs = append(errs, m.do(ctx, "daemon-reload"))
		// A unit that failed is remembered without its file; one that did not is
		// not, and then this fails.
		for _, name := range all {
			_ = m.do(ctx, "reset-failed", name)
		}
	}
	return errors.Join(errs...)
}

// erase removes a unit, its links, and what systemd has made for it.
func (m *systemctl) erase(name string) error {
	data, err := os.ReadFile(m.unit(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot remove %s: %w", m.unit(name), err)
	}
	var errs []error
	sockets, logs := made(string(data))
	for _, s := range sockets {
		errs = append(errs, removeMade(s, fs.ModeSocket))
	}
	for _, l := range logs {
		errs = append(errs, removeMade(l, 0))
	}
	links, _ := filepath.Glob(filepath.Join(m.dir, "*.wants", name))
	for _, l := range links {
		errs = append(errs, remove(l))
	}
	return errors.Join(append(errs, remove(m.unit(name)))...)
}

func (m *systemctl) Installed() bool {
	_, _, installed := m.units(m.label())
	return installed
}

func (m *systemctl) Status(ctx context.Context) (Status, error) {
	sockets, service, installed := m.units(m.label())
	s := Status{Manager: "systemd", Installed: installed, State: Absent, File: m.unit(service)}
	p, err := m.properties(ctx, service, "ActiveState", "SubState", "MainPID", "NRestarts", "ExecMainCode", "ExecMainStatus", "ExecMainStartTimestampMonotonic", "Result", "UnitFileState", "LoadState")
	if err != nil {
		return s, err
	}
	if !installed {
		return s, nil
	}
	s.Enabled = p["UnitFileState"] == "enabled"
	s.PID = number(p["MainPID"])
	if number(p["ExecMainStartTimestampMonotonic"]) > 0 {
		s.Runs = 1 + number(p["NRestarts"])
	}
	s.Program = programOf(m.unit(service))
	switch {
	case p["ActiveState"] == "active":
		s.State = Running
	case p["SubState"] == "auto-restart" || p["ActiveState"] == "failed":
		s.State = Failed
	case p["ActiveState"] == "activating":
		s.State = Starting
	default:
		if s.State, err = m.idle(ctx, sockets); err != nil {
			return s, err
		}
	}
	// 0: never run, 1: exited, 2 and 3: killed.
	switch p["ExecMainCode"] {
	case "1":
		s.Exit = p["ExecMainStatus"]
	case "2", "3":
		s.Exit = "signal " + p["ExecMainStatus"]
	}
	s.Problem = m.problem(s, p)
	return s, nil
}

// idle is where a service stands that neither runs nor failed.
func (m *systemctl) idle(ctx context.Context, sockets []string) (State, error) {
	for _, socket := range sockets {
		p, err := m.properties(ctx, socket, "ActiveState")
		if err != nil {
			return Stopped, err
		}
		if p["ActiveState"] == "active" {
			return Waiting, nil
		}
	}
	return Stopped, nil
}

func (m *systemctl) problem(s Status, p map[string]string) string {
	switch {
	case p["LoadState"] != "loaded":
		return "systemd does not know it (" + p["LoadState"] + "); install it again"
	case s.State == Failed && s.Program != "" && executable(s.Program) != nil:
		return executable(s.Program).Error() + "; install it again"
	case s.State == Failed:
		return fmt.Sprintf("its last run ended with %s (%s); journalctl --user -u %s", s.Exit, p["Result"], serviceName(m.label()))
	case !s.Enabled:
		return "it does not start at login; install it again"
	}
	return ""
}

// programOf reads back the first word of ExecStart.
func programOf(unit string) string {
	data, err := os.ReadFile(unit)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		val, ok := strings.CutPrefix(strings.TrimSpace(line), `ExecStart="`)
		if !ok {
			continue
		}
		program, _, _ := strings.Cut(val, `" "`)
		return unquoted.Replace(strings.TrimSuffix(program, `"`))
	}
	return ""
}
