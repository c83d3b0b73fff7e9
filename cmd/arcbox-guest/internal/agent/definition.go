//go:build linux

package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// A definition says what a service is: a file NAME.json in one of the directories of services.
type definition struct {
	Argv []string          `json:"argv"`
	Env  map[string]string `json:"env"`
	Dir  string            `json:"dir"`
	User string            `json:"user"`
	// Notify: the service is ready when it has sent READY=1 to $NOTIFY_SOCKET, as systemd has it; else at once.
	Notify  bool     `json:"notify"`
	ReadyMS int64    `json:"ready_ms"` // how long that may take; 0 is a minute
	Signal  string   `json:"signal"`   // ends it; "" is SIGTERM
	GraceMS int64    `json:"grace_ms"` // until SIGKILL; 0 is 10 s
	Needs   []string `json:"needs"`    // services that must be ready before
	Start   bool     `json:"start"`    // start it with the guest
	// Modules is a list of kernel modules to load before, one path a line, each behind those it needs. One that is not there is that of
	// a kernel which has them built in.
	Modules string `json:"modules"`
}

// Bounds on definitions.
const (
	maxDefinition = 64 << 10 // bytes
	maxServices   = 64
)

// isServiceName is ^[a-z0-9][a-z0-9-]{0,31}$, which to compile would take as long as all else that this program does before main.
func isServiceName(name string) bool {
	if len(name) == 0 || len(name) > 32 || name[0] == '-' {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// parseDefinition reads one, and refuses what could not run.
func parseDefinition(text []byte) (*definition, error) {
	d := &definition{}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(d); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the definition")
	}
	d.Signal = "SIG" + strings.TrimPrefix(d.Signal, "SIG")
	if d.Signal == "SIG" {
		d.Signal = "SIGTERM"
	}
	switch {
	case len(d.Argv) == 0 || !filepath.IsAbs(d.Argv[0]):
		return nil, errors.New("argv must begin with the path of a program")
	case unix.SignalNum(d.Signal) == 0:
		return nil, fmt.Errorf("there is no signal %.32q", d.Signal)
	case d.ReadyMS < 0 || d.GraceMS < 0 || d.ReadyMS > maxServiceTime || d.GraceMS > maxServiceTime:
		return nil, errors.New("a time is negative or too long")
	case len(d.Needs) > maxServices:
		return nil, fmt.Errorf("it needs %d services", len(d.Needs))
	}
	for _, need := range d.Needs {
		if !isServiceName(need) {
			return nil, fmt.Errorf("it needs %.64q, which is no service's name", need)
		}
	}
	return d, checkBounds(&guestapi.ExecReq{Argv: d.Argv, Env: d.Env, Dir: d.Dir})
}

// maxServiceTime bounds the times of a definition, in ms.
const maxServiceTime = int64(time.Hour / time.Millisecond)

func (d *definition) readyTime() time.Duration { return milliseconds(d.ReadyMS, time.Minute) }
func (d *definition) grace() time.Duration     { return milliseconds(d.GraceMS, 10*time.Second) }
func (d *definition) signal() syscall.Signal   { return unix.SignalNum(d.Signal) }

func milliseconds(n int64, otherwise time.Duration) time.Duration {
	if n == 0 {
		return otherwise
	}
	return time.Duration(n) * time.Millisecond
}

// program is what a service runs.
func (d *definition) program(env map[string]string) (*program, error) {
	for name, value := range d.Env {
		env[name] = value
	}
	return newProgram(&guestapi.ExecReq{Argv: d.Argv, Env: env, Dir: d.Dir, User: d.User})
}

// define reads the definition of a service from the first directory that has it.
func define(dirs []string, name string) (*definition, error) {
	for _, dir := range dirs {
		path := filepath.Join(dir, name+".json")
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(f, maxDefinition+1))
		f.Close()
		if err == nil && len(text) > maxDefinition {
			err = fmt.Errorf("it has more than %d bytes", maxDefinition)
		}
		var d *definition
		if err == nil {
			d, err = parseDefinition(text)
		}
		if err != nil {
			return nil, fmt.Errorf("cannot use the service in %s: %w", path, err)
		}
		return d, nil
	}
	return nil, ipc.Errorf(guestapi.NotFound, "cannot find a service %.64q", name)
}

// defined lists the names in the directories, up to maxServices.
func defined(dirs []string) (names []string) {
	for _, dir := range dirs {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			name, ok := strings.CutSuffix(e.Name(), ".json")
			if ok && isServiceName(name) && len(names) < maxServices {
				names = append(names, name)
			}
		}
	}
	return names
}
