//go:build !darwin

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A rehearsal puts stand-ins in the place of Apple's commands: links to this program, which takes its part by its name.
// Programs of ours are built with the tag macshim, and take news of the host from the socket that powerVar names.
const (
	stageVar = "ARCBOX_MACCHECK_STAGE" // the directory with the links, and what the stand-ins keep
	powerVar = "ARCBOX_STANDIN_POWER"
)

// prepare sets the stage, until end.
func (s *session) prepare(ctx context.Context) (end func() error, err error) {
	if !s.rehearse {
		return nil, errors.New("cannot check a Mac: this is none; --rehearse takes the steps against the stand-ins")
	}
	stage, err := os.MkdirTemp("/tmp", "mac-stage-")
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for name := range apple {
		if err := os.Symlink(self, filepath.Join(stage, name)); err != nil {
			return nil, err
		}
	}
	env := map[string]string{"PATH": stage + ":" + os.Getenv("PATH"), "CC": "clang", "CGO_ENABLED": "1", stageVar: stage, powerVar: filepath.Join(stage, "power")}
	before := map[string]string{}
	for name, val := range env {
		before[name] = os.Getenv(name)
		os.Setenv(name, val)
	}
	answers, stop := yes()
	s.system = system{rehearsal: true, tags: []string{"-tags", "macshim"}, programs: standinPrograms}
	s.answers = answers
	return func() error {
		stop()
		for name, val := range before {
			os.Setenv(name, val)
		}
		return os.RemoveAll(stage)
	}, nil
}

// yes is somebody who agrees to everything, until stop.
func yes() (answers <-chan string, stop func()) {
	c, done := make(chan string), make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case c <- "":
			case <-done:
				return
			}
		}
	}()
	return c, func() { close(done); <-ended }
}

// standinPrograms builds a user's programs for the stand-ins.
func standinPrograms(ctx context.Context, s *session) (string, error) {
	dir := filepath.Join(s.dir, "programs")
	args := append(append([]string{"build"}, s.tags...), "-o", dir+"/", "./cmd/arcbox", "./cmd/arcboxd", "./cmd/arcbox-vm", "./cmd/arcbox-net")
	return dir, s.does(ctx, "go", args...)
}

// apple are the commands of a Mac that the check calls, as far as it calls them.
var apple = map[string]func(args []string) error{
	"codesign":        codesign,
	"hdiutil":         hdiutil,
	"memory_pressure": memoryPressure,
	"notifyutil":      notifyutil,
	"pmset":           pmset,
	"sudo":            sudo,
	"sw_vers":         prints("15.0"),
	"sysctl":          prints("a rehearsal"),
	"xcrun":           prints("a rehearsal"),
}

// appleCommand is the command whose name this program was started by.
func appleCommand(args []string) (status int, other bool) {
	do, ok := apple[filepath.Base(args[0])]
	if !ok || os.Getenv(stageVar) == "" {
		return 0, false
	}
	if err := do(args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

var errUsage = errors.New("the stand-in does not know that usage")

func prints(text string) func([]string) error {
	return func([]string) error {
		_, err := fmt.Println(text)
		return err
	}
}

// codesign signs nothing; what it is to sign or to verify must be there.
func codesign(args []string) error {
	if len(args) < 2 {
		return errUsage
	}
	_, err := os.Stat(args[len(args)-1])
	return err
}

// hdiutil has a directory for a volume.
func hdiutil(args []string) error {
	last := args[len(args)-1]
	switch {
	case args[0] == "create":
		return os.WriteFile(last, nil, 0o600)
	case args[0] == "attach" || args[0] == "detach":
		_, err := os.Stat(last)
		return err
	}
	return errUsage
}

func memoryPressure(args []string) error {
	word, ok := map[string]string{"-S -l warn -s 5": "memory", "-S -l critical -s 5": "memory-critical"}[strings.Join(args, " ")]
	if !ok {
		return errUsage
	}
	return news(word, "memory-normal")
}

// notifyutil has a system that becomes hot when somebody looks.
func notifyutil(args []string) error {
	switch strings.Join(args, " ") {
	case "-g " + noteHeat:
		if err := news("hot"); err != nil {
			return err
		}
		return prints(noteHeat + " 2")(nil)
	case "-g " + noteLowPower:
		return prints(noteLowPower + " " + lowPowerMode())(nil)
	}
	return errUsage
}

// pmset sleeps for as long as it runs.
func pmset(args []string) error {
	const nap = 3 * time.Second
	switch {
	case len(args) == 1 && args[0] == "sleepnow":
		if err := news("sleep"); err != nil {
			return err
		}
		time.Sleep(nap)
		return news("wake")
	case len(args) == 1 && args[0] == "-g":
		return prints(" lowpowermode         " + lowPowerMode())(nil)
	case len(args) == 3 && args[1] == "lowpowermode":
		return os.WriteFile(lowPowerFile(), []byte(args[2]), 0o600)
	}
	return errUsage
}

func lowPowerFile() string { return filepath.Join(os.Getenv(stageVar), "lowpowermode") }

func lowPowerMode() string {
	if mode, err := os.ReadFile(lowPowerFile()); err == nil {
		return string(mode)
	}
	return "0"
}

func sudo(args []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, args, os.Environ())
}

// news has the system under our agent do something, one after the other.
func news(words ...string) error {
	c, err := net.Dial("unix", os.Getenv(powerVar))
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for _, w := range words {
		fmt.Fprintln(c, w)
		if answer, err := r.ReadString('\n'); err != nil || answer != "done\n" {
			return fmt.Errorf("%s: %q, %w", w, answer, err)
		}
	}
	return nil
}
