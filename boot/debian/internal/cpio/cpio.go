// Package cpio writes the "newc" archives that Linux unpacks as an initramfs
// (kernel: Documentation/driver-api/early-userspace/buffer-format.rst).
//
// The same entries give the same bytes: inode numbers count up, times are 0,
// everything belongs to root.
package cpio

import (
	"fmt"
	"io"
	"strings"
)

// File types of Mode, as in <sys/stat.h>.
const (
	Dir     = 0o040000
	Regular = 0o100000
	Symlink = 0o120000
	CharDev = 0o020000

	typeMask = 0o170000
)

// maxSize is what the eight hexadecimal digits of a size hold.
const maxSize = 1<<32 - 1

// An Entry is one file. A directory comes before what is in it.
type Entry struct {
	Name         string // relative, without a leading slash
	Mode         uint32 // file type and permissions
	Data         []byte // of a regular file; of a link its target
	Major, Minor uint32 // of a device
}

// Write writes an archive of entries, ended by the trailer, in their order.
func Write(w io.Writer, entries []Entry) error {
	a := archive{w: w}
	for _, e := range entries {
		if e.Name == "" || strings.HasPrefix(e.Name, "/") || strings.Contains(e.Name, "\x00") {
			return fmt.Errorf("cannot archive %q: not a relative path", e.Name)
		}
		if len(e.Data) > maxSize {
			return fmt.Errorf("cannot archive %s: %d bytes are too many for cpio", e.Name, len(e.Data))
		}
		a.entry(e)
	}
	a.entry(Entry{Name: "TRAILER!!!"})
	return a.err
}

// archive counts inodes and keeps the first error.
type archive struct {
	w     io.Writer
	inode uint32
	err   error
}

func (a *archive) entry(e Entry) {
	a.inode++
	links := 1
	if e.Mode&typeMask == Dir {
		links = 2
	}
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, e.Mode, 0, 0, links, 0, len(e.Data), 0, 0, e.Major, e.Minor, len(e.Name)+1, 0, e.Name)
	a.padded([]byte(header))
	a.padded(e.Data)
}

// padded writes b and zeroes up to a multiple of four bytes.
func (a *archive) padded(b []byte) {
	if a.err == nil {
		_, a.err = a.w.Write(b)
	}
	if n := -len(b) & 3; n > 0 && a.err == nil {
		_, a.err = a.w.Write(make([]byte, n))
	}
}
