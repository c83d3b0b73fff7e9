package machine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

const (
	// maxReport bounds a crash report, in bytes; each of its parts has a share of it.
	maxReport = 256 << 10
	// maxPart bounds one part.
	maxPart = 48 << 10
	// keptReports is how many crash reports of one machine are kept.
	keptReports = 10
	// reportTime is how long a VM process that may not answer is asked for its last words.
	reportTime = time.Second
)

// crashReport is what a person needs to understand why a VM was lost: what is known here, and what the process still says.
func (s *session) crashReport(cause error) string {
	ctx, cancel := context.WithTimeout(s.ctx, reportTime)
	defer cancel()
	var b strings.Builder
	fmt.Fprintf(&b, "machine %s, VM process %d, %s\n%s\n", s.m.name, s.proc.Pid(), time.Now().UTC().Format(time.RFC3339), clip(cause.Error()))
	part := func(title, text string) {
		if text = strings.TrimRight(text, "\n"); text != "" {
			fmt.Fprintf(&b, "\n--- %s\n%s\n", title, clip(text))
		}
	}
	stats, err := ipc.Call(ctx, s.proc.Conn, vmapi.Stats, &vmapi.StatsReq{})
	var end *vmapi.WaitResp
	if err == nil {
		end = s.lastWords(ctx, stats.State)
	}
	switch {
	case end == nil:
		part("end of the console log", tail(s.m.LogPath(logConsole)))
	default:
		if end.Outcome != vmapi.Stopped { // that was us
			part("how the guest ended", string(end.Outcome)+": "+end.Message)
		}
		part("last console lines", end.LastLines)
		part("registers", end.Registers)
	}
	part("end of the guest agent's log", tail(s.m.LogPath(logGuest)))
	part("end of arcbox-vm's log", tail(s.m.LogPath(logVM)))
	s.mu.Lock()
	part("events of the VM", strings.Join(s.events, "\n"))
	s.mu.Unlock()
	if err == nil {
		part("statistics", indented(stats))
	} else {
		part("statistics", "arcbox-vm does not say: "+err.Error())
	}
	part("configuration", indented(s.made))
	return b.String()
}

// lastWords is how the guest ended. One that runs is cut off for that: it is lost, and where its vCPUs are says why. Nil when the
// process does not say.
func (s *session) lastWords(ctx context.Context, state vmapi.State) *vmapi.WaitResp {
	switch state {
	case vmapi.Running, vmapi.Paused:
		if _, err := ipc.Call(ctx, s.proc.Conn, vmapi.ForceStop, &vmapi.ForceStopReq{}); err != nil {
			return nil
		}
	case vmapi.Ended:
	default:
		return nil
	}
	end, err := ipc.Call(ctx, s.proc.Conn, vmapi.Wait, &vmapi.WaitReq{})
	if err != nil {
		return nil
	}
	return end
}

// clip keeps the end of a text, which is where a crash is told.
func clip(text string) string {
	if len(text) <= maxPart {
		return text
	}
	return "[...]" + strings.ToValidUTF8(text[len(text)-maxPart:], "")
}

func indented(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// tail is the end of a log.
func tail(path string) string {
	const lines = 16 << 10 // bytes of them
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > lines {
		f.Seek(-lines, io.SeekEnd)
	}
	b, _ := io.ReadAll(io.LimitReader(f, lines))
	return string(b)
}

// writeCrashReport keeps a report and forgets the oldest ones. It says where the report is.
func (m *Machine) writeCrashReport(text string) {
	dir := m.mgr.crashDir()
	name := fmt.Sprintf("%s%s.txt", m.crashPrefix(), time.Now().UTC().Format("20060102T150405.000"))
	if len(text) > maxReport {
		text = text[:maxReport]
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		m.log.Warn().Err(err).Msg("cannot write a crash report")
		return
	}
	m.log.Info().Str("path", filepath.Join(dir, name)).Msg("wrote a crash report")
	for i, path := range m.crashReports() {
		if i >= keptReports {
			os.Remove(path)
		}
	}
}

// crashDir has the crash reports of all machines.
func (g *Manager) crashDir() string { return filepath.Join(g.opts.Home.Log(), "crash") }

// crashPrefix begins the names of a machine's reports, and of no other's: a machine's name has no dot.
func (m *Machine) crashPrefix() string { return m.name + "." }

// crashReports are the paths of a machine's reports, newest first.
func (m *Machine) crashReports() []string {
	paths, _ := filepath.Glob(filepath.Join(m.mgr.crashDir(), m.crashPrefix()+"*.txt"))
	slices.SortFunc(paths, func(a, b string) int { return cmp.Compare(b, a) })
	return paths
}
