package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/agent/home"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the table in docs/config.md")

var host = Host{CPUs: 10, Memory: 16 << 30}

// from are sources with these files in a directory of their own, as "system" and "user".
func from(t *testing.T, system, user string) Sources {
	t.Helper()
	dir := t.TempDir()
	s := Sources{System: filepath.Join(dir, "system.toml"), User: filepath.Join(dir, "config.toml"), Host: host}
	write(t, s.System, system)
	write(t, s.User, user)
	return s
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if text == "" {
		return
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, s Sources) *Config {
	t.Helper()
	c, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheDocumentationIsTheTable(t *testing.T) {
	const path, begin, end = "../../docs/config.md", "<!-- the table of settings, written by go test ./agent/config -update -->\n", "<!-- end -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", path)
	}
	want := before + begin + Markdown() + end + after
	if *update {
		write(t, path, want)
	} else if string(text) != want {
		t.Errorf("%s does not have the table; run go test ./agent/config -update", path)
	}
}

// What the table says of each key must be so.
func TestEveryKeyTakesWhatItSays(t *testing.T) {
	c := load(t, Sources{Host: host})
	seen := map[string]bool{}
	for _, k := range Keys {
		if seen[k.Name] || k.Doc == "" || k.Default == "" || k.Effect == "" || !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s is there twice or lacks something: %+v", k.Name, k)
		}
		seen[k.Name] = true
		v, err := c.Get(k.Name)
		if err != nil || v.Origin.Layer != Defaults {
			t.Errorf("%s: %+v, %v", k.Name, v, err)
		}
		s := from(t, "", "")
		if _, err := s.Set(k.Name, v.Text); err != nil {
			t.Errorf("%s cannot be set to its default: %v", k.Name, err)
		}
		again, err := load(t, s).Get(k.Name)
		if err != nil || again.Text != v.Text || !reflect.DeepEqual(again.Value, v.Value) || again.Origin.Layer != User {
			t.Errorf("%s was set to %+v and is %+v, %v", k.Name, v, again, err)
		}
		if !strings.Contains(k.Help(), k.Variable()) {
			t.Errorf("%s: help is %q", k.Name, k.Help())
		}
	}
}

func TestDefaultsFollowTheHost(t *testing.T) {
	tests := []struct {
		host   Host
		cpus   int
		memory int64
	}{
		{Host{10, 16 << 30}, 10, 8 << 30},
		{Host{96, 512 << 30}, 32, 16 << 30},
		{Host{1, 600 << 20}, 1, 512 << 20},
		{Host{}, 1, 512 << 20}, // the system did not tell
		{Host{4, 3<<30 + 12345}, 4, 1536 << 20},
	}
	for _, tt := range tests {
		m := load(t, Sources{Host: tt.host}).Settings.Machine
		if m.CPUs != tt.cpus || m.Memory != tt.memory {
			t.Errorf("%+v: %d CPUs, %d bytes; want %d, %d", tt.host, m.CPUs, m.Memory, tt.cpus, tt.memory)
		}
	}
	m := load(t, Sources{}).Settings.Machine
	if m.Disk != 8<<40 || m.DiskNominal != 50<<30 || m.IdleTimeout != 5*time.Minute || !m.Balloon || m.StartTimeout != 90*time.Second {
		t.Errorf("%+v", m)
	}
	if h := thisHost(); h.CPUs < 1 || h.Memory < 1<<20 {
		t.Errorf("this host has %+v", h)
	}
}

func TestTheLastLayerDecides(t *testing.T) {
	system := "[machine]\ncpus = 2\nmemory = \"1g\"\nflush = \"full\"\nidle_timeout = \"1m\"\n[machines.work]\ncpus = 3\n"
	user := "[machine]\nmemory = \"2GiB\"\nflush = \"barrier\"\nidle_timeout = \"2m\"\n\n[machines.work]\nmemory = 4294967296\n[machines.\"play\"]\nballoon = false\n"
	s := from(t, system, user)
	env := map[string]string{"ARCBOX_MACHINE_FLUSH": "host", "ARCBOX_MACHINE_IDLE_TIMEOUT": "3m"}
	s.Env = func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	s.Flags = map[string]string{"machine.idle_timeout": "4m", "machines.play.idle_timeout": "5m"}
	c := load(t, s)
	tests := []struct {
		key, text string
		origin    Origin
	}{
		{"machine.cpus", "2", Origin{Layer: System, File: s.System, Line: 2}},
		{"machine.memory", "2GiB", Origin{Layer: User, File: s.User, Line: 2}},
		{"machine.flush", "host", Origin{Layer: Environment, Variable: "ARCBOX_MACHINE_FLUSH"}},
		{"machine.idle_timeout", "4m", Origin{Layer: Flags}},
		{"machine.balloon", "true", Origin{Layer: Defaults}},
		// One machine's own goes before everybody's, also across files, but not
		// before what was typed.
		{"machines.work.cpus", "3", Origin{Layer: System, File: s.System, Line: 7}},
		{"machines.work.memory", "4GiB", Origin{Layer: User, File: s.User, Line: 7}},
		{"machines.work.idle_timeout", "4m", Origin{Layer: Flags}},
		{"machines.play.idle_timeout", "5m", Origin{Layer: Flags}},
		{"machines.play.balloon", "false", Origin{Layer: User, File: s.User, Line: 9}},
		{"machines.other.memory", "2GiB", Origin{Layer: User, File: s.User, Line: 2}},
	}
	for _, tt := range tests {
		v, err := c.Get(tt.key)
		if err != nil || v.Text != tt.text || v.Origin != tt.origin || v.Key != tt.key {
			t.Errorf("%s is %+v (%v), want %s from %+v", tt.key, v, err, tt.text, tt.origin)
		}
	}
	if m := c.For("work"); m.CPUs != 3 || m.Memory != 4<<30 || m.Flush != FlushHost || m.IdleTimeout != 4*time.Minute {
		t.Errorf("work: %+v", m)
	}
	if names := c.Machines(); !reflect.DeepEqual(names, []string{"play", "work"}) {
		t.Errorf("machines %q", names)
	}
	var own []string
	for _, v := range c.All()[len(Keys):] {
		own = append(own, v.Key+"="+v.Text)
	}
	if want := "machines.play.balloon=false machines.play.idle_timeout=5m machines.work.cpus=3 machines.work.memory=4GiB"; strings.Join(own, " ") != want {
		t.Errorf("of their own: %q, want %s", own, want)
	}
}

func TestMistakesAreToldWithTheirLine(t *testing.T) {
	tests := []struct {
		name, file string
		want       []string // FILE is the file's path
	}{
		{"a size that is none", "\n# a comment\n[machine]\nmemory = \"12 bananas\"\n",
			[]string{`FILE:4: cannot use memory = "12 bananas": it must be a size from 128MiB to 1TiB, such as 4GiB`}},
		{"a size without a unit", "[machine]\nmemory = 4096",
			[]string{`FILE:2: cannot use memory = 4096: 4KiB is less than 128MiB; a number alone means bytes: 4096MiB?`}},
		{"a time without a unit", "[machine]\nidle_timeout = 300",
			[]string{`FILE:2: cannot use idle_timeout = 300: it has no unit: 300s?`}},
		{"a time below zero", "[machine]\nidle_timeout = \"-1s\"",
			[]string{`FILE:2: cannot use idle_timeout = "-1s": -1s is less than 0s`}},
		{"another type", "[machine]\nballoon = \"yes\"\ncpus = \"2\"\nkernel = 1\n",
			[]string{`FILE:2: cannot use balloon = "yes": it must be true or false`, `FILE:3: cannot use cpus = "2": it must be a number from 1 to 64`,
				`FILE:4: cannot use kernel = 1: it must be text of at most 4096 bytes`}},
		{"too many", "[machines.a]\ncpus = 65", []string{`FILE:2: cannot use cpus = 65: it must be a number from 1 to 64`}},
		{"a word that is nearly one", "machine.flush = \"ful\"", []string{`FILE:1: cannot use flush = "ful": it must be host, barrier or full; did you mean full?`}},
		{"a relative socket", "[sockets]\n\ndocker = \"docker.sock\"", []string{`FILE:3: cannot use docker = "docker.sock": it must be an absolute path`}},
		{"a key in a table in line", "[machine]\ncpus = 1\n[machines]\nx = { cpus = 0,\n memory = \"1g\" }",
			[]string{`FILE:4: cannot use cpus = 0: it must be a number from 1 to 64`}},
		{"no TOML", "[machine]\ncpus = 1\nmemory = \n", []string{`FILE:3: cannot read this as TOML: `}},
		{"a control character, of which the parser says no place", "\x7f", []string{`FILE:1: cannot read this as TOML: `}},
		{"a key twice", "[machine]\ncpus = 1\ncpus = 2\n", []string{`FILE:3: cannot read this as TOML: `}},
		{"a section where a value is", "machine = 3\n", []string{`nobody knows machine`}},
		{"unknown key", "[machine]\nmemroy = \"1g\"\n", []string{`FILE:2: nobody knows machine.memroy; did you mean machine.memory?`}},
		{"unknown key of one machine", "[machines.x]\nmemroy = \"1g\"\n", []string{`FILE:2: nobody knows machines.x.memroy; did you mean machines.x.memory?`}},
		{"a key that no machine has", "[machines.x]\nlevel = \"info\"\n", []string{`FILE:2: nobody knows machines.x.level`}},
		{"unknown section, once", "[machne]\nmemory = \"1g\"\ncpus = 2\n", []string{`FILE:2: nobody knows the section [machne]; did you mean [machine]?`}},
		{"unknown and empty section", "\n[dokcer]\n", []string{`FILE:2: nobody knows dokcer; did you mean docker?`}},
		{"a section is missing", "memory = \"1g\"\n", []string{`FILE:1: nobody knows memory; did you mean machine.memory?`}},
		{"a name that is none", "[machines.\"../x\"]\ncpus = 1\n", []string{`FILE:2: "../x" cannot be a machine's name`}},
		{"a machine that is no section", "[machines]\ncpus = 1\n", []string{`FILE:2: nobody knows machines.cpus; settings of a machine are machines.NAME.KEY`}},
		{"tables in a list", "[[machine]]\ncpus = 1\n", []string{`nobody knows machine`}},
		{"far from everything", "[machine]\nxyzzy = 1\n", []string{`FILE:2: nobody knows machine.xyzzy`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := from(t, "", tt.file)
			c, err := s.Load()
			var all []string
			if err != nil {
				all = strings.Split(err.Error(), "\n")
			}
			for _, w := range c.Warnings {
				all = append(all, w.Error())
			}
			if len(all) != len(tt.want) {
				t.Fatalf("told %q, want %q", all, tt.want)
			}
			for i, want := range tt.want {
				want = strings.ReplaceAll(want, "FILE", s.User)
				if all[i] != want && !(strings.HasSuffix(want, ": ") || !strings.HasPrefix(want, "/")) || !strings.Contains(all[i], want) {
					t.Errorf("told %q, want %q", all[i], want)
				}
			}
			if m := c.For("x"); m.CPUs < 1 || m.Memory < 128<<20 {
				t.Errorf("what is left cannot be run with: %+v", m)
			}
		})
	}
}

func TestWhatIsRightInABrokenFileCounts(t *testing.T) {
	c, err := from(t, "[machine]\nmemory = \"1g\"\ncpus = 3", "[machine]\nmemory = \"lots\"\ncpus = 5").Load()
	var m *Mistake
	if !errors.As(err, &m) || m.Line != 2 {
		t.Errorf("%v", err)
	}
	if got := c.Settings.Machine; got.CPUs != 5 || got.Memory != 1<<30 {
		t.Errorf("%+v", got)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	s := from(t, "", "")
	if err := os.Mkdir(s.User, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, s.System, strings.Repeat("#", maxFile)+"\n")
	c, err := s.Load()
	for _, want := range []string{s.User + ": cannot read it: is a directory", s.System + ": cannot use it: it has more than 1048576 bytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
	if c.Settings.Machine.CPUs != 10 {
		t.Errorf("%+v", c.Settings)
	}
}

func TestAFileOfSomethingElseIsNotGoneThrough(t *testing.T) {
	c := load(t, from(t, "", many(5000)))
	if len(c.Warnings) != maxWarnings {
		t.Errorf("%d warnings", len(c.Warnings))
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d = 1\n", i)
	}
	return b.String()
}

func TestEnvironmentAndFlagsThatCannotBe(t *testing.T) {
	s := Sources{Host: host, Flags: map[string]string{"machine.cpu": "1", "log.level": "loud", "machine.memory": "2g"},
		Env: func(k string) (string, bool) { return "nonsense", k == "ARCBOX_MACHINE_BALLOON" }}
	c, err := s.Load()
	want := "cannot use ARCBOX_MACHINE_BALLOON=nonsense: it must be true or false\n" +
		"cannot use log.level=loud: it must be trace, debug, info, warn or error\n" +
		"nobody knows machine.cpu; did you mean machine.cpus?"
	if err == nil || err.Error() != want {
		t.Errorf("told %v, want %s", err, want)
	}
	if m := c.Settings.Machine; m.Memory != 2<<30 || !m.Balloon {
		t.Errorf("%+v", m)
	}
}

func TestStandardSourcesAreInTheHome(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(home.Env, dir)
	t.Setenv("ARCBOX_LOG_LEVEL", "warn")
	h, err := home.Find()
	if err != nil {
		t.Fatal(err)
	}
	s := Standard(h)
	s.System = ""
	if s.User != filepath.Join(dir, "config.toml") {
		t.Errorf("%+v", s)
	}
	if c := load(t, s); c.Log.Level != "warn" {
		t.Errorf("%+v", c.Log)
	}
}

func TestChangesAreOfWhatDiffers(t *testing.T) {
	before := load(t, from(t, "", "[machine]\ncpus = 2\n[machines.a]\nmemory = \"1g\""))
	after := load(t, from(t, "", "[machine]\ncpus = 4\n[machines.b]\nmemory = \"1g\"\n[log]\nlevel = \"debug\""))
	want := []Change{
		{"machine.cpus", "2", "4", NextStart}, {"log.level", "info", "debug", Now},
		{"machines.a.cpus", "2", "4", NextStart}, {"machines.a.memory", "1GiB", "8GiB", NextStart},
		{"machines.b.cpus", "2", "4", NextStart}, {"machines.b.memory", "8GiB", "1GiB", NextStart},
	}
	if got := Changes(before, after); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := Changes(after, after); got != nil {
		t.Errorf("nothing has changed: %+v", got)
	}
}
