package launchd

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/agent.plist, agent.service and agent_api.socket")

// whole is an agent that uses everything, with characters that formats trip over.
var whole = Agent{
	Program: "/Applications/My App.app/Contents/MacOS/agent", Args: []string{"run", `<&"'%h $HOME \n>`, ""},
	Env:          map[string]string{"B": "2 50%", "A": `"quoted" \ $x`},
	Sockets:      []Socket{{Name: "api", Path: "/Users/me/.agent/run/a%b c.sock"}},
	MachServices: []string{"com.example.agent"}, Log: "/Users/me/.agent/log/a b%.log", OpenFiles: 10240,
	StopTimeout: 1500 * time.Millisecond, Bundle: "com.example.app", Description: "Agent at 100%",
}

// golden compares with a file that people have read.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, "update", os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, "read", err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s is now\n%s\nwant\n%s", name, got, want)
	}
}

func TestPlist(t *testing.T) {
	data, err := newJob("com.example.agent", whole).marshal()
	must(t, "marshal", err)
	golden(t, "agent.plist", data)
	back, err := parseJob(data)
	must(t, "parse", err)
	if want := newJob("com.example.agent", whole); !reflect.DeepEqual(back, want) {
		t.Errorf("read back: %+v, want %+v", back, want)
	}
}

// libplist, which was written by others, must read the same out of it. plistutil
// exits with 0 whatever it is given, so only a comparison tells.
func TestPlistutilReadsThePlist(t *testing.T) {
	tool, err := exec.LookPath("plistutil")
	if err != nil {
		t.Skip("plistutil is not here (package libplist-utils)")
	}
	convert := func(data []byte, format string) []byte {
		t.Helper()
		cmd := exec.Command(tool, "-f", format, "-i", "-", "-o", "-")
		cmd.Stdin = bytes.NewReader(data)
		out, err := cmd.Output()
		must(t, "plistutil", err)
		return out
	}
	want := newJob("com.example.agent", whole)
	data, err := want.marshal()
	must(t, "marshal", err)
	binary := convert(data, "bin")
	if !bytes.HasPrefix(binary, []byte("bplist00")) {
		t.Fatalf("plistutil made %q of it", binary)
	}
	for name, again := range map[string][]byte{"binary": binary, "xml": convert(binary, "xml")} {
		got, err := parseJob(again)
		must(t, name, err)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: plistutil reads %+v, want %+v", name, got, want)
		}
	}
	// The comparison can fail.
	if out := convert(bytes.Replace(data, []byte("</dict>"), nil, 1), "bin"); bytes.Equal(out, binary) {
		t.Error("plistutil reads a broken plist as it reads a whole one")
	}
}

func FuzzPlist(f *testing.F) {
	data, err := newJob("com.example.agent", whole).marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("bplist00"))
	f.Add([]byte(`{ Label = "a"; Sockets = (1); }`))
	f.Fuzz(func(t *testing.T, data []byte) { _, _ = parseJob(data) })
}
