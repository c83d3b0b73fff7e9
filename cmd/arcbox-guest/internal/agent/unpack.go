//go:build linux

package agent

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// copyIn serves guestapi.CopyIn.
func (a *Agent) copyIn(ctx context.Context, req *guestapi.CopyInReq) (*guestapi.CopyInResp, error) {
	done, err := a.execs.use(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	data, err := req.Accept(req.Data)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	defer context.AfterFunc(ctx, func() { data.Close() })()
	dir, name, err := destination(req.Path)
	if err != nil {
		return nil, copyError(err)
	}
	copied, err := unpack(data, dir, name)
	if err != nil {
		return nil, copyError(fmt.Errorf("cannot copy to %.200s: %w", req.Path, err))
	}
	return &guestapi.CopyInResp{Copied: copied}, nil
}

// copyError gives an error the code that a caller of the copies can expect.
func copyError(err error) error {
	var e *ipc.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return ipc.Errorf(guestapi.NoSpace, "%v", err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return ipc.Errorf(guestapi.NotFound, "%v", err)
	case errors.Is(err, tar.ErrHeader), errors.Is(err, errArchive):
		return ipc.Errorf(ipc.BadRequest, "%v", err)
	}
	return err
}

// destination is the directory into which a copy to a path goes, and the name that it gets
// there, "" for its own.
func destination(to string) (dir, name string, err error) {
	if to == "" || strings.IndexByte(to, 0) >= 0 {
		return "", "", ipc.Errorf(ipc.BadRequest, "cannot copy to %.200q", to)
	}
	full := filepath.Join("/", to)
	info, err := os.Stat(full)
	switch {
	case err == nil && info.IsDir():
		return full, "", nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", "", err
	case strings.HasSuffix(to, "/"):
		return "", "", ipc.Errorf(guestapi.NotFound, "cannot copy to %.200s: there is no such directory", to)
	case err == nil:
		if full, err = filepath.EvalSymlinks(full); err != nil {
			return "", "", err
		}
	}
	return filepath.Dir(full), filepath.Base(full), nil
}

// errArchive: the archive is none of ours.
var errArchive = errors.New("the archive is not one of a copy")

// An unpacker writes the files of an archive below one directory. The kernel holds every path to it, through
// os.Root, whatever links the archive or others make; and below its one entry, since that is opened as a root too.
type unpacker struct {
	root   *os.Root // where the top-level entry goes
	rename string   // the name that it gets, "" for its own
	top    string   // its name in the archive
	tree   *os.Root // the top-level entry, if it is a directory
	open   []*tar.Header
	copied guestapi.Copied
	root0  bool // owners can be given
}

// unpack writes an archive into dir; its one top-level entry gets the name name if that is not "".
func unpack(archive io.Reader, dir, name string) (guestapi.Copied, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return guestapi.Copied{}, err
	}
	defer root.Close()
	u := &unpacker{root: root, rename: name, root0: os.Geteuid() == 0}
	defer func() {
		if u.tree != nil {
			u.tree.Close()
		}
	}()
	r := tar.NewReader(archive)
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return u.copied, err
		}
		if err := u.add(h, r); err != nil {
			return u.copied, err
		}
	}
	if u.top == "" {
		return u.copied, fmt.Errorf("%w: it is empty", errArchive)
	}
	if err := u.leave(""); err != nil {
		return u.copied, err
	}
	_, err = io.Copy(io.Discard, archive) // padding behind the end
	return u.copied, err
}

// add writes one entry.
func (u *unpacker) add(h *tar.Header, content io.Reader) error {
	root, name, err := u.place(h.Name)
	if err != nil {
		return err
	}
	if err := u.leave(name); err != nil {
		return err
	}
	u.copied.Files++
	switch h.Typeflag {
	case tar.TypeDir:
		return u.addDir(root, name, h)
	case tar.TypeReg:
		return u.addFile(root, name, h, content)
	case tar.TypeSymlink:
		return u.addLink(root, name, h)
	case tar.TypeLink:
		return u.addHardLink(root, name, h)
	}
	return fmt.Errorf("%w: %.200s is neither a file nor a directory nor a link", errArchive, h.Name)
}

// place says where an entry belongs. Names below the top-level entry are relative to it.
func (u *unpacker) place(name string) (*os.Root, string, error) {
	clean := path.Clean(name)
	if !filepath.IsLocal(clean) || clean == "." {
		return nil, "", fmt.Errorf("%w: %.200q is no name in it", errArchive, name)
	}
	top, below, deep := strings.Cut(clean, "/")
	if u.top == "" {
		u.top = top
	}
	switch {
	case top != u.top:
		return nil, "", fmt.Errorf("%w: it has both %.200q and %.200q", errArchive, u.top, top)
	case deep && u.tree == nil:
		return nil, "", fmt.Errorf("%w: %.200q comes before its directory", errArchive, name)
	case deep:
		return u.tree, below, nil
	case u.rename != "":
		return u.root, u.rename, nil
	}
	return u.root, top, nil
}

// leave finishes the directories that the next entry is not in: what is put into a directory
// changes its time, and needs the right to write there. Directories of an archive may not
// be entered again; those that are keep what they have.
func (u *unpacker) leave(next string) error {
	for len(u.open) > 0 {
		last := u.open[len(u.open)-1]
		if next != "" && (last.Name == "." || strings.HasPrefix(next, last.Name+"/")) {
			return nil
		}
		u.open = u.open[:len(u.open)-1]
		if err := u.finish(u.tree, last.Name, last); err != nil {
			return err
		}
	}
	return nil
}

// finish gives an entry its owner, mode and time.
func (u *unpacker) finish(root *os.Root, name string, h *tar.Header) error {
	if u.root0 {
		if err := root.Lchown(name, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	if h.Typeflag == tar.TypeSymlink {
		return nil
	}
	if err := root.Chmod(name, h.FileInfo().Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)); err != nil {
		return err
	}
	return root.Chtimes(name, time.Time{}, h.ModTime)
}

func (u *unpacker) addDir(root *os.Root, name string, h *tar.Header) error {
	err := root.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		info, e := root.Lstat(name)
		if e != nil || !info.IsDir() {
			return fmt.Errorf("%.200s is there and is no directory", h.Name)
		}
		err = nil
	}
	if err != nil {
		return err
	}
	kept := *h
	kept.Name = name
	if root == u.root {
		if u.tree != nil {
			return nil // it comes twice
		}
		if u.tree, err = root.OpenRoot(name); err != nil {
			return err
		}
		kept.Name = "."
	}
	u.open = append(u.open, &kept)
	return nil
}

func (u *unpacker) addFile(root *os.Root, name string, h *tar.Header, content io.Reader) error {
	if err := clear(root, name, h); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, content)
	u.copied.Bytes += n
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return u.finish(root, name, h)
}

func (u *unpacker) addLink(root *os.Root, name string, h *tar.Header) error {
	if err := clear(root, name, h); err != nil {
		return err
	}
	if err := root.Symlink(h.Linkname, name); err != nil {
		return err
	}
	return u.finish(root, name, h)
}

// addHardLink links to an earlier entry.
func (u *unpacker) addHardLink(root *os.Root, name string, h *tar.Header) error {
	from, target, err := u.place(h.Linkname)
	if err != nil {
		return err
	}
	if from != root {
		return fmt.Errorf("%w: %.200q is a link to %.200q", errArchive, h.Name, h.Linkname)
	}
	if target == name {
		return fmt.Errorf("%w: %.200q is a link to itself", errArchive, h.Name)
	}
	if err := clear(root, name, h); err != nil {
		return err
	}
	return root.Link(target, name)
}

// clear removes what an entry replaces, as tar does: what others have open or linked stays theirs.
func clear(root *os.Root, name string, h *tar.Header) error {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%.200s is there and is a directory", h.Name)
	}
	return root.Remove(name)
}
