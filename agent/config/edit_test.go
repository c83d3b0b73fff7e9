package config

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestSetChangesOneLine(t *testing.T) {
	tests := []struct {
		name, before, key, value, after string
	}{
		{"no file", "", "machine.cpus", "4", "[machine]\ncpus = 4\n"},
		{"a value with a comment", "# mine\n[machine]\n  memory = \"1g\" # enough\ncpus = 2\n", "machine.memory", "2g", "# mine\n[machine]\n  memory = \"2GiB\" # enough\ncpus = 2\n"},
		{"beside its neighbours", "[machine]\n  cpus = 2\n\n# docker\n[docker]\nenable = true\n", "machine.memory", "1g", "[machine]\n  cpus = 2\n  memory = \"1GiB\"\n\n# docker\n[docker]\nenable = true\n"},
		{"in an empty section", "[docker]\n[machine]\n", "docker.enable", "off", "[docker]\nenable = false\n[machine]\n"},
		{"a new section", "[docker]\nenable = true", "machines.work.cpus", "3", "[docker]\nenable = true\n\n[machines.work]\ncpus = 3\n"},
		{"written with dots", "machine.cpus = 2\n\n[docker]\nenable = true\n", "machine.memory", "1g", "machine.cpus = 2\nmachine.memory = \"1GiB\"\n\n[docker]\nenable = true\n"},
		{"dots within a section", "[machines]\nwork.cpus = 2\n", "machines.work.memory", "1g", "[machines]\nwork.cpus = 2\nwork.memory = \"1GiB\"\n"},
		{"quoted keys and odd spaces", "[ 'machine' ]\n\"cpus\"=2#c\n", "machine.cpus", "4", "[ 'machine' ]\n\"cpus\"=4#c\n"},
		{"lines that end in CR LF", "[machine]\r\ncpus = 2\r\n", "machine.memory", "1g", "[machine]\r\ncpus = 2\r\nmemory = \"1GiB\"\r\n"},
		{"behind values of several lines", "[machine]\nx = [ # ]\n  \"]\", '''\n]\n''',\n]\ncmdline = \"\"\"\na \\\"\"\" [b] \"\"\"\"\n", "machine.cpus", "2",
			"[machine]\nx = [ # ]\n  \"]\", '''\n]\n''',\n]\ncmdline = \"\"\"\na \\\"\"\" [b] \"\"\"\"\ncpus = 2\n"},
		{"a value of several lines", "[machine]\ncmdline = \"\"\"\na\nb\"\"\" # c\ncpus = 1\n", "machine.cmdline", `a "b" \`, "[machine]\ncmdline = \"a \\\"b\\\" \\\\\" # c\ncpus = 1\n"},
		{"a section with one of its own inside", "[machines.a]\ncpus = 1\n[machines.a.b]\nx = 1\n[machine]\n", "machines.a.memory", "1g", "[machines.a]\ncpus = 1\nmemory = \"1GiB\"\n[machines.a.b]\nx = 1\n[machine]\n"},
		{"a byte order mark", "\ufeff[machine]\ncpus = 1\n", "machine.cpus", "2", "\ufeff[machine]\ncpus = 2\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := from(t, "", tt.before)
			if _, err := s.Set(tt.key, tt.value); err != nil {
				t.Fatal(err)
			}
			if got := read(t, s.User); got != tt.after {
				t.Errorf("now %q, want %q", got, tt.after)
			}
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestUnsetRemovesOneLine(t *testing.T) {
	for _, tt := range []struct{ name, before, key, after string }{
		{"a line", "[machine]\ncpus = 2 # two\nmemory = \"1g\"\n", "machine.cpus", "[machine]\nmemory = \"1g\"\n"},
		{"several lines", "[machine]\ncmdline = \"\"\"\na\"\"\"\nmemory = \"1g\"\n", "machine.cmdline", "[machine]\nmemory = \"1g\"\n"},
		{"what is not there", "[machine]\n", "machine.cpus", "[machine]\n"},
		{"what nobody knows", "[machine]\nmemroy = 1\n", "machine.memroy", "[machine]\n"},
	} {
		s := from(t, "", tt.before)
		if _, err := s.Unset(tt.key); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := read(t, s.User); got != tt.after {
			t.Errorf("%s: now %q, want %q", tt.name, got, tt.after)
		}
	}
}

func TestWhatCannotBeSetLeavesTheFile(t *testing.T) {
	for _, tt := range []struct{ name, before, key, value, want string }{
		{"unknown key", "", "machine.cpu", "1", "did you mean machine.cpus?"},
		{"a value that it cannot be", "", "machine.cpus", "many", "cannot use machine.cpus = many: it must be a number"},
		{"a broken file", "[machine\n", "machine.cpus", "1", "config.toml:1: "},
		{"a section in line", "machine = { cpus = 1 }\n", "machine.memory", "1g", "edit the file"},
		{"a section that is a value", "machine = 1\n", "machine.memory", "1g", "edit the file"},
	} {
		s := from(t, "", tt.before)
		if _, err := s.Set(tt.key, tt.value); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		if tt.before != "" && read(t, s.User) != tt.before {
			t.Errorf("%s: the file is now %q", tt.name, read(t, s.User))
		}
	}
	s := from(t, "", "machine = { cpus = 1 }\n")
	if _, err := s.Unset("machine.cpus"); err == nil || read(t, s.User) != "machine = { cpus = 1 }\n" {
		t.Errorf("unset in line: %v, %q", err, read(t, s.User))
	}
}

func TestLinksAndModesStay(t *testing.T) {
	dir := t.TempDir()
	dotfiles := filepath.Join(dir, "dotfiles", "arcbox.toml")
	s := Sources{User: filepath.Join(dir, "home", "config.toml")}
	for _, d := range []string{filepath.Dir(dotfiles), filepath.Dir(s.User)} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../dotfiles/arcbox.toml", s.User); err != nil {
		t.Fatal(err)
	}
	for i, mode := range []fs.FileMode{0o600, 0o640} { // the first makes the file
		if _, err := s.Set("machine.cpus", fmt.Sprint(i+1)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(dotfiles)
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%v, %v; want mode %o", info, err, mode)
		}
		if link, err := os.Readlink(s.User); err != nil || link != "../dotfiles/arcbox.toml" {
			t.Errorf("the link is now %q, %v", link, err)
		}
		if err := os.Chmod(dotfiles, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*", ".*")); len(files) > 0 {
		t.Errorf("left %q", files)
	}
}

func TestNoChangeOfSeveralAtOnceIsLost(t *testing.T) {
	s := from(t, "", "# keep\n")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if _, err := s.Set(fmt.Sprintf("machines.m%d.cpus", i), "2"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if names := load(t, s).Machines(); len(names) != 8 {
		t.Errorf("there are %q\n%s", names, read(t, s.User))
	}
}

// Whatever a file is, changing a key changes that key and nothing else.
func FuzzSet(f *testing.F) {
	for _, seed := range []string{
		"[machine]\ncpus = 2\n", "machine.cpus = 1", "a = [1,\n2] # x\n[b.'c d']\n\"e\" = '''\n'''\n", "[[x]]\ny = { z = 1 }\n",
		"\"\" = 1\n''.\"\\u00e9\" = 2\n", "t = 1979-05-27 07:32:00 # c\r\nx=\"\"\"\"a\"\"\"\"\"\n", "[machine]", "[machine] # c\n#x", "a.b=1\n[a.c]\nd=1", "\xfe\xff",
	} {
		f.Add([]byte(seed), "v")
	}
	f.Fuzz(func(t *testing.T, data []byte, value string) {
		before := map[string]any{}
		if _, err := toml.Decode(string(data), &before); err != nil {
			layout(data) // must end
			return
		}
		// What the scanner finds, the parser has: a value at its path.
		for _, p := range layout(data) {
			if !p.table && lookup(before, p.path) == nil && !inList(before, p.path) {
				t.Errorf("%q: found %q, which is not there", data, p.path)
			}
		}
		path := toml.Key{"machine", "cmdline"}
		after, err := set(data, path, value)
		if err != nil {
			return // it said so
		}
		got := map[string]any{}
		if _, err := toml.Decode(string(after), &got); err != nil {
			t.Fatalf("%q became %q: %v", data, after, err)
		}
		if lookup(got, path) != value {
			t.Errorf("%q became %q", data, after)
		}
		drop(before, path)
		drop(got, path)
		if !reflect.DeepEqual(before, got) {
			t.Errorf("%q became %q: something else changed", data, after)
		}
		again, err := unset(after, path)
		if err != nil {
			t.Errorf("%q: unset: %v", after, err)
		}
		if m := (map[string]any{}); err == nil {
			if _, err := toml.Decode(string(again), &m); err != nil || lookup(m, path) != nil {
				t.Errorf("%q: unset made %q of it (%v)", after, again, err)
			}
		}
	})
}

// inList says whether the path leads through a list of tables.
func inList(doc map[string]any, path toml.Key) bool {
	for n := range path {
		if _, ok := lookup(doc, path[:n]).([]map[string]any); ok {
			return true
		}
	}
	return false
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte("[machine]\nmemory = \"12 bananas\"\n[machines.x]\ncpus=1\n"))
	f.Add([]byte("machines = 1\nmachine.cpus = [1]\n"))
	f.Add([]byte("[machines]\nx.y.z = 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &Config{host: host}
		if err := c.readTOML(User, "f", data); err != nil && err.Error() == "" {
			t.Error("a mistake without words")
		}
		m := c.For("x")
		if m.CPUs < 1 || m.CPUs > 64 || m.Memory < 128<<20 || m.Memory > 1<<40 || m.IdleTimeout < 0 {
			t.Errorf("%q: %+v", data, m)
		}
	})
}
