package launchd

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// asVar makes the test binary an agent instead, for systemd to run.
const asVar = "LAUNCHD_TEST_AS"

func TestMain(m *testing.M) {
	switch os.Getenv(asVar) {
	case "agent":
		os.Exit(testAgent())
	case "child":
		os.Exit(testChild())
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		atEnd()
		os.Exit(status)
	}))
}

// atEnd is for the stand-in.
var atEnd = func() {}

// fakeLaunchctl is the executable that stands in for launchctl: it writes its arguments
// to one pipe, waits at another, and does what it finds in a file. A shell starts fast,
// and the tests call it a thousand times.
const fakeLaunchctl = `#!/bin/sh
printf '%s\n' "$@" "" >"$0.ask"
read -r _ <"$0.go"
. "$0.answer"
`

// A world is a Mac as far as launchctl tells of it.
type world struct {
	Session    int             // what asking for the session's domain exits with
	Background bool            // the owner has forbidden background items
	Disabled   map[string]bool //
	Jobs       map[string]*fakeJob
	Signature  string   // of every program, as it is now
	Broken     bool     // launchd cannot run any program
	Ends       *int     // the program ends at once, with this
	Linger     int      // for how many questions a job outlives its bootout
	Faults     []fault  // calls that go wrong
	Calls      []string // all calls but questions
	N          int      // all calls
	FailAt     int      // the call that fails, whatever it is

	out, err strings.Builder // of the call that is answered
}

type fault struct {
	Verb   string
	Times  int
	Code   int
	Text   string
	Anyway bool // it says that it failed, but has done it
}

type fakeJob struct {
	Path, ManagedBy, Program   string
	Runs, PID                  int
	State, JobState            string
	Exit, Signal, Requirement  string
	Leaving, Starting, Sockets int
}

// fail says what launchctl says and returns what it exits with.
func (w *world) fail(code int, format string, args ...any) int {
	fmt.Fprintf(&w.err, format+"\n", args...)
	return code
}

// answer speaks as the real one does (macOS 13 to 26), failures included.
func (w *world) answer(args []string) int {
	w.out.Reset()
	w.err.Reset()
	w.N++
	if args[0] != "print" && args[0] != "print-disabled" {
		w.Calls = append(w.Calls, args[0])
	}
	if w.N == w.FailAt {
		return w.fail(codeIO, "Operation failed: 5: Input/output error")
	}
	for i := range w.Faults {
		f := &w.Faults[i]
		if f.Verb != args[0] || f.Times == 0 {
			continue
		}
		f.Times--
		if f.Anyway {
			w.do(args)
		}
		return w.fail(f.Code, "%s", f.Text)
	}
	return w.do(args)
}

func (w *world) do(args []string) int {
	uid, label, _ := strings.Cut(strings.TrimPrefix(args[1], "gui/"), "/")
	if w.Session != 0 {
		if w.Session == codeBadDomain {
			return w.fail(codeBadDomain, "Domain does not support specified action")
		}
		return w.fail(w.Session, "Could not find domain for user gui: %s", uid)
	}
	switch args[0] {
	case "print":
		return w.print(uid, label)
	case "print-disabled":
		w.out.WriteString("\n\tdisabled services = {\n\t\t\"com.apple.Siri.agent\" => disabled\n")
		for l, d := range w.Disabled {
			fmt.Fprintf(&w.out, "\t\t%q => %s\n", l, map[bool]string{true: "disabled", false: "enabled"}[d])
		}
		w.out.WriteString("\t}\n")
		return 0
	case "enable":
		w.Disabled[label] = false
		return 0
	case "bootstrap":
		return w.bootstrap(args[2])
	case "bootout":
		j := w.Jobs[label]
		if j == nil {
			return w.fail(codeNoProcess, "Boot-out failed: 3: No such process")
		}
		if j.Leaving = w.Linger; j.Leaving == 0 {
			delete(w.Jobs, label)
			return 0
		}
		return w.fail(codeInProgress, "Boot-out failed: 36: Operation now in progress")
	case "kickstart":
		j := w.Jobs[label]
		if j == nil {
			return w.fail(codeNoService, "Could not find service %q in domain for user gui: %s", label, uid)
		}
		if j.State != "running" {
			w.spawn(j)
		}
		return 0
	}
	return w.fail(64, "Unrecognized subcommand: %s", args[0])
}

func (w *world) bootstrap(path string) int {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o022 != 0 {
		return w.fail(codeIO, "Bootstrap failed: 5: Input/output error\nTry re-running the command as root for richer errors.")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	def, err := parseJob(data)
	switch {
	case w.Background:
		return w.fail(codeBadDomain, "Bootstrap failed: 125: Domain does not support specified action")
	case err != nil || def.Label+".plist" != filepath.Base(path) || len(def.ProgramArguments) == 0, w.Jobs[def.Label] != nil:
		return w.fail(codeIO, "Bootstrap failed: 5: Input/output error\nTry re-running the command as root for richer errors.")
	case w.Disabled[def.Label]:
		return w.fail(codeDisabled, "Bootstrap failed: 119: Service is disabled")
	}
	j := &fakeJob{Path: path, Program: def.ProgramArguments[0], Requirement: w.Signature, Sockets: len(def.Sockets), State: "not running"}
	w.Jobs[def.Label] = j
	if def.RunAtLoad {
		w.spawn(j)
	}
	return 0
}

func (w *world) spawn(j *fakeJob) {
	j.Runs++
	j.Exit, j.Signal, j.JobState = "", "", ""
	switch {
	case w.Broken || j.Requirement != w.Signature || executable(j.Program) != nil:
		j.State, j.JobState, j.Exit = "spawn scheduled", "spawn failed", "78: EX_CONFIG"
	case w.Ends != nil:
		j.State, j.JobState, j.Exit = "not running", "exited", fmt.Sprint(*w.Ends)
	default:
		j.State, j.PID, j.Starting = "xpcproxy", 4000+j.Runs, 2
	}
}

func (w *world) print(uid, label string) int {
	j := w.Jobs[label]
	if j != nil && j.Leaving > 0 {
		j.State = "SIGTERMed"
		if j.Leaving--; j.Leaving == 0 {
			delete(w.Jobs, label)
			j = nil
		}
	}
	if j == nil {
		return w.fail(codeNoService, "Bad request.\nCould not find service %q in domain for user gui: %s", label, uid)
	}
	if j.State == "xpcproxy" {
		if j.Starting--; j.Starting == 0 {
			j.State = "running"
		}
	}
	w.out.WriteString(j.text("gui/"+uid+"/"+label, w.Signature))
	return 0
}

// text is what `launchctl print` says of a job, with the keys of the nested
// blocks that a careless reader would take for the job's.
func (j *fakeJob) text(target, signature string) string {
	var b strings.Builder
	line := func(key, val string) {
		if val != "" {
			fmt.Fprintf(&b, "\t%s = %s\n", key, val)
		}
	}
	fmt.Fprintf(&b, "%s = {\n\tactive count = 1\n", target)
	line("path", j.Path)
	line("type", "LaunchAgent")
	line("managed_by", j.ManagedBy)
	line("state", j.State)
	line("program", j.Program)
	b.WriteString("\targuments = {\n\t\t" + j.Program + "\n\t\tstate = running\n\t}\n\n")
	b.WriteString("\tenvironment = {\n\t\tXPC_SERVICE_NAME => com.example.agent\n\t}\n\n")
	line("domain", "gui/501 [100026]")
	line("runs", fmt.Sprint(j.Runs))
	if j.PID > 0 && (j.State == "running" || j.State == "xpcproxy") {
		line("pid", fmt.Sprint(j.PID))
	}
	exit := j.Exit
	if exit == "" {
		exit = "(never exited)"
	}
	line("last exit code", exit)
	line("last terminating signal", j.Signal)
	b.WriteString("\tendpoints = {\n\t\t\"com.example.agent\" = {\n\t\t\tport = 0x0\n\t\t\tstate = active\n\t\t\tpid = 1\n\t\t}\n\t}\n")
	b.WriteString("\tsockets = {\n\t\t\"api\" = {\n\t\t\ttype = stream\n\t\t\tpath = /tmp/api.sock\n\t\t}\n\t}\n")
	line("spawn type", "interactive (4)")
	line("job state", j.JobState)
	props := []string{"keepalive", "runatload", "inferred program"}
	if j.Requirement != signature {
		props = append(props, "needs LWCR update", "managed LWCR")
	}
	line("properties", strings.Join(props, " | "))
	b.WriteString("}\n")
	return b.String()
}

// A mac is a Manager with a world of its own.
type mac struct {
	*launchctl
	t    *testing.T
	home string

	mu sync.Mutex // guards w
	w  world
}

func newMac(t *testing.T, set func(*world), former ...string) *mac {
	t.Helper()
	m := &mac{t: t, home: t.TempDir(), w: world{Disabled: map[string]bool{}, Jobs: map[string]*fakeJob{}}}
	if set != nil {
		set(&m.w)
	}
	path := filepath.Join(t.TempDir(), "launchctl")
	must(t, "write", os.WriteFile(path, []byte(fakeLaunchctl), 0o755))
	ask, goOn := fifo(t, path+".ask"), fifo(t, path+".go")
	served := make(chan struct{})
	go func() { defer close(served); m.serve(path, ask, goOn) }()
	t.Cleanup(func() { ask.Close(); <-served; goOn.Close() })
	m.launchctl = newLaunchctl(path, m.home, 501, append([]string{"com.example.agent"}, former...))
	return m
}

// fifo makes a named pipe with both ends open, so that neither side waits to open it.
func fifo(t *testing.T, path string) *os.File {
	t.Helper()
	must(t, "pipe", syscall.Mkfifo(path, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	must(t, "pipe", err)
	return f
}

// serve answers one call after another, as launchd does.
func (m *mac) serve(path string, ask, goOn *os.File) {
	var args []string
	for lines := bufio.NewScanner(ask); lines.Scan(); {
		if word := lines.Text(); word != "" {
			args = append(args, word)
			continue
		}
		m.set(func(w *world) {
			code := w.answer(args)
			script := fmt.Sprintf("printf %%s %s\nprintf %%s %s >&2\nexit %d\n", shell(w.out.String()), shell(w.err.String()), code)
			if err := os.WriteFile(path+".answer", []byte(script), 0o600); err != nil {
				panic(err)
			}
		})
		fmt.Fprintln(goOn)
		args = nil
	}
}

func shell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func (m *mac) set(f func(*world)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.w)
}

// asked is how many calls there were.
func (m *mac) asked() (n int) {
	m.set(func(w *world) { n = w.N })
	return n
}

// wantCalls checks the verbs of all calls but questions since the last time.
func (m *mac) wantCalls(verbs ...string) {
	m.t.Helper()
	if got := m.calls(); !slices.Equal(got, verbs) {
		m.t.Errorf("launchctl was called for %q, want %q", got, verbs)
	}
}

func (m *mac) calls() (verbs []string) {
	m.set(func(w *world) { verbs, w.Calls = w.Calls, nil })
	return verbs
}

// agent is one whose program exists; everything it asks for is in the home.
func (m *mac) agent() Agent {
	program := filepath.Join(m.home, "agent")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		m.t.Fatal(err)
	}
	return Agent{
		Program: program, Args: []string{"run", "--a & b"}, Env: map[string]string{"AGENT_HOME": m.home},
		Sockets:      []Socket{{Name: "api", Path: filepath.Join(m.home, ".agent/run/api.sock")}},
		MachServices: []string{"com.example.agent"}, Log: filepath.Join(m.home, ".agent/log/agent.log"),
		OpenFiles: 10240, Bundle: "com.example.app",
	}
}

// files lists what is in the home, but for the program and directories.
func (m *mac) files() (all []string) {
	m.t.Helper()
	err := filepath.WalkDir(m.home, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "agent" {
			all = append(all, strings.TrimPrefix(path, m.home+"/"))
		}
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return all
}
