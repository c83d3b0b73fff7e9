package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// isHostError tells a failure of this host's files from one of the stream.
func isHostError(err error) bool {
	var p *fs.PathError
	var l *os.LinkError
	return errors.As(err, &p) || errors.As(err, &l) || errors.Is(err, errForeign)
}

// packTree writes root and what is below it as a tar archive whose one top entry has root's last name.
func packTree(to io.Writer, root string, follow bool) error {
	abs, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	top := filepath.Base(abs)
	if follow {
		if abs, err = filepath.EvalSymlinks(abs); err != nil {
			return err
		}
	}
	w := tar.NewWriter(to)
	err = filepath.WalkDir(abs, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(abs, p)
		if err != nil {
			return err
		}
		return packOne(w, p, path.Join(top, filepath.ToSlash(rel)), d)
	})
	if err != nil {
		return err
	}
	return w.Close()
}

// packOne writes one file, directory or link; sockets, pipes and devices are left out.
func packOne(w *tar.Writer, p, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	link := ""
	switch info.Mode().Type() {
	case 0, fs.ModeDir:
	case fs.ModeSymlink:
		if link, err = os.Readlink(p); err != nil {
			return err
		}
	default:
		return nil
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name = name
	h.Uid, h.Gid, h.Uname, h.Gname = 0, 0, "", ""
	if info.IsDir() {
		h.Name += "/"
	}
	if !info.Mode().IsRegular() {
		return w.WriteHeader(h)
	}
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(w, io.LimitReader(f, h.Size)) // one that grows meanwhile is cut
	if err == nil && n < h.Size {
		err = &fs.PathError{Op: "read", Path: p, Err: io.ErrUnexpectedEOF}
	}
	return err
}

// errForeign: an archive has what it should not. It comes from a guest, which is hostile.
var errForeign = errors.New("the machine sent what was not asked for")

// An unpacking is a tree that comes out of an archive, inside one directory that it cannot leave.
type unpacking struct {
	root   *os.Root
	top    string // name of the archive's one top entry
	as     string // what it becomes
	dirs   []*tar.Header
	copied guestapi.Copied
}

// unpackTree unpacks an archive whose one top entry is top: into to if that is a directory, else as to.
func unpackTree(from io.Reader, top, to string, mustBeDir bool) (guestapi.Copied, error) {
	u := unpacking{top: top}
	dir := to
	info, err := os.Stat(to)
	switch {
	case err == nil && info.IsDir():
		u.as = top
	case mustBeDir:
		return u.copied, &fs.PathError{Op: "copy into", Path: to, Err: errors.New("it is not a directory")}
	default:
		dir, u.as = filepath.Dir(to), filepath.Base(to)
	}
	if u.as == "/" || u.as == "." {
		u.as = "root" // of a guest's whole tree
	}
	if u.root, err = os.OpenRoot(dir); err != nil {
		return u.copied, err
	}
	defer u.root.Close()
	r := tar.NewReader(from)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return u.copied, u.finish()
		}
		if err == nil {
			err = u.entry(h, r)
		}
		if err != nil {
			return u.copied, err
		}
	}
}

// rename is where an entry of the archive goes.
func (u *unpacking) rename(name string) (string, error) {
	clean := path.Clean(name)
	first, rest, _ := strings.Cut(clean, "/")
	if u.top == "/" {
		first, rest = "/", strings.TrimPrefix(clean, "/")
	}
	if first != u.top || !filepath.IsLocal(filepath.FromSlash(path.Join(u.as, rest))) {
		return "", fmt.Errorf("cannot unpack %q: %w", name, errForeign)
	}
	return filepath.Join(u.as, filepath.FromSlash(rest)), nil
}

func (u *unpacking) entry(h *tar.Header, content io.Reader) error {
	name, err := u.rename(h.Name)
	if err != nil {
		return err
	}
	for key := range h.PAXRecords { // a few bytes that become terabytes
		if strings.HasPrefix(key, "GNU.sparse.") {
			return fmt.Errorf("cannot unpack %q with holes: %w", h.Name, errForeign)
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		kept := *h
		kept.Name = name
		u.dirs = append(u.dirs, &kept)
		if err := u.root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	case tar.TypeReg:
		return u.file(name, h, content)
	case tar.TypeSymlink:
		if err := u.clear(name); err != nil {
			return err
		}
		u.copied.Files++
		return u.root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		old, err := u.rename(h.Linkname)
		if err != nil {
			return err
		}
		if err := u.clear(name); err != nil {
			return err
		}
		u.copied.Files++
		return u.root.Link(old, name)
	}
	return nil // devices and pipes are the guest's own
}

// clear removes a file that is to be replaced, so that nothing is written through a link.
func (u *unpacking) clear(name string) error {
	info, err := u.root.Lstat(name)
	if err != nil || info.IsDir() {
		return nil // what follows says what is wrong
	}
	return u.root.Remove(name)
}

func (u *unpacking) file(name string, h *tar.Header, content io.Reader) error {
	if err := u.clear(name); err != nil {
		return err
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, content)
	u.copied.Files++
	u.copied.Bytes += n
	if err := errors.Join(err, f.Chmod(h.FileInfo().Mode().Perm()), f.Close()); err != nil {
		return err
	}
	return u.root.Chtimes(name, h.ModTime, h.ModTime)
}

// finish gives directories what would have been in the way before, the inner ones first.
func (u *unpacking) finish() error {
	for _, h := range slices.Backward(u.dirs) {
		if err := errors.Join(u.root.Chmod(h.Name, h.FileInfo().Mode().Perm()), u.root.Chtimes(h.Name, h.ModTime, h.ModTime)); err != nil {
			return err
		}
	}
	return nil
}
