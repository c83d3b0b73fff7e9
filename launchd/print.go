package launchd

import (
	"strconv"
	"strings"
)

// printed is what we take from `launchctl print` of a job. Apple calls its format no
// interface, so whatever is missing or strange is as good as not said.
type printed struct {
	path       string // its plist, or "(submitted by smd.123)"
	managedBy  string
	state      string // running, not running, waiting, xpcproxy, spawn scheduled, ...
	jobState   string // exited, spawn failed, ...
	program    string
	exit       string // "0", "78: EX_CONFIG", "" if it never ended
	signal     string
	pid, runs  int
	properties string
}

// parsePrint reads the top level only: nested blocks have keys of the same names.
func parsePrint(out string) printed {
	var p printed
	depth := 0
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if depth == 1 {
			p.take(line)
		}
		switch {
		case strings.HasSuffix(line, "{"):
			depth++
		case line == "}":
			depth--
		}
	}
	return p
}

func (p *printed) take(line string) {
	key, val, ok := strings.Cut(line, " = ")
	if !ok {
		return
	}
	switch key {
	case "path":
		p.path = val
	case "managed_by":
		p.managedBy = val
	case "state":
		p.state = val
	case "job state":
		p.jobState = val
	case "program":
		p.program = val
	case "last exit code":
		if !strings.HasPrefix(val, "(") {
			p.exit = val
		}
	case "last terminating signal":
		p.signal = val
	case "pid":
		p.pid = number(val)
	case "runs":
		p.runs = number(val)
	case "properties":
		p.properties = val
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// exitCode is the number in front of "78: EX_CONFIG", -1 if there is none.
func (p *printed) exitCode() int {
	num, _, _ := strings.Cut(p.exit, ":")
	code, err := strconv.Atoi(num)
	if err != nil {
		return -1
	}
	return code
}

// exConfig is what launchd says of a job that it cannot make a process of: the
// program is gone, its log cannot be opened, its signature is not what was registered.
const exConfig = 78

// unsigned: launchd holds a requirement that the program's signature no longer meets
// (LWCR is launchd's word for it).
func (p *printed) unsigned() bool { return strings.Contains(p.properties, "needs LWCR update") }

// unusable: launchd will not run the job however often it is asked, unless the job is
// registered again.
func (p *printed) unusable() bool {
	return p.state != "running" && (p.unsigned() || p.exitCode() == exConfig || p.jobState == "spawn failed")
}

// standing says where the job stands.
func (p *printed) standing() State {
	switch {
	case p.state == "running":
		return Running
	case p.unusable():
		return Failed
	case p.state == "xpcproxy": // the process exists, but is not the program yet
		return Starting
	case p.state == "spawn scheduled" && p.exitCode() <= 0 && p.signal == "":
		return Starting
	case p.exitCode() > 0 || p.signal != "":
		return Failed
	}
	return Waiting
}

// ended says whether the last run is over and no other has begun.
func (p *printed) ended() bool {
	return (p.exit != "" || p.signal != "") && p.state != "running" && p.state != "xpcproxy"
}

// ending is how the last run ended, in words.
func (p *printed) ending() string {
	if p.signal != "" {
		return p.signal
	}
	return p.exit
}

// disabled reads `launchctl print-disabled`: older systems say true, newer disabled.
func disabled(out, label string) bool {
	for line := range strings.Lines(out) {
		name, val, ok := strings.Cut(strings.TrimSpace(line), " => ")
		if ok && name == strconv.Quote(label) {
			return val == "disabled" || val == "true"
		}
	}
	return false
}
