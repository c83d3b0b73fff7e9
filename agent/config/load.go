package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/arcboxlabs/arcbox-go/agent/home"
)

const (
	machineSection  = "machine"
	machinesSection = "machines"
	maxWarnings     = 100
	maxFile         = 1 << 20 // a file with every setting for a hundred machines has 100 KiB
)

// SystemFile is what an administrator sets for every user.
const SystemFile = "/etc/arcbox/config.toml"

// machineNames are names that can be a key's part without quotes.
var machineNames = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

func within(key, section string) bool { return strings.HasPrefix(key, section+".") }

// Sources are where settings come from.
type Sources struct {
	System string                      // file; "" for none
	User   string                      // file; "" for none
	Env    func(string) (string, bool) // such as os.LookupEnv; nil for none
	Flags  map[string]string           // by key
	Host   Host
}

// Host is what defaults depend on.
type Host struct {
	CPUs   int
	Memory int64
}

// Standard are the sources of a user's programs.
func Standard(h home.Home) Sources {
	return Sources{System: SystemFile, User: filepath.Join(h.Root(), "config.toml"), Env: os.LookupEnv, Host: thisHost()}
}

// Layer is one of the places that a value can come from.
type Layer string

const (
	Defaults    Layer = "default"
	System      Layer = "system"
	User        Layer = "user"
	Environment Layer = "environment"
	Flags       Layer = "flag"
)

// An Origin is where a value came from.
type Origin struct {
	Layer    Layer  `json:"layer"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Variable string `json:"variable,omitempty"`
}

func (o Origin) String() string {
	switch {
	case o.Line > 0:
		return fmt.Sprintf("%s:%d", o.File, o.Line)
	case o.File != "":
		return o.File
	case o.Variable != "":
		return o.Variable
	}
	return string(o.Layer)
}

// An assignment is one thing that somebody has set.
type assignment struct {
	key     *Key
	machine string // of [machines.NAME]; "" for all
	value   any
	origin  Origin
}

// A Config is what all layers say together.
type Config struct {
	Settings
	Warnings []*Mistake // what nobody knows

	host Host
	set  []assignment // in the order of layers
}

// Load reads all layers. The Config can be used whatever the error is: that is all
// mistakes, joined, each of them a *Mistake.
func (s Sources) Load() (*Config, error) {
	c := &Config{host: s.Host}
	var mistakes []error
	for _, f := range []struct {
		layer Layer
		path  string
	}{{System, s.System}, {User, s.User}} {
		data, err := readFile(f.path)
		if err == nil {
			err = c.readTOML(f.layer, f.path, data)
		}
		mistakes = append(mistakes, err)
	}
	mistakes = append(mistakes, c.readEnv(s.Env), c.readFlags(s.Flags))
	c.Settings = c.settle("")
	return c, errors.Join(mistakes...)
}

// readFile reads a file that need not be there.
func readFile(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &Mistake{File: path, Text: "cannot read it: " + cause(err)}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, &Mistake{File: path, Text: "cannot read it: " + cause(err)}
	}
	if len(data) > maxFile {
		return nil, &Mistake{File: path, Text: fmt.Sprintf("cannot use it: it has more than %d bytes", maxFile)}
	}
	return data, nil
}

// cause is an error without the path, which is said already.
func cause(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// readTOML takes what a file says. A file that is no TOML says nothing.
func (c *Config) readTOML(layer Layer, path string, data []byte) error {
	doc, err := parse(path, data)
	if err != nil {
		return err
	}
	var mistakes []error
	for _, l := range leaves(doc, layout(data)) {
		origin := Origin{Layer: layer, File: path, Line: l.line}
		if len(c.Warnings) >= maxWarnings {
			break // the file is none of ours
		}
		k, machine, why := find(l.path)
		if k == nil {
			c.warn(&Mistake{path, l.line, why})
			continue
		}
		v, err := k.kind.fromTOML(l.value)
		if err != nil {
			mistakes = append(mistakes, &Mistake{path, l.line, fmt.Sprintf("cannot use %s = %s: %v", l.path[len(l.path)-1], show(l.value), err)})
			continue
		}
		c.set = append(c.set, assignment{k, machine, v, origin})
	}
	return errors.Join(mistakes...)
}

// warn adds a warning once: an unknown section has one for all that is in it.
func (c *Config) warn(m *Mistake) {
	if !slices.ContainsFunc(c.Warnings, func(o *Mistake) bool { return o.File == m.File && o.Text == m.Text }) {
		c.Warnings = append(c.Warnings, m)
	}
}

// parse reads TOML and says where it is wrong.
func parse(path string, data []byte) (map[string]any, error) {
	doc := map[string]any{}
	_, err := toml.NewDecoder(bytes.NewReader(data)).Decode(&doc)
	var perr toml.ParseError
	switch {
	case errors.As(err, &perr):
		// The parser's own line is one too many where it stopped at a line's end.
		line := 1 + bytes.Count(data[:min(max(perr.Position.Start, 0), len(data))], []byte("\n"))
		return nil, &Mistake{path, line, "cannot read this as TOML: " + perr.Message}
	case err != nil:
		return nil, &Mistake{path, 0, "cannot read it as TOML: " + err.Error()}
	}
	return doc, nil
}

// A leaf is a value in a file.
type leaf struct {
	path  toml.Key
	value any
	line  int
}

// leaves are all values, in the order of their lines. Tables in line are gone into;
// lists are values.
func leaves(doc map[string]any, places []statement) (all []leaf) {
	lines := map[string]int{}
	for _, p := range slices.Backward(places) { // the first one of several counts
		lines[p.path.String()] = p.line
	}
	// line is where v is, or the smallest thing around it that has a line.
	var walk func(path toml.Key, v any, line int)
	walk = func(path toml.Key, v any, line int) {
		if n, ok := lines[path.String()]; ok {
			line = n
		}
		table, ok := v.(map[string]any)
		if !ok || len(table) == 0 && len(path) > 0 && unknownTable(path) {
			all = append(all, leaf{path, v, line})
			return
		}
		for _, k := range slices.Sorted(maps.Keys(table)) {
			walk(append(slices.Clone(path), k), table[k], line)
		}
	}
	walk(nil, doc, 0)
	slices.SortStableFunc(all, func(a, b leaf) int { return cmp.Compare(a.line, b.line) })
	return all
}

// unknownTable says whether an empty table is worth a warning.
func unknownTable(path toml.Key) bool {
	return !slices.Contains(sections(), path[0]) || path[0] == machinesSection && len(path) == 2 && !machineNames.MatchString(path[1])
}

// sections are the tables that there are.
func sections() []string {
	all := []string{machinesSection}
	for _, k := range Keys {
		section, _, _ := strings.Cut(k.Name, ".")
		if !slices.Contains(all, section) {
			all = append(all, section)
		}
	}
	return all
}

// find is the key for a path in a file, and the machine that it is for. Without
// one it says why.
func find(path toml.Key) (k *Key, machine, why string) {
	if !slices.Contains(sections(), path[0]) {
		if len(path) == 1 {
			return nil, "", fmt.Sprintf("nobody knows %s%s", path[0], did(inSection(path[0])))
		}
		return nil, "", fmt.Sprintf("nobody knows the section [%s]%s", path[0], did(bracket(nearest(path[0], sections()))))
	}
	name := strings.Join(path, ".")
	if path[0] == machinesSection {
		switch {
		case len(path) >= 2 && !machineNames.MatchString(path[1]):
			return nil, "", fmt.Sprintf("%q cannot be a machine's name", path[1])
		case len(path) != 3:
			return nil, "", fmt.Sprintf("nobody knows %s; settings of a machine are %s.NAME.KEY", name, machinesSection)
		}
		machine = path[1]
		name = machineSection + "." + path[2]
	}
	if i := slices.IndexFunc(Keys, func(k *Key) bool { return k.Name == name }); i >= 0 {
		return Keys[i], machine, ""
	}
	section, last, _ := strings.Cut(name, ".")
	var known []string
	for _, k := range Keys {
		if within(k.Name, section) {
			known = append(known, strings.TrimPrefix(k.Name, section+"."))
		}
	}
	near := nearest(last, known)
	if near != "" {
		near = strings.Join(append(slices.Clone(path[:len(path)-1]), near), ".")
	}
	return nil, "", fmt.Sprintf("nobody knows %s%s", strings.Join(path, "."), did(near))
}

func bracket(section string) string {
	if section == "" {
		return ""
	}
	return "[" + section + "]"
}

// inSection is the key that somebody meant who forgot its section.
func inSection(name string) string {
	for _, k := range Keys {
		if _, last, _ := strings.Cut(k.Name, "."); last == name {
			return k.Name
		}
	}
	return nearest(name, sections())
}

// Find is the key of that name: machine.memory, machines.NAME.memory.
func Find(name string) (*Key, error) {
	k, _, why := find(strings.Split(name, "."))
	if k == nil {
		return nil, errors.New(why)
	}
	return k, nil
}

// Variable is the environment variable of a key.
func (k *Key) Variable() string {
	return "ARCBOX_" + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

func (c *Config) readEnv(lookup func(string) (string, bool)) error {
	if lookup == nil {
		return nil
	}
	var mistakes []error
	for _, k := range Keys {
		text, ok := lookup(k.Variable())
		if !ok {
			continue
		}
		v, err := k.kind.parse(text)
		if err != nil {
			mistakes = append(mistakes, &Mistake{Text: fmt.Sprintf("cannot use %s=%s: %v", k.Variable(), text, err)})
			continue
		}
		c.set = append(c.set, assignment{k, "", v, Origin{Layer: Environment, Variable: k.Variable()}})
	}
	return errors.Join(mistakes...)
}

func (c *Config) readFlags(flags map[string]string) error {
	var mistakes []error
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		k, machine, why := find(strings.Split(name, "."))
		if k == nil {
			mistakes = append(mistakes, &Mistake{Text: why})
			continue
		}
		v, err := k.kind.parse(flags[name])
		if err != nil {
			mistakes = append(mistakes, &Mistake{Text: fmt.Sprintf("cannot use %s=%s: %v", name, flags[name], err)})
			continue
		}
		c.set = append(c.set, assignment{k, machine, v, Origin{Layer: Flags}})
	}
	return errors.Join(mistakes...)
}

// decides is the assignment that says what a key is for a machine ("" for those
// without settings of their own), nil for the default.
func (c *Config) decides(k *Key, machine string) (best *assignment) {
	rank := func(a *assignment) int {
		switch typed := a.origin.Layer == Environment || a.origin.Layer == Flags; {
		case typed && a.machine != "":
			return 3
		case typed:
			return 2
		case a.machine != "":
			return 1
		}
		return 0
	}
	for i := range c.set {
		a := &c.set[i]
		if a.key == k && (a.machine == "" || a.machine == machine) && (best == nil || rank(a) >= rank(best)) {
			best = a
		}
	}
	return best
}

// settle puts the values of all keys together, for a machine or for all.
func (c *Config) settle(machine string) (s Settings) {
	for _, k := range Keys {
		k.set(&s, c.value(k, machine))
	}
	return s
}

func (c *Config) value(k *Key, machine string) any {
	if a := c.decides(k, machine); a != nil {
		return a.value
	}
	return k.initial(c.host)
}

// For is what the machine called name is to be like.
func (c *Config) For(name string) Machine { return c.settle(name).Machine }

// Machines are the names of machines with settings of their own.
func (c *Config) Machines() []string {
	names := map[string]bool{}
	for _, a := range c.set {
		if a.machine != "" {
			names[a.machine] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// A Value is what a setting is, as people and programs are told.
type Value struct {
	Key    string `json:"key"`
	Value  any    `json:"value"` // sizes in bytes, times in seconds
	Text   string `json:"text"`
	Origin Origin `json:"origin"`
	Effect Effect `json:"effect"`
}

// Get is the value of one setting: machine.memory, machines.NAME.memory.
func (c *Config) Get(name string) (Value, error) {
	k, machine, why := find(strings.Split(name, "."))
	if k == nil {
		return Value{}, errors.New(why)
	}
	return c.valueOf(k, machine), nil
}

func (c *Config) valueOf(k *Key, machine string) Value {
	v := c.value(k, machine)
	name := k.Name
	if machine != "" {
		name = machinesSection + "." + machine + strings.TrimPrefix(k.Name, machineSection)
	}
	out := Value{Key: name, Value: k.kind.plain(v), Text: k.kind.textOf(v), Origin: Origin{Layer: Defaults}, Effect: k.Effect}
	if a := c.decides(k, machine); a != nil {
		out.Origin = a.origin
	}
	return out
}

// All are the values of all settings, and of what single machines have of their own.
func (c *Config) All() (all []Value) {
	for _, k := range Keys {
		all = append(all, c.valueOf(k, ""))
	}
	for _, name := range c.Machines() {
		for _, k := range Keys {
			if slices.ContainsFunc(c.set, func(a assignment) bool { return a.machine == name && a.key == k }) {
				all = append(all, c.valueOf(k, name))
			}
		}
	}
	return all
}

// A Change is a setting that has another value than before.
type Change struct {
	Key    string `json:"key"`
	From   string `json:"from"`
	To     string `json:"to"`
	Effect Effect `json:"effect"`
}

// Changes are the settings that differ between two Configs. One that a machine has of
// its own in either is listed for that machine.
func Changes(before, after *Config) (all []Change) {
	names := append([]string{""}, before.Machines()...)
	for _, n := range after.Machines() {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	for _, name := range names {
		for _, k := range Keys {
			if name != "" && !k.Machine() {
				continue
			}
			from, to := before.valueOf(k, name), after.valueOf(k, name)
			if from.Text != to.Text {
				all = append(all, Change{from.Key, from.Text, to.Text, k.Effect})
			}
		}
	}
	return all
}

// show is a TOML value as somebody wrote it, but not too much of it.
func show(v any) string {
	text := fmt.Sprint(v)
	if s, ok := v.(string); ok {
		text = fmt.Sprintf("%q", s)
	}
	if len(text) > 60 {
		text = text[:57] + "..."
	}
	return text
}
