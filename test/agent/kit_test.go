// Package agent_test uses ArcBox as a person does: the programs as they are shipped, a home of its own, a real Linux.
package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(fetchVar); url != "" {
		fetch(url)
	}
	status := kit.Main(m, "", "arcboxd")
	if status == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}

// fetchVar has the test binary fetch a page and print it.
const fetchVar = "ARCBOX_TEST_FETCH"

func fetch(url string) {
	client := &http.Client{Timeout: 20 * time.Second}
	resp, err := client.Get(url)
	if err == nil {
		_, err = io.Copy(os.Stdout, resp.Body)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// patience is how long anything may take that a test waits for.
var patience = time.Duration(kit.Rounds(4, 30)) * time.Minute

// A user is somebody with an empty home.
type user struct {
	t    *testing.T
	home home.Home
}

// newUser makes one, whose machines are small and end with the test.
func newUser(t *testing.T) *user {
	t.Helper()
	if len(kit.Flavours(t)) == 0 {
		t.Fatal("there are no boot assets; run make assets")
	}
	t.Setenv(home.Env, filepath.Join(t.TempDir(), "home"))
	h, err := home.Find()
	if err != nil {
		t.Fatal(err)
	}
	u := &user{t, h}
	t.Cleanup(func() {
		if t.Failed() {
			u.showLogs()
		}
		u.try("stop", "--all", "--force")
		u.try("agent", "stop")
	})
	u.set("[machine]\ncpus = 1\nmemory = \"256MiB\"\npreallocate = 0\n")
	return u
}

// set writes the settings file.
func (u *user) set(text string) {
	u.t.Helper()
	if err := home.Make(u.home.Root()); err != nil {
		u.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(u.home.Root(), "config.toml"), []byte(text), 0o600); err != nil {
		u.t.Fatal(err)
	}
}

func (u *user) showLogs() {
	logs, _ := filepath.Glob(filepath.Join(u.home.Log(), "*"))
	for _, path := range logs {
		if text, err := os.ReadFile(path); err == nil {
			u.t.Logf("%s:\n%s", filepath.Base(path), text[max(0, len(text)-4000):])
		}
	}
}

// A result is how a command ended.
type result struct {
	out, err string
	status   int
}

// try runs arcbox.
func (u *user) try(args ...string) result { return u.tryWith("", args...) }

// tryWith runs arcbox with text as its standard input.
func (u *user) tryWith(stdin string, args ...string) result {
	u.t.Helper()
	return command(u.t, stdin, []string{"ARCBOX_HOME=" + u.home.Root()}, kit.Program("arcbox"), args...)
}

// command runs a program to its end, with text as its standard input and variables beside ours.
func command(t *testing.T, stdin string, env []string, program string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %s: %v", filepath.Base(program), strings.Join(args, " "), err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// must is what a command printed that must succeed.
func (r result) must(t *testing.T, program string, args []string) string {
	t.Helper()
	if r.status != 0 {
		t.Fatalf("%s %s: exit %d\n%s%s", program, strings.Join(args, " "), r.status, r.out, r.err)
	}
	return r.out
}

// run is try for what must succeed; it returns what it printed.
func (u *user) run(args ...string) string {
	u.t.Helper()
	return u.try(args...).must(u.t, "arcbox", args)
}

// inspect is the default machine.
func (u *user) inspect() agentapi.InspectResp {
	u.t.Helper()
	var m agentapi.InspectResp
	u.parse(u.run("inspect", "--json"), &m)
	return m
}

func (u *user) parse(text string, into any) {
	u.t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		u.t.Fatalf("%v in %s", err, text)
	}
}

// agentPID is the process of the agent; it starts none.
func (u *user) agentPID() int {
	u.t.Helper()
	var st struct {
		Agent struct {
			PID int `json:"pid"`
		} `json:"agent"`
	}
	u.parse(u.run("status", "--json"), &st)
	return st.Agent.PID
}

// alive tells whether there is a process, and it is no zombie.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	out, err := exec.Command("ps", "-o", "state=", "-p", itoa(pid)).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}
