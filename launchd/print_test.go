package launchd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrintIsRead(t *testing.T) {
	tests := []struct {
		file  string
		want  printed
		stand State
	}{
		{"running.txt", printed{path: "/Users/me/Library/LaunchAgents/com.example.agent.plist", state: "running",
			program: "/Applications/Example.app/Contents/MacOS/agent", pid: 43797, runs: 3, exit: "0",
			properties: "keepalive | runatload | inferred program"}, Running},
		{"ex_config.txt", printed{path: "/Users/me/Library/LaunchAgents/com.example.agent.plist", state: "spawn scheduled", jobState: "spawn failed",
			program: "/Applications/Example.app/Contents/MacOS/agent", runs: 10, exit: "78: EX_CONFIG",
			properties: "keepalive | runatload | inferred program | needs LWCR update | managed LWCR"}, Failed},
		{"smappservice.txt", printed{path: "(submitted by smd.5159)", managedBy: "com.apple.xpc.ServiceManagement", state: "not running", jobState: "exited",
			runs: 2, exit: "0"}, Waiting},
		{"killed.txt", printed{path: "/Users/me/Library/LaunchAgents/com.example.agent.plist", state: "spawn scheduled",
			program: "/usr/local/bin/agent", runs: 2, signal: "Killed: 9", properties: "keepalive"}, Failed},
		{"never.txt", printed{path: "/Users/me/Library/LaunchAgents/com.example.agent.plist", state: "not running",
			program: "/usr/local/bin/agent"}, Waiting},
	}
	for _, tt := range tests {
		data, err := os.ReadFile(filepath.Join("testdata", tt.file))
		if err != nil {
			t.Fatal(err)
		}
		got := parsePrint(string(data))
		if got != tt.want {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.file, got, tt.want)
		}
		if got.standing() != tt.stand {
			t.Errorf("%s stands at %s, want %s", tt.file, got.standing(), tt.stand)
		}
	}
}

func TestDisabledIsReadFromOldAndNewSystems(t *testing.T) {
	for line, want := range map[string]bool{
		`"com.example.agent" => disabled`: true, `"com.example.agent" => true`: true,
		`"com.example.agent" => enabled`: false, `"com.example.agent" => false`: false,
		`"com.example.agent2" => disabled`: false, ``: false,
	} {
		if got := disabled("disabled services = {\n\t\t"+line+"\n\t}\n", "com.example.agent"); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

func FuzzPrint(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, out string) {
		p := parsePrint(out)
		if p.pid < 0 || p.runs < 0 {
			t.Errorf("%q: %+v", out, p)
		}
		// Whatever is nested is not the job's own.
		if !strings.Contains(out, "{") && p != (printed{}) {
			t.Errorf("%q: %+v without a block", out, p)
		}
		p.standing()
	})
}
