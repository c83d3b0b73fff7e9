package launchd

import (
	"bytes"
	"fmt"
	"path/filepath"
	"time"

	"howett.net/plist"
)

// A job is our LaunchAgents file, with launchd's names for its keys.
type job struct {
	Label               string
	BundleProgram       string `plist:",omitempty"` // relative to the bundle, for SMAppService
	ProgramArguments    []string
	Environment         map[string]string `plist:"EnvironmentVariables,omitempty"`
	RunAtLoad           bool
	KeepAlive           keepAlive
	ThrottleInterval    int
	ProcessType         string
	AbandonProcessGroup bool
	ExitTimeOut         int
	Sockets             map[string]jobSocket `plist:",omitempty"`
	MachServices        map[string]bool      `plist:",omitempty"`
	StandardOutPath     string               `plist:",omitempty"`
	StandardErrorPath   string               `plist:",omitempty"`
	SoftResourceLimits  *jobLimits           `plist:",omitempty"`
	HardResourceLimits  *jobLimits           `plist:",omitempty"`
	Bundle              []string             `plist:"AssociatedBundleIdentifiers,omitempty"`
}

type keepAlive struct{ SuccessfulExit bool }

type jobSocket struct {
	SockPathName  string
	SockPathMode  int // decimal in the file: 384 is 0600
	SockPathOwner int `plist:",omitempty"`
}

type jobLimits struct{ NumberOfFiles uint64 }

// newJob says a in launchd's words.
func newJob(label string, a Agent) job {
	j := job{
		Label:            label,
		ProgramArguments: append([]string{a.Program}, a.Args...),
		Environment:      a.Env,
		RunAtLoad:        true,
		// An agent that ends by itself meant to; one that crashes is started again.
		KeepAlive:        keepAlive{SuccessfulExit: false},
		ThrottleInterval: 5,
		// Unset or Standard is throttled, Background means the slow cores, and both
		// are inherited by the VMs.
		ProcessType:         "Interactive",
		AbandonProcessGroup: true,
		ExitTimeOut:         int((a.stopTimeout() + time.Second - 1) / time.Second),
		StandardOutPath:     a.Log,
		StandardErrorPath:   a.Log,
	}
	for _, s := range a.Sockets {
		if j.Sockets == nil {
			j.Sockets = map[string]jobSocket{}
		}
		j.Sockets[s.Name] = jobSocket{SockPathName: s.Path, SockPathMode: 0o600, SockPathOwner: s.Owner}
	}
	for _, name := range a.MachServices {
		if j.MachServices == nil {
			j.MachServices = map[string]bool{}
		}
		j.MachServices[name] = true
	}
	if a.OpenFiles > 0 {
		j.SoftResourceLimits = &jobLimits{a.OpenFiles}
		j.HardResourceLimits = &jobLimits{a.OpenFiles}
	}
	if a.Bundle != "" {
		j.Bundle = []string{a.Bundle}
	}
	return j
}

// BundlePlist is the definition of an agent for an application's Contents/Library/LaunchAgents, which the application
// registers (SMAppService) and Install does not. program is relative to the bundle; a.Program is not used.
func BundlePlist(label, program string, a Agent) ([]byte, error) {
	a.Program = filepath.Base(program)
	j := newJob(label, a)
	j.BundleProgram = program
	return j.marshal()
}

func (j job) marshal() ([]byte, error) {
	var buf bytes.Buffer
	enc := plist.NewEncoderForFormat(&buf, plist.XMLFormat)
	enc.Indent("\t")
	if err := enc.Encode(j); err != nil {
		return nil, fmt.Errorf("cannot write the agent's plist: %w", err)
	}
	buf.WriteByte('\n')
	return buf.Bytes(), nil
}

// parseJob reads what marshal wrote, or an earlier version of it, or what somebody
// has made of it.
func parseJob(data []byte) (j job, err error) {
	if _, err := plist.Unmarshal(data, &j); err != nil {
		return job{}, fmt.Errorf("cannot read the agent's plist: %w", err)
	}
	return j, nil
}
