package launchd

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// serviceUnit says a in systemd's words, as newJob does in launchd's.
func serviceUnit(label string, a Agent) string {
	var b strings.Builder
	line := func(key, val string) { fmt.Fprintf(&b, "%s=%s\n", key, val) }

	b.WriteString("[Unit]\n")
	line("Description", specifiers.Replace(a.describe(label)))
	line("StartLimitIntervalSec", "0") // launchd never gives up either

	b.WriteString("\n[Service]\n")
	line("Type", "exec") // a program that cannot be run fails the start
	words := []string{command.Replace(a.Program)}
	for _, arg := range a.Args {
		words = append(words, command.Replace(arg))
	}
	line("ExecStart", `"`+strings.Join(words, `" "`)+`"`)
	for _, k := range slices.Sorted(maps.Keys(a.Env)) {
		line("Environment", `"`+quoted.Replace(k+"="+a.Env[k])+`"`)
	}
	for _, s := range a.Sockets {
		line("Sockets", socketName(label, s.Name))
	}
	line("Restart", "on-failure")
	line("RestartSec", "5")
	// Whatever else the agent has started is a VM, and goes on.
	line("KillMode", "process")
	line("TimeoutStopSec", fmt.Sprint(int((a.stopTimeout()+time.Second-1)/time.Second)))
	if a.OpenFiles > 0 {
		line("LimitNOFILE", fmt.Sprint(a.OpenFiles))
	}
	if a.Log != "" {
		line("StandardOutput", "append:"+specifiers.Replace(a.Log))
		line("StandardError", "inherit")
	}

	b.WriteString("\n[Install]\n")
	line("WantedBy", "default.target")
	return b.String()
}

// socketUnit is one socket: systemd gives all sockets of a unit one name.
func socketUnit(label string, a Agent, s Socket) string {
	return fmt.Sprintf(`[Unit]
Description=%s (socket %s)

[Socket]
ListenStream=%s
FileDescriptorName=%s
SocketMode=0600
DirectoryMode=0700
RemoveOnStop=yes
Service=%s

[Install]
WantedBy=sockets.target
`, specifiers.Replace(a.describe(label)), s.Name, specifiers.Replace(s.Path), s.Name, serviceName(label))
}

func serviceName(label string) string { return label + ".service" }

// socketName cannot be another label's unit: a label has no underscore.
func socketName(label, socket string) string { return label + "_" + socket + ".socket" }

func (a *Agent) describe(label string) string {
	if a.Description == "" {
		return label
	}
	return a.Description
}

var (
	specifiers = strings.NewReplacer("%", "%%")
	quoted     = strings.NewReplacer("%", "%%", `\`, `\\`, `"`, `\"`)
	command    = strings.NewReplacer("%", "%%", `\`, `\\`, `"`, `\"`, "$", "$$")
	unquoted   = strings.NewReplacer("%%", "%", `\\`, `\`, `\"`, `"`, "$$", "$")
)

// made is what systemd makes for a unit of ours: sockets and the log.
func made(unit string) (sockets, logs []string) {
	for line := range strings.Lines(unit) {
		key, val, _ := strings.Cut(strings.TrimSpace(line), "=")
		val = strings.ReplaceAll(val, "%%", "%")
		switch key {
		case "ListenStream":
			sockets = append(sockets, val)
		case "StandardOutput":
			if path, ok := strings.CutPrefix(val, "append:"); ok {
				logs = append(logs, path)
			}
		}
	}
	return sockets, logs
}
