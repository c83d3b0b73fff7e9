package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/BurntSushi/toml"

	"github.com/arcboxlabs/arcbox-go/agent/home"
)

// Set changes one setting in the user's file, which is made if there is none, and
// says when that takes effect. Errors: a key that nobody knows, a value that it cannot be, a file
// that is broken.
func (s Sources) Set(name, text string) (Effect, error) {
	k, err := Find(name)
	if err != nil {
		return "", err
	}
	v, err := k.kind.parse(text)
	if err != nil {
		return "", fmt.Errorf("cannot use %s = %s: %w", name, text, err)
	}
	path := toml.Key(strings.Split(name, "."))
	return k.Effect, s.edit(name, func(data []byte) ([]byte, error) {
		return set(data, path, k.kind.literal(v))
	})
}

// Unset removes one setting from the user's file, so that the layers below decide. One
// that is not there is no error, whether anybody knows it or not.
func (s Sources) Unset(name string) (Effect, error) {
	effect := Now
	if k, err := Find(name); err == nil {
		effect = k.Effect
	}
	path := toml.Key(strings.Split(name, "."))
	return effect, s.edit(name, func(data []byte) ([]byte, error) { return unset(data, path) })
}

// edit replaces the user's file by what change makes of it. Two programs that do so at
// once wait for each other.
func (s Sources) edit(name string, change func([]byte) ([]byte, error)) error {
	if s.User == "" {
		return fmt.Errorf("cannot change %s: there is no settings file", name)
	}
	path, err := target(s.User)
	if err != nil {
		return fmt.Errorf("cannot change %s: %w", name, err)
	}
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("cannot change %s: %w", name, err)
	}
	defer unlock()
	data, err := readFile(path)
	if err != nil {
		return err
	}
	if _, err := parse(path, data); err != nil {
		return err // nothing is written into a file that we do not understand
	}
	after, err := change(data)
	if err != nil {
		return fmt.Errorf("cannot change %s in %s: %w; edit the file", name, path, err)
	}
	if bytes.Equal(after, data) {
		return nil
	}
	return replace(path, after)
}

// target is the file that is meant: a link's, not the link, and also of a link to what
// does not exist yet.
func target(path string) (string, error) {
	for range 32 {
		next, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link, or nothing
		}
		if !filepath.IsAbs(next) {
			next = filepath.Join(filepath.Dir(path), next)
		}
		path = next
	}
	return "", fmt.Errorf("%s is a link without an end", path)
}

// lockDir keeps other programs that edit in dir out. The lock ends with the process.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		d.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", dir, err)
	}
	return func() { d.Close() }, nil
}

// replace makes data the file's content at once and for good. The file keeps its mode.
func replace(path string, data []byte) error {
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	if err := home.Replace(path, data, mode); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// set gives a key a value: where it is, or beside its neighbours, or in its section, or in
// a section of its own at the end.
func set(data []byte, path toml.Key, v any) ([]byte, error) {
	line, err := toml.Marshal(map[string]any{"k": v})
	if err != nil {
		return nil, err
	}
	literal := strings.TrimSpace(strings.TrimPrefix(string(line), "k = "))
	eol := "\n"
	if bytes.Contains(data, []byte("\r\n")) {
		eol = "\r\n"
	}
	places := layout(data)
	section := path[:len(path)-1]
	at, text := len(data), ""
	for _, p := range places {
		switch {
		case !p.table && slices.Equal(p.path, path):
			return change(data, p.value, p.valEnd, literal, path, v)
		case !p.table && len(p.path) == len(path) && slices.Equal(p.path[:len(section)], section):
			at, text = p.end, neighbour(data, p)+path[len(section)]+" = "+literal+eol
		case p.table && slices.Equal(p.path, section):
			at, text = p.end, path[len(section)]+" = "+literal+eol
		}
	}
	if text == "" {
		text = "[" + section.String() + "]" + eol + path[len(section)] + " = " + literal + eol
		if len(data) > 0 {
			text = eol + text
		}
	}
	if at > 0 && data[at-1] != '\n' {
		text = eol + text
	}
	return change(data, at, at, text, path, v)
}

// neighbour is what stands in front of the last part of a key: white space, and the
// section where it is written with dots.
func neighbour(data []byte, p statement) string {
	s := scanner{data: data, pos: p.key}
	written := s.keys()
	front := string(data[p.start:p.key])
	if len(written) > 1 {
		front += toml.Key(written[:len(written)-1]).String() + "."
	}
	return front
}

// unset removes a key's lines.
func unset(data []byte, path toml.Key) ([]byte, error) {
	for _, p := range layout(data) {
		if !p.table && slices.Equal(p.path, path) {
			return change(data, p.start, p.end, "", path, nil)
		}
	}
	// It may be in a table in line, which only its owner can take apart.
	if doc, err := parse("", data); err != nil || lookup(doc, path) != nil {
		return nil, errors.New("it stands in the middle of another value")
	}
	return data, nil
}

// change puts text in place of some of data, and checks that the outcome differs in
// that key and in nothing else.
func change(data []byte, from, to int, text string, path toml.Key, v any) ([]byte, error) {
	after := slices.Concat(data[:from], []byte(text), data[to:])
	want, err := parse("", data)
	if err != nil {
		return nil, err
	}
	got, err := parse("", after)
	if err != nil {
		return nil, errors.New("its section is written in a way that cannot be added to")
	}
	one, err := toml.Marshal(map[string]any{"k": v})
	if v == nil {
		one, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	is, err := parse("", one)
	if err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(lookup(got, path), is["k"]) {
		return nil, errors.New("it is written in a way that cannot be changed")
	}
	drop(want, path)
	drop(got, path)
	if !reflect.DeepEqual(want, got) {
		return nil, errors.New("something else would change")
	}
	return after, nil
}

// lookup is what a document has at a path, or nil.
func lookup(doc map[string]any, path toml.Key) any {
	var v any = doc
	for _, k := range path {
		table, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = table[k]
	}
	return v
}

// drop removes a value from a document, and tables that are empty then.
func drop(doc map[string]any, path toml.Key) {
	if len(path) > 1 {
		if sub, ok := doc[path[0]].(map[string]any); ok {
			drop(sub, path[1:])
			if len(sub) == 0 {
				delete(doc, path[0])
			}
		}
		return
	}
	delete(doc, path[0])
}
