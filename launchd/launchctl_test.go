package launchd

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func status(t *testing.T, m Manager) Status {
	t.Helper()
	s, err := m.Status(t.Context())
	if err != nil {
		t.Fatalf("status: %v", err)
	}
	return s
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

const file = "Library/LaunchAgents/com.example.agent.plist"

func TestInstallStartStopUninstall(t *testing.T) {
	m := newMac(t, nil)
	if s := status(t, m); s.State != Absent || s.Installed {
		t.Errorf("before: %+v", s)
	}
	must(t, "install", m.Install(t.Context(), m.agent()))
	m.wantCalls("enable", "bootstrap")
	s := status(t, m)
	if s.State != Running || !s.Installed || !s.Enabled || s.PID != 4001 || s.Runs != 1 || s.Program != filepath.Join(m.home, "agent") || s.Problem != "" {
		t.Errorf("installed: %+v", s)
	}

	must(t, "install again", m.Install(t.Context(), m.agent()))
	must(t, "start a running one", m.Start(t.Context()))
	m.wantCalls("enable")

	must(t, "stop", m.Stop(t.Context()))
	must(t, "stop a stopped one", m.Stop(t.Context()))
	m.wantCalls("bootout")
	if s := status(t, m); s.State != Stopped || !s.Installed {
		t.Errorf("stopped: %+v", s)
	}
	must(t, "start", m.Start(t.Context()))
	m.wantCalls("enable", "bootstrap")

	must(t, "uninstall", m.Uninstall(t.Context()))
	must(t, "uninstall again", m.Uninstall(t.Context()))
	m.wantCalls("bootout")
	if files := m.files(); len(files) > 0 {
		t.Errorf("left after uninstall: %q", files)
	}
	if s := status(t, m); s.State != Absent {
		t.Errorf("after: %+v", s)
	}
	if err := m.Start(t.Context()); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("start after uninstall: %v", err)
	}
}

func TestAnotherDefinitionReplacesALoadedJobThatIsSlowToEnd(t *testing.T) {
	m := newMac(t, nil)
	a := m.agent()
	must(t, "install", m.Install(t.Context(), a))
	m.calls()
	m.set(func(w *world) {
		w.Linger = 4
		w.Faults = []fault{{Verb: "bootstrap", Times: 2, Code: codeIO, Text: "Bootstrap failed: 5: Input/output error"}}
	})
	a.Args = []string{"run", "--new"}
	must(t, "install", m.Install(t.Context(), a))
	m.wantCalls("bootout", "enable", "bootstrap", "bootstrap", "bootstrap")
	if s := status(t, m); s.State != Running {
		t.Errorf("%+v", s)
	}
}

func TestAJobThatIsLoadedWithoutItsFileIsRegisteredAgain(t *testing.T) {
	m := newMac(t, nil)
	must(t, "install", m.Install(t.Context(), m.agent()))
	must(t, "remove", os.Remove(filepath.Join(m.home, file)))
	m.calls()
	must(t, "install", m.Install(t.Context(), m.agent()))
	m.wantCalls("bootout", "enable", "bootstrap")
}

func TestBootstrapThatLiesIsNotBelieved(t *testing.T) {
	m := newMac(t, func(w *world) {
		w.Faults = []fault{{Verb: "bootstrap", Times: 1, Code: codeIO, Text: "Bootstrap failed: 5: Input/output error", Anyway: true}}
	})
	must(t, "install", m.Install(t.Context(), m.agent()))
	m.wantCalls("enable", "bootstrap")
}

func TestAChangedSignatureIsRegisteredAgain(t *testing.T) {
	m := newMac(t, nil)
	must(t, "install", m.Install(t.Context(), m.agent()))
	m.set(func(w *world) {
		w.Signature = "another"
		w.spawn(w.Jobs[m.label()]) // the running one was ended by an update
	})
	s := status(t, m)
	if s.State != Failed || s.Exit != "78: EX_CONFIG" || !strings.Contains(s.Problem, "signature") {
		t.Errorf("%+v", s)
	}
	m.calls()
	must(t, "start", m.Start(t.Context()))
	m.wantCalls("bootout", "enable", "bootstrap")

	// It may show at the start only.
	m.set(func(w *world) {
		j := w.Jobs[m.label()]
		j.State, j.Exit = "not running", "0"
		w.Signature = "a third"
	})
	must(t, "start", m.Start(t.Context()))
	if s := status(t, m); s.State != Running || s.Problem != "" {
		t.Errorf("%+v", s)
	}
}

func TestWhatLaunchdWillNeverRunIsToldAndNotTriedForEver(t *testing.T) {
	m := newMac(t, func(w *world) { w.Broken = true })
	err := m.Install(t.Context(), m.agent())
	if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "78: EX_CONFIG") || !strings.Contains(err.Error(), "codesign") {
		t.Errorf("install: %v", err)
	}
	m.wantCalls("enable", "bootstrap", "bootout", "enable", "bootstrap")
	if s := status(t, m); s.State != Failed || !s.Installed || s.Problem == "" {
		t.Errorf("%+v", s)
	}
	must(t, "remove", os.Remove(filepath.Join(m.home, "agent")))
	if s := status(t, m); !strings.Contains(s.Problem, "cannot be found") {
		t.Errorf("without its program: %+v", s)
	}
}

func TestAnAgentThatEndsAtOnceIsToldAbout(t *testing.T) {
	for _, code := range []int{0, 1} {
		m := newMac(t, func(w *world) { w.Ends = &code })
		err := m.Install(t.Context(), m.agent())
		if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "agent.log") {
			t.Errorf("status %d: %v", code, err)
		}
		// The next start is another run: the end of the last one says nothing about it.
		m.set(func(w *world) { w.Ends = nil })
		must(t, "start", m.Start(t.Context()))
	}
}

func TestWithoutAGUISessionNothingChanges(t *testing.T) {
	for _, code := range []int{codeNoDomain, codeBadDomain} {
		m := newMac(t, func(w *world) { w.Session = code })
		ops := map[string]error{
			"install": m.Install(t.Context(), m.agent()), "start": m.Start(t.Context()), "stop": m.Stop(t.Context()),
		}
		_, ops["status"] = m.Status(t.Context())
		for op, err := range ops {
			if !errors.Is(err, ErrNoSession) || !strings.Contains(err.Error(), "log in") {
				t.Errorf("%d: %s: %v", code, op, err)
			}
		}
		m.wantCalls()
		if files := m.files(); len(files) > 0 {
			t.Errorf("%d: wrote %q", code, files)
		}
	}
}

func TestUninstallWithoutASessionRemovesTheFiles(t *testing.T) {
	m := newMac(t, nil)
	must(t, "install", m.Install(t.Context(), m.agent()))
	m.set(func(w *world) { w.Session = codeNoDomain; w.Jobs = map[string]*fakeJob{} })
	must(t, "uninstall", m.Uninstall(t.Context()))
	if files := m.files(); len(files) > 0 {
		t.Errorf("left: %q", files)
	}
}

func TestADisabledAgentIsSeenAndEnabled(t *testing.T) {
	m := newMac(t, nil)
	must(t, "install", m.Install(t.Context(), m.agent()))
	must(t, "stop", m.Stop(t.Context()))
	m.set(func(w *world) { w.Disabled[m.label()] = true })
	if s := status(t, m); s.Enabled || !strings.Contains(s.Problem, "launchctl enable gui/501/com.example.agent") {
		t.Errorf("%+v", s)
	}
	must(t, "install", m.Install(t.Context(), m.agent()))
	if s := status(t, m); !s.Enabled || s.State != Running {
		t.Errorf("%+v", s)
	}
	m.set(func(w *world) { w.Disabled[m.label()] = true })
	must(t, "install a running one", m.Install(t.Context(), m.agent()))
	if s := status(t, m); !s.Enabled || s.State != Running {
		t.Errorf("%+v", s)
	}
	// Something disables it again at once, such as a profile.
	must(t, "stop", m.Stop(t.Context()))
	m.set(func(w *world) {
		w.Faults = []fault{{Verb: "bootstrap", Times: -1, Code: codeDisabled, Text: "Bootstrap failed: 119: Service is disabled"}}
	})
	if err := m.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "disabled") {
		t.Errorf("start: %v", err)
	}
}

func TestARegistrationOfAnotherProgramIsLeftAlone(t *testing.T) {
	foreign := &fakeJob{Path: "(submitted by smd.340)", ManagedBy: "com.apple.xpc.ServiceManagement", State: "running", Runs: 1, PID: 7}
	m := newMac(t, func(w *world) { w.Jobs["com.example.agent"] = foreign })
	for op, err := range map[string]error{
		"install": m.Install(t.Context(), m.agent()), "start": m.Start(t.Context()),
		"stop": m.Stop(t.Context()), "uninstall": m.Uninstall(t.Context()),
	} {
		if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "ServiceManagement") {
			t.Errorf("%s: %v", op, err)
		}
	}
	m.wantCalls()
	if files := m.files(); len(files) > 0 {
		t.Errorf("wrote %q", files)
	}
	if s := status(t, m); s.State != Running || s.Problem == "" || s.Installed {
		t.Errorf("%+v", s)
	}
}

func TestARefusedDefinitionGivesWayToTheFormerOne(t *testing.T) {
	m := newMac(t, nil)
	a := m.agent()
	must(t, "install", m.Install(t.Context(), a))
	before, err := os.ReadFile(filepath.Join(m.home, file))
	must(t, "read", err)
	m.set(func(w *world) {
		w.Faults = []fault{{Verb: "bootstrap", Times: 1, Code: codeBadDomain, Text: "Bootstrap failed: 125: Domain does not support specified action"}}
	})
	a.Args = nil
	if err := m.Install(t.Context(), a); err == nil || !strings.Contains(err.Error(), "Allow in the Background") {
		t.Errorf("install: %v", err)
	}
	after, err := os.ReadFile(filepath.Join(m.home, file))
	must(t, "read", err)
	if string(after) != string(before) {
		t.Errorf("the definition is now %s", after)
	}
	if s := status(t, m); s.State == Absent || s.State == Stopped {
		t.Errorf("%+v", s)
	}

	fresh := newMac(t, func(w *world) { w.Background = true })
	if err := fresh.Install(t.Context(), fresh.agent()); err == nil {
		t.Error("installed where background items are forbidden")
	}
	if files := fresh.files(); len(files) > 0 {
		t.Errorf("left %q", files)
	}
}

func TestUninstallRemovesWhatWasMadeAndNothingElse(t *testing.T) {
	m := newMac(t, nil, "com.example.old")
	a := m.agent()
	old := newLaunchctl(m.path, m.home, 501, []string{"com.example.old"})
	former := a
	former.Log = filepath.Join(m.home, "old.log")
	former.Sockets, former.MachServices = nil, nil
	must(t, "install the old one", old.Install(t.Context(), former))
	for _, path := range []string{a.Log, former.Log, filepath.Join(m.home, "Library/LaunchAgents/com.example.other.plist")} {
		must(t, "dir", os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, "write", os.WriteFile(path, nil, 0o600))
	}
	must(t, "install", m.Install(t.Context(), a))
	m.set(func(w *world) {
		if w.Jobs["com.example.old"] != nil {
			t.Error("the old label is still loaded")
		}
	})
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: a.Sockets[0].Path})
	must(t, "listen", err)
	l.SetUnlinkOnClose(false)
	l.Close()

	must(t, "uninstall", m.Uninstall(t.Context()))
	if files := m.files(); !slices.Equal(files, []string{"Library/LaunchAgents/com.example.other.plist"}) {
		t.Errorf("left: %q", files)
	}

	// What is no socket was not made by launchd.
	must(t, "install", m.Install(t.Context(), a))
	must(t, "write", os.WriteFile(a.Sockets[0].Path, []byte("mine"), 0o600))
	must(t, "uninstall", m.Uninstall(t.Context()))
	if _, err := os.Stat(a.Sockets[0].Path); err != nil {
		t.Error(err)
	}
}

func TestAPlistThatCannotBeReadIsReplacedAndRemoved(t *testing.T) {
	m := newMac(t, nil)
	path := filepath.Join(m.home, file)
	must(t, "dir", os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, "write", os.WriteFile(path, []byte("<plist><dict><key>Label"), 0o644))
	if s := status(t, m); !s.Installed || !strings.Contains(s.Problem, "cannot read") {
		t.Errorf("%+v", s)
	}
	must(t, "uninstall", m.Uninstall(t.Context()))
	must(t, "write", os.WriteFile(path, []byte("bplist00garbage"), 0o644))
	must(t, "install", m.Install(t.Context(), m.agent()))
	if s := status(t, m); s.State != Running || s.Problem != "" {
		t.Errorf("%+v", s)
	}
}

// Each call of launchctl fails once, in turn. Whatever that leaves, the same
// request again makes good.
func TestEveryFailureOfLaunchctlIsMadeGoodByTryingAgain(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		m := newMac(t, func(w *world) { w.FailAt = n; w.Linger = 1 })
		a := m.agent()
		changed := a
		changed.Args = []string{"other"}
		ops := []struct {
			name string
			do   func() error
			want State
		}{
			{"install", func() error { return m.Install(t.Context(), a) }, Running},
			{"install another", func() error { return m.Install(t.Context(), changed) }, Running},
			{"stop", func() error { return m.Stop(t.Context()) }, Stopped},
			{"start", func() error { return m.Start(t.Context()) }, Running},
			{"uninstall", func() error { return m.Uninstall(t.Context()) }, Absent},
		}
		for _, op := range ops {
			before := m.asked()
			err := op.do()
			if met := before < n && m.asked() >= n; !met {
				must(t, op.name, err)
				continue
			}
			if err != nil { // else it did without that call's answer
				must(t, "again: "+op.name, op.do())
			}
			if s := status(t, m); s.State != op.want {
				t.Errorf("call %d failed: after %s: %+v", n, op.name, s)
			}
		}
		if files := m.files(); len(files) > 0 {
			t.Errorf("call %d failed: left %q", n, files)
		}
		if m.asked() < n {
			return // nothing was left to fail
		}
	}
}

func TestALaunchctlThatHangsOrIsMissing(t *testing.T) {
	m := newMac(t, nil)
	m.path = filepath.Join(m.home, "launchctl")
	if _, err := m.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot run") {
		t.Errorf("missing: %v", err)
	}
	must(t, "write", os.WriteFile(m.path, []byte("#!/bin/sh\nsleep 5 & wait\n"), 0o755))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := m.Install(ctx, m.agent()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hanging: %v", err)
	}
}

func TestAgentsThatCannotBe(t *testing.T) {
	m := newMac(t, nil)
	tests := []struct {
		name   string
		change func(*Agent)
	}{
		{"relative program", func(a *Agent) { a.Program = "agent" }},
		{"no program", func(a *Agent) { a.Program = "/nowhere/agent" }},
		{"program is a directory", func(a *Agent) { a.Program = "/" }},
		{"program is not executable", func(a *Agent) { a.Program = "/etc/passwd" }},
		{"newline in an argument", func(a *Agent) { a.Args = []string{"a\nExecStart=/bin/sh"} }},
		{"NUL in a variable", func(a *Agent) { a.Env = map[string]string{"A": "b\x00"} }},
		{"bad UTF-8", func(a *Agent) { a.Args = []string{"\xff"} }},
		{"variable without a name", func(a *Agent) { a.Env = map[string]string{"": "b"} }},
		{"variable with = in its name", func(a *Agent) { a.Env = map[string]string{"a=b": "b"} }},
		{"socket called ..", func(a *Agent) { a.Sockets[0].Name = ".." }},
		{"two sockets of one name", func(a *Agent) { a.Sockets = append(a.Sockets, a.Sockets[0]) }},
		{"socket's path too long", func(a *Agent) { a.Sockets[0].Path = "/" + strings.Repeat("a", 103) }},
		{"relative socket", func(a *Agent) { a.Sockets[0].Path = "api.sock" }},
		{"relative log", func(a *Agent) { a.Log = "agent.log" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := m.agent()
			tt.change(&a)
			if err := m.Install(t.Context(), a); err == nil {
				t.Error("installed")
			}
		})
	}
	m.wantCalls()
	for _, label := range []string{"", "a b", "../x", "-x", "a_b", strings.Repeat("a", 101)} {
		if _, err := New(label); err == nil {
			t.Errorf("%q is a label", label)
		}
	}
}
