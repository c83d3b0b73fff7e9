package debian

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// A node is one file of a tree.
type node struct {
	mode fs.FileMode // type and permissions
	data []byte      // of a regular file
	link string      // of a symbolic link
}

// A tree holds files by their path without a leading slash. Paths are those of
// a merged /usr: what a package has in /bin, /sbin or /lib is in /usr.
type tree map[string]node

// maxFile bounds one file of a package, maxTree what is taken from a package,
// in bytes. The largest file that is wanted is the kernel source, 150 MB.
const (
	maxFile = 512 << 20
	maxTree = 1 << 30
)

// merged is the path of a package's file in a tree.
func merged(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	top, _, _ := strings.Cut(name, "/")
	if slices.Contains([]string{"bin", "sbin", "lib"}, top) {
		return "usr/" + name
	}
	return name
}

// addDeb adds the files of a package for which want says yes. dpkg-deb takes
// the compression off.
func (t tree) addDeb(ctx context.Context, file string, want func(name string) bool) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("cannot unpack %s: %w", file, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot unpack %s: %w", file, err)
	}
	err = t.addTar(out, want)
	if err != nil {
		cmd.Process.Kill() // it may be blocked writing to us
	} else {
		_, err = io.Copy(io.Discard, out) // padding after the archive's end
	}
	if e := cmd.Wait(); err == nil && e != nil {
		err = fmt.Errorf("%w: %s", e, lastLines(stderr.String(), 1))
	}
	if err != nil {
		return fmt.Errorf("cannot unpack %s: %w", path.Base(file), err)
	}
	return nil
}

// addTar adds the regular files and links of a tar archive that are wanted.
// Hard links are not followed: no package that we use has one.
func (t tree) addTar(r io.Reader, want func(name string) bool) error {
	var total int64
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := merged(h.Name)
		if !want(name) {
			continue
		}
		switch h.Typeflag {
		case tar.TypeReg:
			if total += h.Size; h.Size > maxFile || total > maxTree {
				return fmt.Errorf("%s makes the package too large", name)
			}
			data := make([]byte, h.Size)
			if _, err := io.ReadFull(archive, data); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			t[name] = node{mode: fs.FileMode(h.Mode & 0o777), data: data}
		case tar.TypeSymlink:
			t[name] = node{mode: fs.ModeSymlink | 0o777, link: h.Linkname}
		}
	}
}

// maxLinks bounds a chain of symbolic links, as the kernel does (40).
const maxLinks = 40

// resolve follows the links from a path to a regular file and returns every
// path on the way, the file's last.
func (t tree) resolve(name string) ([]string, error) {
	var way []string
	for range maxLinks {
		n, ok := t[name]
		if !ok {
			return nil, fmt.Errorf("cannot find %s in the packages", name)
		}
		way = append(way, name)
		if n.mode&fs.ModeSymlink == 0 {
			return way, nil
		}
		if path.IsAbs(n.link) {
			name = merged(n.link)
		} else {
			name = merged(path.Join(path.Dir(name), n.link))
		}
	}
	return nil, fmt.Errorf("cannot follow the links from %s: more than %d", way[0], maxLinks)
}

// addDirs adds the directories that the paths of t need.
func (t tree) addDirs() {
	for name := range t {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, ok := t[dir]; !ok {
				t[dir] = node{mode: fs.ModeDir | 0o755}
			}
		}
	}
}

// names are the paths of t in an order that has each directory before what is
// in it.
func (t tree) names() []string {
	names := make([]string, 0, len(t))
	for name := range t {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
