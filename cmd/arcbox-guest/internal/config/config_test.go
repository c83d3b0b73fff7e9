package config

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	tests := []struct {
		name string
		line string
		want []Param
	}{
		{"nothing", " \n", nil},
		{"flags and values", "ro root=/dev/vda\n", []Param{{"ro", "", false}, {"root", "/dev/vda", true}}},
		{"empty value", "quiet=", []Param{{"quiet", "", true}}},
		{"value with an equals sign", "a=b=c", []Param{{"a", "b=c", true}}},
		{"quoted value", `a="b c" d`, []Param{{"a", "b c", true}, {"d", "", false}}},
		{"quoted word", `"a=b c" d`, []Param{{"a", "b c", true}, {"d", "", false}}},
		{"quotes inside a value stay", `a=b"c d"e`, []Param{{"a", `b"c d"e`, true}}},
		{"open quote runs to the end", `a="b c`, []Param{{"a", "b c", true}}},
		{"newline inside quotes", "a=\"b\nc\"", []Param{{"a", "b\nc", true}}},
		{"words after two dashes are not ours", "a -- b", []Param{{"a", "", false}}},
		{"quoted dashes end nothing", `"--" b`, []Param{{"--", "", false}, {"b", "", false}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Split(tt.line)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Split(%q) = %+v, %v; want %+v", tt.line, got, err, tt.want)
			}
		})
	}
}

func TestSplitBound(t *testing.T) {
	if _, err := Split(strings.Repeat("a", maxCommandLine)); err != nil {
		t.Errorf("a line of the greatest length is refused: %v", err)
	}
	if _, err := Split(strings.Repeat("a", maxCommandLine+1)); err == nil {
		t.Error("a line one byte too long is taken")
	}
}

func TestFromCommandLine(t *testing.T) {
	tests := []struct {
		name string
		line string
		want Config
	}{
		{"script in quotes", `arcbox.run="uname -a; date"`, Config{Run: "uname -a; date"}},
		{"script in base64", "arcbox.run64=ZWNobyAiaGki" + "Ig==", Config{Run: `echo "hi""`}},
		{"later script wins", "arcbox.run=a arcbox.run=b", Config{Run: "b"}},
		{"program with arguments", `arcbox.exec="/bin/ls -l  /"`, Config{Exec: []string{"/bin/ls", "-l", "/"}}},
		{"kernel's words", "root=/dev/vda rootfstype=erofs init=/x console=ttyAMA0,115200 console=hvc0",
			Config{Root: "/dev/vda", RootType: "erofs", Init: "/x", Consoles: []string{"ttyAMA0", "hvc0"}}},
		{"data disk and name", "arcbox.data=none arcbox.hostname=box", Config{Data: "none", Hostname: "box"}},
		{"what the host has room for", "arcbox.room=1099511627776", Config{Room: 1 << 40}},
		{"a network", "arcbox.net=192.168.127.2/24,192.168.127.1",
			Config{Network: Network{netip.MustParsePrefix("192.168.127.2/24"), netip.MustParseAddr("192.168.127.1")}}},
		{"another network", "arcbox.net6=fd00::2/64,fd00::1,5a:94:ef:e4:0c:dd",
			Config{Network6: Network6{netip.MustParsePrefix("fd00::2/64"), netip.MustParseAddr("fd00::1"), "5a:94:ef:e4:0c:dd"}}},
		{"others are ignored", "arcbox.runner=x quiet", Config{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := FromCommandLine(tt.line)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("FromCommandLine(%q) = %+v, %v; want %+v", tt.line, got, err, tt.want)
			}
		})
	}
}

func TestFromCommandLineKeepsTheRest(t *testing.T) {
	c, err := FromCommandLine("arcbox.run64=%% arcbox.hostname=box")
	if err == nil || c.Hostname != "box" || c.Run != "" {
		t.Errorf("bad base64 gives %+v, %v; want an error and the host name kept", c, err)
	}
}

func TestNetworksThatAreNone(t *testing.T) {
	for _, text := range []string{"", "192.168.127.2", "192.168.127.2/24", "192.168.127.2/24,10.0.0.1", "fd00::2/64,fd00::1", "192.168.127.2/33,192.168.127.1"} {
		if c, err := FromCommandLine("arcbox.net=" + text); err == nil || c.Network != (Network{}) {
			t.Errorf("arcbox.net=%s gives %+v, %v; want an error", text, c.Network, err)
		}
	}
}

func TestNetworks6ThatAreNone(t *testing.T) {
	for _, text := range []string{"", "fd00::2/64", "fd00::2/64,fd00::1", "fd00::2/64,fd01::1,5a:94:ef:e4:0c:dd", "10.0.0.2/24,10.0.0.1,5a:94:ef:e4:0c:dd",
		"fd00::2/64,fd00::1,5a:94:ef:e4:0c", "fd00::2/64,fd00::1,5a:94:ef:e4:0c:dd:00:01"} {
		if c, err := FromCommandLine("arcbox.net6=" + text); err == nil || c.Network6 != (Network6{}) {
			t.Errorf("arcbox.net6=%s gives %+v, %v; want an error", text, c.Network6, err)
		}
	}
}

// disk lays a config disk out by hand.
func disk(header, text string) []byte {
	b := make([]byte, sectorSize, sectorSize+len(text))
	copy(b, header)
	return append(b, text...)
}

func TestFromDisk(t *testing.T) {
	const text = `{"run":"date","env":{"A":"b"},"hostname":"box","data":"/dev/vdc"}`
	want := Config{Run: "date", Env: map[string]string{"A": "b"}, Hostname: "box", Data: "/dev/vdc"}
	got, err := FromDisk(bytes.NewReader(disk(fmt.Sprintf("ARCBOX-CONFIG 1 %d\n", len(text)), text+"junk after")))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("FromDisk = %+v, %v; want %+v", got, err, want)
	}
}

func TestFromDiskRefuses(t *testing.T) {
	tests := []struct {
		name  string
		disk  []byte
		want  string // in the error
		other bool   // ErrNoConfig
	}{
		{"empty disk", nil, "not a config disk", true},
		{"half a sector", []byte("ARCBOX-CONFIG 1 2\n"), "not a config disk", true},
		{"zeroes", make([]byte, 1024), "not a config disk", true},
		{"no newline", disk("ARCBOX-CONFIG 1 2"+strings.Repeat("x", 512), ""), "first line", false},
		{"no length", disk("ARCBOX-CONFIG 1\n", ""), "first line", false},
		{"other version", disk("ARCBOX-CONFIG 2 2\n", "{}"), "version", false},
		{"negative length", disk("ARCBOX-CONFIG 1 -1\n", "{}"), "length", false},
		{"huge length", disk("ARCBOX-CONFIG 1 1048577\n", "{}"), "length", false},
		{"disk too short", disk("ARCBOX-CONFIG 1 3\n", "{}"), "ends before", false},
		{"unknown field", disk("ARCBOX-CONFIG 1 7\n", `{"x":1}`), "unknown field", false},
		{"two objects", disk("ARCBOX-CONFIG 1 4\n", `{}{}`), "follows", false},
		{"no JSON", disk("ARCBOX-CONFIG 1 0\n", ``), "EOF", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := FromDisk(bytes.NewReader(tt.disk))
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrNoConfig) != tt.other {
				t.Errorf("error is %v; want one with %q, ErrNoConfig %v", err, tt.want, tt.other)
			}
		})
	}
}

func TestWithDefaults(t *testing.T) {
	line := Config{Exec: []string{"a"}, Env: map[string]string{"X": "line"}, Root: "/dev/vda"}
	disk := Config{Run: "b", Env: map[string]string{"X": "disk", "Y": "disk"}, Hostname: "box", Data: "none"}
	got := line.WithDefaults(disk)
	want := Config{Exec: []string{"a"}, Env: map[string]string{"X": "line", "Y": "disk"},
		Hostname: "box", Data: "none", Root: "/dev/vda"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("WithDefaults = %+v; want %+v", got, want)
	}
	if got.DataDevice() != "" || (Config{}).DataDevice() != "/dev/vdb" || (Config{Data: "/dev/vdd"}).DataDevice() != "/dev/vdd" {
		t.Error("DataDevice does not honour none, nothing and a device")
	}
}

func FuzzFromCommandLine(f *testing.F) {
	f.Add(`a="b c" arcbox.run64=ZWNobw== "x y`)
	f.Fuzz(func(t *testing.T, line string) {
		params, err := Split(line)
		if err != nil {
			return
		}
		n := 0
		for _, p := range params {
			n += len(p.Key) + len(p.Value)
		}
		if n > len(line) {
			t.Errorf("%q gives %d bytes of words", line, n)
		}
		FromCommandLine(line)
	})
}

func FuzzFromDisk(f *testing.F) {
	f.Add(disk("ARCBOX-CONFIG 1 2\n", "{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := FromDisk(bytes.NewReader(b)); err != nil && !reflect.DeepEqual(c, Config{}) {
			t.Errorf("error %v comes with %+v", err, c)
		}
	})
}
