package machine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// aRecord is a good one.
func aRecord(t *testing.T, spec agentapi.Spec, cid uint32) *Record {
	t.Helper()
	r, err := newRecord(spec, cid, "/data")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatARecordMayNotBe(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":           ``,
		"no object":         `[]`,
		"cut off":           `{"version":1,"name":"a"`,
		"no version":        `{"name":"a","role":"native","cid":3,"data_image":"/d"}`,
		"a later version":   `{"version":2,"name":"a","role":"native","cid":3,"data_image":"/d"}`,
		"a reserved cid":    `{"version":1,"name":"a","role":"native","cid":2,"data_image":"/d"}`,
		"the wildcard cid":  `{"version":1,"name":"a","role":"native","cid":4294967295,"data_image":"/d"}`,
		"no role":           `{"version":1,"name":"a","cid":3,"data_image":"/d"}`,
		"a path for a name": `{"version":1,"name":"../a","role":"native","cid":3,"data_image":"/d"}`,
		"a relative image":  `{"version":1,"name":"a","role":"native","cid":3,"data_image":"d"}`,
		"negative CPUs":     `{"version":1,"name":"a","role":"native","cid":3,"data_image":"/d","cpus":-1}`,
		"odd memory asked":  `{"version":1,"name":"a","role":"native","cid":3,"data_image":"/d","asked":{"memory":100000001}}`,
		"relative disks":    `{"version":1,"name":"a","role":"native","cid":3,"data_image":"/d","asked":{"disks":["x"]}}`,
		"too much":          `{"version":1,"name":"a","role":"native","cid":3,"data_image":"/d","x":"` + strings.Repeat("x", maxRecord) + `"}`,
	} {
		if r, err := parseRecord([]byte(text)); err == nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
}

func TestARecordKeepsWhatALaterProgramWrote(t *testing.T) {
	text := `{"version":1,"name":"a","role":"native","cid":3,"data_image":"/d/a.img","distro":"alpine","ip_address":"10.0.0.2",
		"disk_path":"/old","ssh_key_path":"/key","distro_version":"3.20","later":{"deep":[1,2]},"generation":7}`
	r, err := parseRecord([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	again := r.clone()
	again.CPUs = 5
	b, err := again.encode()
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	later, _ := json.Marshal(fields["later"])
	if string(later) != `{"deep":[1,2]}` || fields["distro"] != "alpine" || fields["ssh_key_path"] != "/key" || fields["cpus"] != 5.0 || fields["generation"] != 7.0 {
		t.Errorf("written as %s", b)
	}
}

func TestNamesOfMachines(t *testing.T) {
	for name, good := range map[string]bool{
		"default": true, "a": true, "x86-64": true, strings.Repeat("a", 32): true,
		"": false, "A": false, "-a": false, "a-": false, "a.b": false, "a/b": false, "..": false, strings.Repeat("a", 33): false, "a\n": false,
	} {
		if err := checkName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestProgramsInTheGuestHaveMostOfTheGrace(t *testing.T) {
	for grace, want := range map[time.Duration]time.Duration{0: 25 * time.Second, time.Minute: 50 * time.Second, 1: 1} {
		if got := (Settings{Limits: lifecycle.Limits{Grace: grace}}).guestGrace(); got != want {
			t.Errorf("of %v they have %v, want %v", grace, got, want)
		}
	}
}

func TestRecordsOnDisk(t *testing.T) {
	rs := records{filepath.Join(t.TempDir(), "machines")}
	if all, problems, err := rs.load(); len(all)+len(problems) > 0 || err != nil {
		t.Fatalf("a directory that is not there: %v, %v, %v", all, problems, err)
	}
	for i, name := range []string{"a", "b", "c"} {
		if err := rs.write(aRecord(t, agentapi.Spec{Name: name, CPUs: 2}, uint32(firstCID+i))); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(rs.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("b.json", "{")
	same, _ := aRecord(t, agentapi.Spec{Name: "d"}, firstCID).encode()
	write("d.json", string(same))
	other, _ := aRecord(t, agentapi.Spec{Name: "x"}, 9).encode()
	write("e.json", string(other))
	write(home.TempPrefix+"1", "half a rec")
	all, problems, err := rs.load()
	if err != nil || len(all) != 2 || all[0].Name != "a" || all[1].Name != "c" || all[0].Asked.CPUs != 2 {
		t.Errorf("loaded %v, %v", all, err)
	}
	for i, want := range []string{"b.json cannot be read: unexpected end", "its cid 3 is that of the machine a", `it is the record of "x"`} {
		if i >= len(problems) || !strings.Contains(problems[i].text, want) {
			t.Errorf("problem %d of %v, want %q", i, problems, want)
		}
	}
	aside, _ := filepath.Glob(filepath.Join(rs.dir, "*"+asideSuffix+"*"))
	if kept, err := os.ReadFile(aside[0]); len(aside) != 3 || err != nil || string(kept) != "{" {
		t.Errorf("kept %q: %q, %v", aside, kept, err)
	}
	if left, _ := filepath.Glob(filepath.Join(rs.dir, home.TempPrefix+"*")); len(left) > 0 {
		t.Errorf("left %q", left)
	}
	if all, problems, err = rs.load(); len(all) != 2 || len(problems) != 3 || err != nil { // they are reported until somebody mends them
		t.Errorf("loaded again: %v, %v, %v", all, problems, err)
	}
	if err := rs.remove("a"); err != nil || rs.exists("a") || rs.remove("a") != nil {
		t.Errorf("removed: %v", err)
	}
}

func FuzzParseRecord(f *testing.F) {
	r, err := newRecord(agentapi.Spec{Name: "a", CPUs: 2, Disks: []string{"/x,ro"}}, 3, "/data")
	if err != nil {
		f.Fatal(err)
	}
	b, _ := r.encode()
	f.Add(b)
	f.Add([]byte(`{"version":1,"Version":2,"name":"a","NAME":"b","role":"native","cid":3,"data_image":"/d"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		text, err := r.encode()
		if err != nil {
			if len(b) > maxRecord/8 { // indented and escaped it may have become too long
				return
			}
			t.Fatalf("%q was read and cannot be written: %v", b, err)
		}
		again, err := parseRecord(text)
		if err != nil {
			t.Fatalf("%q was read and written as %q, which cannot be read: %v", b, text, err)
		}
		if second, err := again.encode(); err != nil || string(second) != string(text) {
			t.Fatalf("written as %q and then as %q, %v", text, second, err)
		}
	})
}
