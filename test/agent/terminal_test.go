package agent_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// A terminal is a window of tmux with a shell in it, in which a person types.
type terminal struct {
	t      *testing.T
	socket string
	typed  int
}

// openTerminal makes one of 100 columns and 30 lines, whose shell finds arcbox and u's home.
func openTerminal(t *testing.T, u *user) *terminal {
	t.Helper()
	dir, err := os.MkdirTemp("", "tmux")
	if err != nil {
		t.Fatal(err)
	}
	w := &terminal{t: t, socket: filepath.Join(dir, "s")}
	env := []string{
		"env", "PS1=$ ", "HISTFILE=", "NO_COLOR=", home.Env + "=" + u.home.Root(), "PATH=" + filepath.Dir(kit.Program("arcbox")) + ":" + os.Getenv("PATH"),
		"bash", "--norc", "--noprofile",
	}
	w.tmux(append([]string{"-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30"}, env...)...)
	t.Cleanup(func() {
		w.tmux("kill-server")
		os.RemoveAll(dir)
	})
	return w
}

func (w *terminal) tmux(args ...string) string {
	w.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", w.socket}, args...)...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("tmux %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// screen is what the person sees.
func (w *terminal) screen() string { return w.tmux("capture-pane", "-p", "-J") }

// types types a line, as it is, and Enter.
func (w *terminal) types(line string) {
	w.t.Helper()
	w.tmux("send-keys", "-l", line)
	w.tmux("send-keys", "Enter")
}

// key presses a key of tmux's name.
func (w *terminal) key(name string) { w.tmux("send-keys", name) }

// sees waits until the screen shows what the expression matches.
func (w *terminal) sees(expr string) {
	w.t.Helper()
	re := regexp.MustCompile("(?m)" + expr)
	for deadline := time.Now().Add(patience / 4); ; time.Sleep(20 * time.Millisecond) {
		s := w.screen()
		if re.MatchString(s) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("no %q comes:\n%s", expr, s)
		}
	}
}

// runs types a command on an empty screen, waits for its end and gives what it showed; its status must be the one wanted.
func (w *terminal) runs(line string, status int) string {
	w.t.Helper()
	w.typed++
	w.tmux("send-keys", "C-l")
	w.types(fmt.Sprintf("%s; echo end %d: $?", line, w.typed))
	w.sees(fmt.Sprintf("end %d: [0-9]+$", w.typed))
	s := w.screen()
	if !strings.Contains(s, fmt.Sprintf("end %d: %d\n", w.typed, status)) {
		w.t.Errorf("%s does not end with %d:\n%s", line, status, s)
	}
	return s
}

// shows checks that each of the expressions matches a line of a screen, in this order.
func (w *terminal) shows(screen string, exprs ...string) {
	w.t.Helper()
	rest := screen
	for _, e := range exprs {
		at := regexp.MustCompile("(?m)" + e).FindStringIndex(rest)
		if at == nil {
			w.t.Errorf("no %q, or not there:\n%s", e, screen)
			return
		}
		rest = rest[at[1]:]
	}
}

// TestInATerminal is a new user's first hour, as it looks.
func TestInATerminal(t *testing.T) {
	u := newUser(t)
	w := openTerminal(t, u)
	w.shows(w.runs("arcbox start", 0), `^ +0\.\d s  default starting$`, `^ +\d+\.\d s  default started$`, `^default is ready after \d+\.\d s$`)
	w.shows(w.runs("arcbox status", 0), `^agent: ready \(process \d+`, `^NAME +STATE +FOR +CPUS +MEMORY`, `^default +running +\d+s +1 +256MiB`)
	w.shows(w.runs("arcbox exec -- uname -m", 0), `^aarch64$`)
	w.runs("arcbox exec -- sh -c 'exit 3'", 3)
	t.Run("a shell that changes its size", func(t *testing.T) { w.of(t).shell() })
	t.Run("a copy there and back", func(t *testing.T) {
		w := w.of(t)
		dir := t.TempDir()
		w.runs(fmt.Sprintf("head -c 3000000 /dev/urandom >%s/there && arcbox cp %[1]s/there default:/tmp/file && arcbox cp default:/tmp/file %[1]s/back && cmp %[1]s/there %[1]s/back", dir), 0)
		w.shows(w.runs("arcbox cp "+dir+"/nothing default:/tmp/", 1), `^arcbox: cannot .*nothing`)
	})
	t.Run("logs that go on until Ctrl-C", func(t *testing.T) {
		w := w.of(t)
		w.key("C-l")
		w.types("arcbox logs -f")
		w.sees(`arcbox-guest: ready at`)
		u.run("exec", "--", "sh", "-c", "echo something new >/dev/console")
		w.sees(`^something new$`)
		u.run("agent", "restart")
		w.sees(`^arcbox: the agent has ended; waiting for the next one$`)
		eventually(t, "the log of the next agent", func() bool {
			u.run("exec", "--", "sh", "-c", "echo and again >/dev/console")
			return strings.Contains(w.screen(), "\nand again\n")
		})
		w.key("C-c")
		w.runs("true", 0)
	})
	t.Run("completion", func(t *testing.T) { w.of(t).completes() })
	t.Run("doctor", func(t *testing.T) {
		w.of(t).shows(w.runs("arcbox doctor", 0), `^(ok|warning) +programs`, `^ok +home`, `^ok +agent`, `^ok +machines +1, none has failed`, `^ok +clock`)
	})
	t.Run("a guest's wrong clock", func(t *testing.T) { w.of(t).wrongClock(u) })
	t.Run("settings with a mistake", func(t *testing.T) { w.of(t).mistakes(u) })
	t.Run("events of a restart and a stop", func(t *testing.T) {
		other := openTerminal(t, u)
		other.types("arcbox events --after 1")
		other.sees(`agent +ready$`) // it follows
		w.of(t).runs("arcbox agent restart", 0)
		other.sees(`^arcbox: the agent has ended; waiting for the next one$`)
		other.sees(`waiting for the next one\n(.*\n)*.*agent +ready$`)
		w.of(t).shows(w.runs("arcbox stop", 0), `^default is stopped$`)
		other.sees(`default +stopping$`)
		other.sees(`default +stopped$`)
		other.key("C-c")
		other.runs("true", 0)
	})
	t.Run("another user", func(t *testing.T) { w.of(t).anotherUser(u) })
}

// of is the same terminal, for a subtest.
func (w *terminal) of(t *testing.T) *terminal {
	w.t = t
	return w
}

func (w *terminal) shell() {
	w.key("C-l")
	w.types("arcbox shell")
	w.sees(`^arcbox:~# $|^arcbox:~#$`)
	w.types("stty size")
	w.sees(`^30 100$`)
	w.tmux("resize-window", "-x", "120", "-y", "40")
	defer w.tmux("resize-window", "-x", "100", "-y", "30")
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		w.types("stty size")
		if strings.Contains(w.screen(), "\n40 120\n") {
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the guest never hears of the new size:\n%s", w.screen())
		}
	}
	w.types("sleep 1000")
	for deadline := time.Now().Add(patience); !strings.Contains(w.screen(), "\nstill 42\n"); {
		time.Sleep(time.Second) // a Ctrl-C that comes before the program ends nothing
		w.key("C-c")            // ends the program in the guest, and not the shell
		w.types("echo still $((40+2))")
		if time.Now().After(deadline) {
			w.t.Fatalf("the guest's program goes on:\n%s", w.screen())
		}
	}
	w.types("exit 5")
	w.sees(`exit 5\n\$`)
	w.runs("true", 0)
}

// shells are those that complete, how one begins without its user's files, and what loads our completion.
var shells = []struct{ begin, load string }{
	{"bash --norc --noprofile", "source /usr/share/bash-completion/bash_completion; source <(arcbox completion bash)"},
	{"zsh -f", "PS1='$ '; autoload -U compinit; compinit -u -D; source <(arcbox completion zsh)"},
	{"fish --no-config --private", "arcbox completion fish | source"},
}

// completes presses Tab behind a part of a machine's name, in each shell.
func (w *terminal) completes() {
	for _, s := range shells {
		w.key("C-l")
		w.types(s.begin)
		w.types(s.load)
		w.types("echo it is loaded | tr a-z A-Z")
		w.sees("^IT IS LOADED$")
		w.key("C-l")
		w.tmux("send-keys", "-l", "arcbox inspect def")
		w.key("Tab")
		w.sees(`arcbox inspect default`)
		w.key("C-c")
		w.types("exit")
	}
	w.runs("true", 0)
}

// wrongClock turns the guest's clock back: the doctor sees it and mends it.
func (w *terminal) wrongClock(u *user) {
	for try := range 5 { // the agent sets the clock once a minute, which may be in between
		u.run("exec", "--", "sh", "-c", "date -s @$(($(date +%s)-1000))")
		s := w.runs("arcbox doctor --fix", 0)
		if strings.Contains(s, "\nmended  clock ") {
			break
		}
		if try == 4 {
			w.t.Fatalf("the doctor does not see that the guest's clock is wrong:\n%s", s)
		}
	}
	w.shows(w.runs("arcbox doctor", 0), `^ok +clock`)
}

// mistakes breaks the settings, and mends them.
func (w *terminal) mistakes(u *user) {
	path := filepath.Join(u.home.Root(), "config.toml")
	good, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	u.set("[machine]\ncpus = \"many\"\n")
	w.shows(w.runs("arcbox config validate", 1), `^error: .*config\.toml:2: cannot use cpus = "many": it must be a number`)
	w.shows(w.runs("arcbox doctor", 1), `^BROKEN +settings`, `config\.toml:2`)
	u.set(string(good))
	w.runs("arcbox config validate", 0)
}

// anotherUser is told whose home it is, before the agent reads a byte.
func (w *terminal) anotherUser(u *user) {
	if os.Getuid() != 0 {
		w.t.Skip("only root can be another user")
	}
	dir, err := os.MkdirTemp("/tmp", "other") // where another user can get at the program
	if err != nil {
		w.t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program, err := os.ReadFile(kit.Program("arcbox"))
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "arcbox"), program, 0o755)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	home := filepath.Join(dir, "home")
	if err := os.MkdirAll(filepath.Join(home, "run"), 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.shows(w.runs(fmt.Sprintf("su nobody -s /bin/sh -c 'ARCBOX_HOME=%s %s/arcbox status'", home, dir), 1), `^arcbox: cannot use .*run: it belongs to another user; set ARCBOX_HOME to a directory of your own`)
}
