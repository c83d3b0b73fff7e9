package launchd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

var (
	// ErrNoSession: there is no service manager for this user's session.
	ErrNoSession = errors.New("no session to install into")
	// ErrNotInstalled: Start without Install.
	ErrNotInstalled = errors.New("not installed")
	// ErrForeign: the label is registered by another program.
	ErrForeign = errors.New("registered by another program")
	// ErrFailed: the manager knows the agent but cannot run it.
	ErrFailed = errors.New("the agent does not run")
	// ErrNotManaged: no service manager has started this process.
	ErrNotManaged = errors.New("not started by a service manager")

	errTaken = errors.New("it was taken already")
)

// An Agent is what a manager is asked to keep running.
type Agent struct {
	Program string   // absolute path
	Args    []string // after the program's name
	Env     map[string]string
	Sockets []Socket // opened by the manager; the agent takes them with Listeners
	// MachServices are names that launchd answers for until the agent checks in.
	// systemd has nothing like it and ignores them.
	MachServices []string
	Log          string // file for what the agent prints; "" for none
	OpenFiles    uint64 // limit of open files; 0 for the system's
	// StopTimeout is how long the agent may take to end; 0 means 20 s.
	StopTimeout time.Duration
	// Bundle is the app that the agent belongs to in macOS's Login Items; "" for none.
	Bundle string
	// Description is one line for people.
	Description string
}

// A Socket is a Unix stream socket that only one user may connect to.
type Socket struct {
	Name string // what the agent asks Listeners for
	Path string // absolute
	// Owner is the user of a daemon's socket; 0 is the manager's own.
	Owner int
}

// A Manager keeps one agent. Any goroutine may use it, but no two of them at once,
// nor two programs.
type Manager interface {
	// Install registers a and starts it. An agent that was registered otherwise is
	// stopped first.
	Install(ctx context.Context, a Agent) error
	// Uninstall stops the agent and undoes what Install did.
	Uninstall(ctx context.Context) error
	// Start starts the agent if it does not run.
	Start(ctx context.Context) error
	// Stop ends the agent and closes its sockets, until Start or the next login.
	Stop(ctx context.Context) error
	// Status asks the manager. Where that fails, what the files say is in it all the same.
	Status(ctx context.Context) (Status, error)
	// Installed says whether the agent's definition is there, and asks nobody.
	Installed() bool
}

// Status is what the manager says about the agent.
type Status struct {
	Manager   string `json:"manager"`           // launchd or systemd
	Installed bool   `json:"installed"`         // its definition is where Install puts it
	Enabled   bool   `json:"enabled"`           // it starts at login
	State     State  `json:"state"`             //
	PID       int    `json:"pid,omitempty"`     //
	Runs      int    `json:"runs,omitempty"`    // how often it was started since it was last asked to
	Exit      string `json:"exit,omitempty"`    // how its last run ended, as the manager says it
	Program   string `json:"program,omitempty"` //
	File      string `json:"file,omitempty"`    // its definition
	// Problem is what is wrong and what to do, "" when nothing is.
	Problem string `json:"problem,omitempty"`
}

// State is where the agent stands.
type State string

const (
	Absent   State = "absent"   // the manager does not know it, and it is not installed
	Stopped  State = "stopped"  // installed, but the manager does not know it until Start or the next login
	Waiting  State = "waiting"  // not running; starts when somebody connects
	Starting State = "starting" //
	Running  State = "running"  //
	Failed   State = "failed"   // the manager tried and cannot, or waits to try again
)

// New makes the manager of this system for the agent called label, a name such as
// com.example.agent. former are labels that earlier versions used: Install and
// Uninstall remove what is left of them. Errors: a label that cannot be one, no home
// directory, a system that has neither manager.
func New(label string, former ...string) (Manager, error) {
	for _, l := range append([]string{label}, former...) {
		if !labels.MatchString(l) {
			return nil, fmt.Errorf("cannot use %q as a label: it is not a name like com.example.agent", l)
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("cannot find your home directory: %w", err)
	}
	names := append([]string{label}, former...)
	switch runtime.GOOS {
	case "darwin":
		return newLaunchctl("/bin/launchctl", home, os.Getuid(), names), nil
	case "linux":
		dir := os.Getenv("XDG_CONFIG_HOME")
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(home, ".config")
		}
		return newSystemctl("systemctl", filepath.Join(dir, "systemd", "user"), names), nil
	}
	return nil, fmt.Errorf("cannot install an agent on %s: it has neither launchd nor systemd", runtime.GOOS)
}

// NewDaemon makes the manager of the whole Mac, for a program that runs as root whoever is logged in. Only root can use it. Errors: a
// label that cannot be one; a system without launchd.
func NewDaemon(label string) (Manager, error) {
	if !labels.MatchString(label) {
		return nil, fmt.Errorf("cannot use %q as a label: it is not a name like com.example.agent", label)
	}
	if runtime.GOOS != "darwin" {
		return nil, fmt.Errorf("cannot install a daemon on %s: it has no launchd", runtime.GOOS)
	}
	return newDaemonctl("/bin/launchctl", "/Library/LaunchDaemons", label), nil
}

var (
	labels = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,99}$`)
	names  = regexp.MustCompile(`^[A-Za-z0-9_]{1,32}$`)
)

// maxSocket is the longest path that sun_path holds on macOS, without its NUL.
const maxSocket = 103

// check says what of a no manager would take, or would take and fail with later.
func (a *Agent) check() error {
	if err := executable(a.Program); err != nil {
		return fmt.Errorf("cannot install an agent: %w", err)
	}
	if a.Log != "" && !filepath.IsAbs(a.Log) {
		return fmt.Errorf("cannot install an agent: its log %q is not an absolute path", a.Log)
	}
	seen := map[string]bool{}
	for _, s := range a.Sockets {
		switch {
		case !names.MatchString(s.Name):
			return fmt.Errorf("cannot install an agent: a socket cannot be called %q", s.Name)
		case seen[s.Name]:
			return fmt.Errorf("cannot install an agent: two sockets are called %s", s.Name)
		case !filepath.IsAbs(s.Path) || len(s.Path) > maxSocket:
			return fmt.Errorf("cannot install an agent: socket %s needs an absolute path of at most %d bytes, not %q", s.Name, maxSocket, s.Path)
		}
		seen[s.Name] = true
	}
	words := slices.Concat([]string{a.Program, a.Log, a.Bundle, a.Description}, a.Args, a.MachServices)
	for k, v := range a.Env {
		if k == "" || strings.Contains(k, "=") {
			return fmt.Errorf("cannot install an agent: %q cannot be a variable's name", k)
		}
		words = append(words, k, v)
	}
	for _, s := range a.Sockets {
		words = append(words, s.Path)
	}
	for _, w := range words {
		if strings.ContainsFunc(w, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
			return fmt.Errorf("cannot install an agent: %q has a character that a definition cannot hold", w)
		}
	}
	return nil
}

// executable says why no manager could run the program, or nil.
func executable(program string) error {
	if !filepath.IsAbs(program) {
		return fmt.Errorf("its program %q is not an absolute path", program)
	}
	info, err := os.Stat(program)
	switch {
	case err != nil:
		return fmt.Errorf("its program cannot be found: %w", err)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("its program %s is not an executable file", program)
	}
	return nil
}

func (a *Agent) stopTimeout() time.Duration {
	if a.StopTimeout <= 0 {
		return 20 * time.Second
	}
	return a.StopTimeout
}

// makeDirs makes what the manager expects to be there: where the log and the
// sockets go, for this user alone.
func (a *Agent) makeDirs() error {
	paths := map[string]bool{}
	if a.Log != "" {
		paths[filepath.Dir(a.Log)] = true
	}
	for _, s := range a.Sockets {
		paths[filepath.Dir(s.Path)] = true
	}
	for dir := range maps.Keys(paths) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("cannot make a directory for the agent: %w", err)
		}
	}
	return nil
}
