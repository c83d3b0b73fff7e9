package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/home"
)

// records are the files of all machines in a directory: NAME.json each. What the directory holds at any moment, kill -9
// and power cuts included, is each record as it was or as it is, never half of one.
type records struct{ dir string }

const (
	recordSuffix = ".json"
	asideSuffix  = ".unreadable"
)

func (rs records) path(name string) string { return filepath.Join(rs.dir, name+recordSuffix) }

// A problem is a record that cannot be read.
type problem struct {
	name string // of the machine
	path string // where it is now
	text string // a sentence
}

// stands says whether nobody has mended or removed it.
func (p problem) stands() bool {
	_, err := os.Lstat(p.path)
	return err == nil
}

// load reads all records by name. One that cannot be read is set aside by a rename and reported; it is for a person to
// mend, and no other machine suffers from it.
func (rs records) load() (all []*Record, problems []problem, err error) {
	entries, err := os.ReadDir(rs.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the machine records: %w", err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), recordSuffix)
		switch {
		case strings.HasPrefix(e.Name(), home.TempPrefix):
			os.Remove(filepath.Join(rs.dir, e.Name())) // a write that a kill cut off
		case strings.Contains(e.Name(), asideSuffix):
			name, _, _ := strings.Cut(e.Name(), asideSuffix)
			problems = append(problems, rs.problem(filepath.Join(rs.dir, e.Name()), name, "a record that cannot be read"))
		case ok:
			r, err := rs.read(name)
			if err == nil {
				err = distinct(all, r)
			}
			if err != nil {
				problems = append(problems, rs.setAside(name, err))
				continue
			}
			all = append(all, r)
		}
	}
	return all, problems, nil
}

// distinct refuses a CID that another record has.
func distinct(all []*Record, r *Record) error {
	i := slices.IndexFunc(all, func(o *Record) bool { return o.CID == r.CID })
	if i >= 0 {
		return fmt.Errorf("its cid %d is that of the machine %s", r.CID, all[i].Name)
	}
	return nil
}

// read reads one record. Errors: fs.ErrNotExist.
func (rs records) read(name string) (*Record, error) {
	f, err := os.Open(rs.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return nil, err
	}
	r, err := parseRecord(b)
	if err == nil && r.Name != name {
		err = fmt.Errorf("it is the record of %q", r.Name)
	}
	return r, err
}

// setAside renames a record that cannot be read, and says where it is.
func (rs records) setAside(name string, why error) problem {
	from := rs.path(name)
	to := filepath.Join(rs.dir, name+asideSuffix+"-"+time.Now().UTC().Format("20060102T150405.000"))
	if err := os.Rename(from, to); err != nil {
		return problem{name, from, fmt.Sprintf("the record %s cannot be read (%v), and cannot be set aside: %v", from, why, err)}
	}
	return rs.problem(to, name, fmt.Sprintf("the record %s cannot be read: %v; it", from, why))
}

// problem says what is to be done about a record that was set aside.
func (rs records) problem(path, name, what string) problem {
	const whatToDo = "%s is kept at %s; mend it, rename it to %s and run arcbox agent restart, or remove it"
	return problem{name, path, fmt.Sprintf(whatToDo, what, path, name+recordSuffix)}
}

// write puts a record on the disk: when it returns, the record survives a power cut.
func (rs records) write(r *Record) error {
	b, err := r.encode()
	if err == nil {
		err = home.Replace(rs.path(r.Name), b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot keep the record of %s: %w", r.Name, err)
	}
	return nil
}

// remove forgets a record. One that is gone already is no error.
func (rs records) remove(name string) error {
	err := os.Remove(rs.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = home.SyncDir(rs.dir)
	}
	if err != nil {
		return fmt.Errorf("cannot remove the record of %s: %w", name, err)
	}
	return nil
}

// exists says whether a record's file is there.
func (rs records) exists(name string) bool {
	_, err := os.Lstat(rs.path(name))
	return err == nil
}
