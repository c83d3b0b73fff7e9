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

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// copyOut serves guestapi.CopyOut.
func (a *Agent) copyOut(ctx context.Context, req *guestapi.CopyOutReq) (*guestapi.CopyOutResp, error) {
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
	from, err := source(req.Path, req.Follow)
	if err != nil {
		return nil, copyError(err)
	}
	copied, err := pack(data, from, filepath.Base(filepath.Join("/", req.Path)))
	if err == nil {
		err = data.CloseWrite()
	}
	if err != nil {
		return nil, copyError(fmt.Errorf("cannot copy %.200s: %w", req.Path, err))
	}
	return &guestapi.CopyOutResp{Copied: copied}, nil
}

// source is what is to be copied.
func source(from string, follow bool) (string, error) {
	full := filepath.Join("/", from)
	if from == "" || full == "/" || strings.IndexByte(from, 0) >= 0 {
		return "", ipc.Errorf(ipc.BadRequest, "cannot copy %.200q: name something in it", from)
	}
	if follow {
		return filepath.EvalSymlinks(full)
	}
	_, err := os.Lstat(full)
	return full, err
}

// pack writes an archive of a path, which is called name in it.
func pack(archive io.Writer, from, name string) (guestapi.Copied, error) {
	p := packer{w: tar.NewWriter(archive), seen: map[inode]string{}}
	root, err := os.OpenRoot(filepath.Dir(from))
	if err != nil {
		return p.copied, err
	}
	defer root.Close()
	p.root = root
	base := filepath.Base(from)
	info, err := root.Lstat(base)
	if err == nil && info.IsDir() {
		err = fs.WalkDir(root.FS(), base, func(at string, _ fs.DirEntry, err error) error {
			if err != nil {
				return ifTop(at, err)
			}
			return p.add(at, path.Join(name, strings.TrimPrefix(at, base)))
		})
	} else if err == nil { // a link is not followed, as WalkDir would
		err = p.add(base, name)
	}
	if err == nil {
		err = p.w.Close()
	}
	return p.copied, err
}

// A packer writes files into an archive.
type packer struct {
	root   *os.Root
	w      *tar.Writer
	seen   map[inode]string // files with several names, by what they are
	copied guestapi.Copied
}

// An inode is a file, whatever its names.
type inode struct{ dev, ino uint64 }

// add writes one entry: at is its path, name what it is called. What is no file, directory or link (a
// socket, say) makes no sense elsewhere and is counted only.
func (p *packer) add(at, name string) error {
	info, err := p.root.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return ifTop(at, err) // it went while we walked
	}
	if err != nil {
		return err
	}
	switch info.Mode().Type() {
	case 0:
		return p.addFile(at, name)
	case fs.ModeDir:
		name += "/"
		return p.write(info, name, "")
	case fs.ModeSymlink:
		target, err := p.root.Readlink(at)
		if err != nil {
			return err
		}
		return p.write(info, name, target)
	}
	p.copied.Skipped++
	return ifTop(at, errNoFile)
}

// ifTop is err for what was asked for itself, or if it is more than that something has gone.
func ifTop(at string, err error) error {
	if strings.Contains(at, "/") && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNoFile)) {
		return nil
	}
	return err
}

var errNoFile = errors.New("it is neither a file nor a directory nor a link")

// write writes the header of an entry.
func (p *packer) write(info fs.FileInfo, name, link string) error {
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.Uname, h.Gname, h.Format = name, "", "", tar.FormatPAX
	p.copied.Files++
	return p.w.WriteHeader(h)
}

// addFile writes a file as it is now. It may have become something else since it was looked at.
func (p *packer) addFile(at, name string) error {
	f, err := p.root.OpenFile(at, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return ifTop(at, err)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s changes while it is copied", name)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Nlink > 1 {
		id := inode{stat.Dev, stat.Ino}
		if first, ok := p.seen[id]; ok {
			p.copied.Files++
			return p.w.WriteHeader(&tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: first, Format: tar.FormatPAX})
		}
		p.seen[id] = name
	}
	if err := p.write(info, name, ""); err != nil {
		return err
	}
	n, err := io.CopyN(p.w, f, info.Size())
	p.copied.Bytes += n
	if err == io.EOF {
		return fmt.Errorf("%s became shorter while it was copied", name)
	}
	return err
}
