package config

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// maxCommandLine bounds /proc/cmdline. arm64 kernels keep 2048 bytes
// (COMMAND_LINE_SIZE); the rest is room for other kernels.
const maxCommandLine = 64 << 10

// A Param is one word of the kernel command line.
type Param struct {
	Key, Value string
	HasValue   bool // false for "ro", true for "ro="
}

// Split cuts a command line into words as the kernel's next_arg does: blanks
// separate, double quotes protect blanks and may enclose the value or the whole
// word, and there is no way to write a double quote itself. A word "--" ends
// the list: what follows it is not for the kernel, nor for us.
func Split(line string) ([]Param, error) {
	if len(line) > maxCommandLine {
		return nil, fmt.Errorf("cannot read the command line: %d bytes are more than %d", len(line), maxCommandLine)
	}
	var params []Param
	for {
		line = strings.TrimLeft(line, blanks)
		if line == "" {
			return params, nil
		}
		n := wordLen(line)
		word := line[:n]
		line = line[n:]
		if word == "--" {
			return params, nil
		}
		params = append(params, param(word))
	}
}

// blanks are the ASCII characters of the kernel's isspace.
const blanks = " \t\n\v\f\r"

// wordLen is the length of the word that line begins with: up to the first
// blank outside of quotes.
func wordLen(line string) int {
	quoted := false
	for i := range len(line) {
		switch {
		case line[i] == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte(blanks, line[i]) >= 0:
			return i
		}
	}
	return len(line)
}

// param takes a word apart at its first "=" and takes the quotes off.
func param(word string) Param {
	if rest, ok := strings.CutPrefix(word, `"`); ok {
		word = strings.TrimSuffix(rest, `"`)
	}
	key, value, has := strings.Cut(word, "=")
	if rest, ok := strings.CutPrefix(value, `"`); ok {
		value = strings.TrimSuffix(rest, `"`)
	}
	return Param{Key: key, Value: value, HasValue: has}
}

// FromCommandLine reads what concerns the guest out of a kernel command line.
// Words of others are ignored, a later word wins over an earlier one. Ours are
//
//	arcbox.run="SCRIPT"     run SCRIPT with /bin/sh -c
//	arcbox.run64=BASE64     the same; for scripts with double quotes in them
//	arcbox.exec="PROG ARG"  run a program, arguments separated by blanks
//	arcbox.hostname=NAME
//	arcbox.data=DEVICE      the data disk, or "none"
//	arcbox.agent=1          run the guest's agent
//	arcbox.room=BYTES       what the host can keep of the data disk, all in all
//	arcbox.net=A.B.C.D/N,GATEWAY  the network card's address, and the gateway's, which resolves names
//	arcbox.net6=ADDRESS/N,GATEWAY,MAC  the same in IPv6, and where the gateway's frames go
//	arcbox.emulate=x86-64   run programs of other architectures, separated by commas
//
// An arcbox.run64 that is not base64 is an error; the Config then holds
// everything else.
func FromCommandLine(line string) (Config, error) {
	params, err := Split(line)
	if err != nil {
		return Config{}, err
	}
	var c Config
	for _, p := range params {
		if e := c.set(p); e != nil {
			err = e
		}
	}
	return c, err
}

func (c *Config) set(p Param) error {
	switch p.Key {
	case "arcbox.run":
		c.Run = p.Value
	case "arcbox.run64":
		script, err := base64.StdEncoding.DecodeString(p.Value)
		if err != nil {
			return fmt.Errorf("cannot read arcbox.run64: %w; encode the script with base64 -w0", err)
		}
		c.Run = string(script)
	case "arcbox.exec":
		c.Exec = strings.Fields(p.Value)
	case "arcbox.hostname":
		c.Hostname = p.Value
	case "arcbox.data":
		c.Data = p.Value
	case "arcbox.room":
		room, err := strconv.ParseInt(p.Value, 10, 64)
		if err != nil || room < 0 {
			return fmt.Errorf("cannot read arcbox.room=%.64s: give a number of bytes", p.Value)
		}
		c.Room = room
	case "arcbox.agent":
		c.Agent = p.Value == "1"
	case "arcbox.net":
		n, err := parseNetwork(p.Value)
		if err != nil {
			return err
		}
		c.Network = n
	case "arcbox.net6":
		n, err := parseNetwork6(p.Value)
		if err != nil {
			return err
		}
		c.Network6 = n
	case "arcbox.emulate":
		c.Emulate = strings.FieldsFunc(p.Value, func(r rune) bool { return r == ',' })
	default:
		c.setKernel(p)
	}
	return nil
}

// parseNetwork reads "192.168.127.2/24,192.168.127.1".
func parseNetwork(text string) (n Network, err error) {
	address, gateway, _ := strings.Cut(text, ",")
	n.Address, err = netip.ParsePrefix(address)
	if err == nil {
		n.Gateway, err = netip.ParseAddr(gateway)
	}
	if err != nil || !n.Address.Addr().Is4() || !n.Address.Contains(n.Gateway) {
		return Network{}, fmt.Errorf("cannot read arcbox.net=%.64s: give it as 192.168.127.2/24,192.168.127.1", text)
	}
	return n, nil
}

// parseNetwork6 reads "fd00::2/64,fd00::1,5a:94:ef:e4:0c:dd".
func parseNetwork6(text string) (n Network6, err error) {
	words := append(strings.Split(text, ","), "", "")
	n.Address, err = netip.ParsePrefix(words[0])
	if err == nil {
		n.Gateway, err = netip.ParseAddr(words[1])
	}
	n.GatewayMAC = words[2]
	mac, macErr := net.ParseMAC(n.GatewayMAC)
	if err != nil || macErr != nil || len(mac) != 6 || !n.Address.Addr().Is6() || !n.Address.Contains(n.Gateway) {
		return Network6{}, fmt.Errorf("cannot read arcbox.net6=%.64s: give it as fd00::2/64,fd00::1,5a:94:ef:e4:0c:dd", text)
	}
	return n, nil
}

// setKernel keeps the kernel's own words that the initramfs acts upon.
func (c *Config) setKernel(p Param) {
	switch p.Key {
	case "root":
		c.Root = p.Value
	case "rootfstype":
		c.RootType = p.Value
	case "init":
		c.Init = p.Value
	case "console":
		if name, _, _ := strings.Cut(p.Value, ","); name != "" {
			c.Consoles = append(c.Consoles, name)
		}
	}
}
