package boot

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxCmdline is the kernel's COMMAND_LINE_SIZE on arm64 without its NUL, in bytes.
const maxCmdline = 2048 - 1

// Kernel parameters that a command line is resolved for.
const (
	paramQuiet     = "quiet"
	paramEarlycon  = "earlycon"
	paramVsockPort = "arcbox.guest_docker_vsock_port"
)

// Cmdline resolves the kernel command line of a boot: base, an asset's, then
// what the user added.
//
// It drops "quiet", because the last console lines are what a crash report is
// made of; ensures "earlycon", so that there are some; and with a dockerPort
// other than 0 tells the guest on which vsock port its docker socket is wanted.
// Everything else stays as it was, in its order and with its quotes. What
// follows "--" belongs to init and is never touched.
//
// Parameters are cut as the kernel cuts them (lib/cmdline.c, next_arg): at white
// space outside double quotes. Errors: a quote that does not end, a control
// character, more bytes than the kernel takes.
func Cmdline(base, user string, dockerPort uint32) (string, error) {
	params, init, err := split(base)
	if err != nil {
		return "", err
	}
	more, moreInit, err := split(user)
	if err != nil {
		return "", err
	}
	params = slices.DeleteFunc(append(params, more...), func(p string) bool { return unquote(p) == paramQuiet })
	if !has(params, paramEarlycon) {
		params = append(params, paramEarlycon)
	}
	if dockerPort != 0 && !has(params, paramVsockPort) {
		params = append(params, fmt.Sprintf("%s=%d", paramVsockPort, dockerPort))
	}
	if init = append(init, moreInit...); len(init) > 0 {
		params = append(append(params, "--"), init...)
	}
	line := strings.Join(params, " ")
	if len(line) > maxCmdline {
		return "", fmt.Errorf("the kernel command line has %d bytes, the kernel takes %d; shorten it", len(line), maxCmdline)
	}
	return line, nil
}

// split cuts a command line into the kernel's parameters and, from behind the
// first "--", those of init. Quotes stay.
func split(line string) (params, init []string, err error) {
	var words []string
	start, quoted := -1, false // start of the word that i is in
	for i := 0; i < len(line); i++ {
		c := line[i]
		if c < ' ' && c != '\t' && c != '\n' || c == 0x7f {
			return nil, nil, fmt.Errorf("the kernel command line has a control character (%#02x)", c)
		}
		if c == '"' {
			quoted = !quoted
		}
		space := !quoted && (c == ' ' || c == '\t' || c == '\n')
		switch {
		case !space && start < 0:
			start = i
		case space && start >= 0:
			words, start = append(words, line[start:i]), -1
		}
	}
	if quoted {
		return nil, nil, errors.New("the kernel command line has a quote that does not end")
	}
	if start >= 0 {
		words = append(words, line[start:])
	}
	if end := slices.Index(words, "--"); end >= 0 {
		return words[:end:end], words[end+1:], nil
	}
	return words, nil, nil
}

// has tells whether a parameter called name is there, with or without a value.
func has(params []string, name string) bool {
	return slices.ContainsFunc(params, func(p string) bool {
		key, _, _ := strings.Cut(unquote(p), "=")
		return key == name
	})
}

// unquote drops the quotes around a whole parameter: "a=b c" in quotes is a=b c.
func unquote(p string) string {
	if len(p) >= 2 && p[0] == '"' && p[len(p)-1] == '"' {
		return p[1 : len(p)-1]
	}
	return p
}
