package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// A suite is tests of a package.
type suite struct {
	pkg, run string
	root     string   // the test whose subtests are the parts; "" for tests themselves
	sign     bool     // the hypervisor is for signed programs only
	env      []string // beside ours
}

// test runs a suite, and tells each part's result. An error is when a part failed that nobody has asked for, or none ran.
func (s *session) test(ctx context.Context, u suite) error {
	args := []string{"test", "-json", "-count=1", "-timeout", "0", "-run", u.run}
	args = append(args, s.tags...)
	if u.sign {
		exec, err := signer()
		if err != nil {
			return err
		}
		args = append(args, "-exec", exec)
	}
	cmd := s.command(ctx, u.env, "go", append(args, u.pkg)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	results, said := readResults(out.Bytes())
	fmt.Fprintf(s.log, "%s%s", said, errs.Bytes())
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	told, bad := 0, 0
	for name, f := range results {
		part := name
		if u.root != "" {
			var below bool
			if part, below = strings.CutPrefix(name, u.root+"/"); !below {
				continue
			}
		}
		s.tell(part, f.verdict, "%s", f.note)
		told++
		if f.verdict == failed {
			bad++
		}
	}
	switch {
	case err != nil && bad == 0:
		return fmt.Errorf("go test %s: %w: %s", u.pkg, err, lastWords(said+errs.String()))
	case told == 0:
		whole := results[u.root]
		if whole.verdict == notRun {
			return notRunError(whole.note)
		}
		return fmt.Errorf("go test %s: no test is called %s", u.pkg, u.run)
	}
	return nil
}

// readResults reads what `go test -json` says: each test's result by its name, with its last words, and the text of it all.
func readResults(out []byte) (map[string]finding, string) {
	results, words := map[string]finding{}, map[string][]string{}
	var all strings.Builder
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var e struct{ Action, Test, Output string }
		if dec.Decode(&e) != nil {
			return results, all.String()
		}
		all.WriteString(e.Output)
		if e.Test == "" {
			continue
		}
		switch e.Action {
		case "output":
			if line := strings.TrimSpace(e.Output); !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
				words[e.Test] = append(words[e.Test], line)
			}
		case "pass":
			results[e.Test] = finding{held, ""}
		case "skip":
			results[e.Test] = finding{notRun, lastWords(strings.Join(words[e.Test], " "))}
		case "fail":
			results[e.Test] = finding{failed, lastWords(strings.Join(words[e.Test], " "))}
		}
	}
}

// signAndRun is the argument with which this program signs another one for the hypervisor and becomes it.
const signAndRun = "sign-and-run"

// signer is what `go test -exec` takes to sign test programs.
func signer() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	entitlements, err := filepath.Abs("entitlements.plist")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("'%s' %s '%s'", self, signAndRun, entitlements), nil
}

// signThenRun becomes the program that it has signed ad hoc; it returns only when it cannot.
func signThenRun(entitlements string, args []string) error {
	if out, err := exec.Command("codesign", "--force", "--sign", "-", "--entitlements", entitlements, args[0]).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot sign %s: %w: %s", args[0], err, out)
	}
	return syscall.Exec(args[0], args, os.Environ())
}
