package launchd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// What launchctl exits with.
const (
	codeIO         = 5   // no reason given: already loaded, still ending, or a bad file
	codeInProgress = 36  // bootout: the job has not ended yet
	codeAlready    = 37  // already loaded, already running
	codeNoProcess  = 3   // no such job
	codeNoDomain   = 112 // no such user session
	codeNoService  = 113 // no such job
	codeDisabled   = 119 //
	codeBadDomain  = 125 // no such user session, or its owner has forbidden background items
)

const (
	goneTimeout   = 60 * time.Second // how long a job may take to go
	settleTimeout = 20 * time.Second // how long to see whether a job runs
	bootTimeout   = 15 * time.Second // how long launchd may say 5 of a good file
)

// launchctl is launchd's Manager.
type launchctl struct {
	tool
	names  []string // the label, then former ones
	domain string   // gui/501, or system
	dir    string   // where plists are
}

func newLaunchctl(path, home string, uid int, names []string) *launchctl {
	return &launchctl{tool{path: path}, names, "gui/" + strconv.Itoa(uid), filepath.Join(home, "Library", "LaunchAgents")}
}

// newDaemonctl is for the domain of the Mac itself, which is always there.
func newDaemonctl(path, dir, label string) *launchctl {
	return &launchctl{tool{path: path}, []string{label}, "system", dir}
}

func (m *launchctl) label() string             { return m.names[0] }
func (m *launchctl) plist(label string) string { return filepath.Join(m.dir, label+".plist") }
func (m *launchctl) target(label string) string {
	return m.domain + "/" + label
}

// job asks launchd about a label. It is nil when launchd does not know it.
func (m *launchctl) job(ctx context.Context, label string) (*printed, error) {
	r, err := m.run(ctx, "print", m.target(label))
	switch {
	case err != nil:
		return nil, err
	case r.code == 0:
		p := parsePrint(r.out)
		return &p, nil
	case r.code == codeNoDomain || r.code == codeBadDomain || r.mentions("Could not find domain"):
		return nil, fmt.Errorf("cannot reach launchd: %w: nobody is logged in at the Mac's screen as this user (%s); log in there, or run the agent in the foreground", ErrNoSession, m.domain)
	case r.code == codeNoService || r.mentions("Could not find service"):
		return nil, nil
	}
	return nil, fmt.Errorf("cannot ask launchd about %s: %s", label, r.say())
}

// ours refuses a job that was registered from elsewhere than the file of ours.
func (m *launchctl) ours(label string, p *printed) error {
	if p == nil || p.path == "" || sameFile(p.path, m.plist(label)) {
		return nil
	}
	from := p.path
	if p.managedBy != "" {
		from += ", managed by " + p.managedBy
	}
	return fmt.Errorf("cannot manage %s: %w: launchd has it from %s; turn it off there (an app's settings, or System Settings > General > Login Items)", label, ErrForeign, from)
}

func (m *launchctl) Install(ctx context.Context, a Agent) error {
	if err := a.check(); err != nil {
		return err
	}
	p, err := m.job(ctx, m.label())
	if err != nil {
		return err
	}
	if err := m.ours(m.label(), p); err != nil {
		return err
	}
	for _, old := range m.names[1:] {
		if err := m.forget(ctx, old); err != nil {
			return err
		}
	}
	data, err := newJob(m.label(), a).marshal()
	if err != nil {
		return err
	}
	if err := a.makeDirs(); err != nil {
		return err
	}
	def := definition{m.plist(m.label()), data}
	if p != nil && def.same() {
		if err := m.enable(ctx); err != nil {
			return err
		}
		return m.Start(ctx)
	}
	return m.exchange(ctx, def, p != nil)
}

// exchange makes def what launchd runs, or leaves what it ran before.
func (m *launchctl) exchange(ctx context.Context, def definition, loaded bool) error {
	undo, err := write(def)
	if err != nil {
		return err
	}
	if err := m.register(ctx); err != nil {
		errs := []error{err, undo()}
		if loaded {
			errs = append(errs, m.register(context.WithoutCancel(ctx)))
		}
		return errors.Join(errs...)
	}
	return m.settle(ctx, 0, true)
}

// register makes launchd read the plist, also where it has read an earlier one.
func (m *launchctl) register(ctx context.Context) error {
	if err := m.bootout(ctx, m.label()); err != nil {
		return err
	}
	if err := m.enable(ctx); err != nil {
		return err
	}
	return m.bootstrap(ctx)
}

// enable undoes a disable, which launchd remembers beyond everything else.
func (m *launchctl) enable(ctx context.Context) error {
	r, err := m.run(ctx, "enable", m.target(m.label()))
	if err == nil && r.code != 0 {
		err = fmt.Errorf("cannot enable %s: %s", m.label(), r.say())
	}
	return err
}

// bootstrap loads the plist. launchd says 5 for a while after a job of the same name
// has ended, and now and then of a job that it has loaded.
func (m *launchctl) bootstrap(ctx context.Context) error {
	var last result
	err := until(ctx, bootTimeout, func() (bool, error) {
		var err error
		if last, err = m.run(ctx, "bootstrap", m.domain, m.plist(m.label())); err != nil || last.code == 0 {
			return true, err
		}
		if last.code != codeIO && last.code != codeAlready && last.code != codeInProgress {
			return true, m.refused(last)
		}
		p, err := m.job(ctx, m.label())
		if err != nil {
			return true, err
		}
		return p != nil, m.ours(m.label(), p)
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return m.refused(last)
	}
	return err
}

// refused says why launchd would not load the plist, as far as it has told.
func (m *launchctl) refused(r result) error {
	switch r.code {
	case codeBadDomain: // the session is there: job has asked
		return fmt.Errorf("cannot load %s: %s; allow it in System Settings > General > Login Items > Allow in the Background", m.label(), r.say())
	case codeDisabled:
		return fmt.Errorf("cannot load %s: %s; something disables it again: launchctl enable %s", m.label(), r.say(), m.target(m.label()))
	}
	return fmt.Errorf("cannot load %s: %s; launchd's own reason: log show --last 5m --predicate 'process == \"launchd\"'", m.plist(m.label()), r.say())
}

// bootout unloads a job and waits until it is gone.
func (m *launchctl) bootout(ctx context.Context, label string) error {
	p, err := m.job(ctx, label)
	if p == nil {
		return err
	}
	r, err := m.run(ctx, "bootout", m.target(label))
	if err != nil {
		return err
	}
	switch r.code {
	case 0, codeNoProcess, codeNoService, codeInProgress:
	default:
		return fmt.Errorf("cannot unload %s: %s", label, r.say())
	}
	err = until(ctx, goneTimeout, func() (bool, error) {
		p, err := m.job(ctx, label)
		return p == nil, err
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("cannot unload %s: its process has not ended after %s", label, goneTimeout)
	}
	return err
}

// settle waits until it is known how the job's run after so many runs went. A job
// that launchd will not run is registered again, once, if again.
func (m *launchctl) settle(ctx context.Context, runs int, again bool) error {
	var p *printed
	err := until(ctx, settleTimeout, func() (bool, error) {
		var err error
		p, err = m.job(ctx, m.label())
		return err != nil || p == nil || p.standing() == Running || p.runs > runs && p.ended(), err
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return fmt.Errorf("%w: launchd has not started it after %s and says %q; launchctl print %s", ErrFailed, settleTimeout, p.state, m.target(m.label()))
	case err != nil:
		return err
	case p == nil:
		return fmt.Errorf("%w: launchd has forgotten %s; install it again", ErrFailed, m.label())
	case p.standing() == Running:
		return nil
	case again && p.unusable():
		if err := m.register(ctx); err != nil {
			return err
		}
		return m.settle(ctx, 0, false)
	}
	return fmt.Errorf("%w: %s", ErrFailed, m.problem(p))
}

// problem says what is wrong with a job that stands at Failed.
func (m *launchctl) problem(p *printed) string {
	j, _ := m.read(m.label())
	program := p.program
	if len(j.ProgramArguments) > 0 {
		program = j.ProgramArguments[0]
	}
	if err := executable(program); program != "" && err != nil {
		return err.Error() + "; install it again"
	}
	switch {
	case p.unsigned():
		return "the signature of " + program + " has changed since it was registered; start or install it again"
	case p.unusable():
		return fmt.Sprintf("launchd cannot run %s (%s): its signature (codesign -v), its log %s, or a quarantine flag is in the way", program, p.ending(), j.StandardErrorPath)
	}
	return fmt.Sprintf("its last run ended with %s; its log is %s", p.ending(), j.StandardErrorPath)
}

func (m *launchctl) Start(ctx context.Context) error {
	p, err := m.job(ctx, m.label())
	if err != nil {
		return err
	}
	if err := m.ours(m.label(), p); err != nil {
		return err
	}
	if p != nil && p.standing() == Running {
		return nil
	}
	if p == nil || p.unusable() {
		if !m.Installed() {
			return fmt.Errorf("cannot start %s: %w", m.label(), ErrNotInstalled)
		}
		if err := m.register(ctx); err != nil {
			return err
		}
		return m.settle(ctx, 0, false)
	}
	r, err := m.run(ctx, "kickstart", m.target(m.label()))
	if err != nil {
		return err
	}
	if r.code != 0 && r.code != codeAlready {
		return fmt.Errorf("cannot start %s: %s", m.label(), r.say())
	}
	return m.settle(ctx, p.runs, true)
}

func (m *launchctl) Stop(ctx context.Context) error {
	p, err := m.job(ctx, m.label())
	if err != nil {
		return err
	}
	if err := m.ours(m.label(), p); err != nil {
		return err
	}
	return m.bootout(ctx, m.label())
}

func (m *launchctl) Uninstall(ctx context.Context) error {
	var errs []error
	for _, label := range m.names {
		errs = append(errs, m.forget(ctx, label))
	}
	return errors.Join(errs...)
}

// forget removes every trace of one label. Without a session nothing is loaded, and
// the files go all the same.
func (m *launchctl) forget(ctx context.Context, label string) error {
	p, err := m.job(ctx, label)
	if err == nil {
		err = m.ours(label, p)
	}
	if err == nil {
		err = m.bootout(ctx, label)
	}
	if err != nil && !errors.Is(err, ErrNoSession) {
		return err
	}
	j, err := m.read(label)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{removeMade(j.StandardOutPath, 0), removeMade(j.StandardErrorPath, 0)}
	for _, s := range j.Sockets {
		errs = append(errs, removeMade(s.SockPathName, fs.ModeSocket))
	}
	return errors.Join(append(errs, remove(m.plist(label)))...)
}

// read reads the installed plist. One that cannot be parsed is no error here: it is
// removed or replaced like another.
func (m *launchctl) read(label string) (job, error) {
	data, err := os.ReadFile(m.plist(label))
	if err != nil {
		return job{}, err
	}
	j, err := parseJob(data)
	return j, err
}

func (m *launchctl) Installed() bool {
	_, err := os.Stat(m.plist(m.label()))
	return err == nil
}

func (m *launchctl) Status(ctx context.Context) (Status, error) {
	s := Status{Manager: "launchd", State: Absent, File: m.plist(m.label())}
	j, err := m.read(m.label())
	if s.Installed = !errors.Is(err, fs.ErrNotExist); s.Installed {
		s.State, s.Enabled = Stopped, true
		if err != nil {
			s.Problem = err.Error() + "; install it again"
		}
	}
	if len(j.ProgramArguments) > 0 {
		s.Program = j.ProgramArguments[0]
	}
	p, err := m.job(ctx, m.label())
	if err != nil {
		return s, err
	}
	if r, err := m.run(ctx, "print-disabled", m.domain); err == nil && disabled(r.out, m.label()) {
		s.Enabled = false
		s.Problem = "it is disabled and does not start at login; install it again, or: launchctl enable " + m.target(m.label())
	}
	if p == nil {
		return s, nil
	}
	s.State, s.PID, s.Runs, s.Exit = p.standing(), p.pid, p.runs, p.ending()
	if p.program != "" {
		s.Program = p.program
	}
	if err := m.ours(m.label(), p); err != nil {
		s.File, s.Problem = p.path, err.Error()
	} else if s.State == Failed {
		s.Problem = m.problem(p)
	}
	return s, nil
}
