// Package home is where a user's ArcBox keeps its state: ~/.arcbox, or what
// ARCBOX_HOME says. It finds and makes directories and names sockets; what is in
// the directories is for others to say.
package home

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Env is the variable that overrides ~/.arcbox.
const Env = "ARCBOX_HOME"

// What all users of this host share is below SharedEnv's value, in the application bundle, or below sharedDefault: boot
// holds the store of boot assets, the rest is the builders' cache.
const (
	SharedEnv     = "ARCBOX_ASSETS"
	sharedDefault = "/var/cache/arcbox"
)

// maxSocket is the longest path that a Unix socket can have anywhere we run:
// sun_path has 104 bytes on macOS, 108 on Linux, and one is for the NUL.
const maxSocket = 103

// A Home is one user's data directory. Its parts are made when they are first
// asked for.
type Home struct {
	root string // absolute
}

// Find says where the home is. It makes nothing. Errors: neither ARCBOX_HOME nor
// the user's home directory is known.
func Find() (Home, error) {
	root := os.Getenv(Env)
	if root == "" {
		user, err := os.UserHomeDir()
		if err != nil {
			return Home{}, fmt.Errorf("cannot find your home directory: %w; set %s", err, Env)
		}
		root = filepath.Join(user, ".arcbox")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return Home{}, fmt.Errorf("cannot use %s: %w", Env, err)
	}
	return Home{root}, nil
}

// Shared is the directory that all users of this host share. It makes nothing.
func Shared() (string, error) {
	inBundle := ""
	if dir, err := programs(); err == nil {
		inBundle = bundled(dir)
	}
	dir, err := filepath.Abs(cmp.Or(os.Getenv(SharedEnv), inBundle, sharedDefault))
	if err != nil {
		return "", fmt.Errorf("cannot use %s: %w", SharedEnv, err)
	}
	return dir, nil
}

// Root is the data directory itself.
func (h Home) Root() string { return h.root }

// service names the agent of ~/.arcbox.
const service = "com.arcboxlabs.arcboxd"

// Service names the agent to launchd and systemd, and is its Mach service. A home of its own has an agent of its own.
func (h Home) Service() string {
	if user, err := os.UserHomeDir(); err == nil && filepath.Join(user, ".arcbox") == h.root {
		return service
	}
	sum := sha256.Sum256([]byte(h.root))
	return fmt.Sprintf("%s.%x", service, sum[:4])
}

// Run holds sockets and locks, Log logs, Data disk images, Boot boot assets.
func (h Home) Run() string  { return filepath.Join(h.root, "run") }
func (h Home) Log() string  { return filepath.Join(h.root, "log") }
func (h Home) Data() string { return filepath.Join(h.root, "data") }
func (h Home) Boot() string { return filepath.Join(h.root, "boot") }

// Socket is the path for the socket called name, in a directory that exists and
// is the user's alone. That is Run, unless the path would be longer than a
// socket's may be: then it is a directory of the system's temporary one whose name
// follows from the home, so that every process finds it.
func (h Home) Socket(name string) (string, error) {
	dir := h.Run()
	if len(filepath.Join(dir, name)) > maxSocket {
		sum := sha256.Sum256([]byte(h.root))
		dir = filepath.Join(short(), "arcbox-"+strconv.Itoa(os.Getuid())+"-"+fmt.Sprintf("%x", sum[:6]))
	}
	path := filepath.Join(dir, name)
	if len(path) > maxSocket {
		return "", fmt.Errorf("cannot name a socket %q: a socket's path has at most %d bytes", path, maxSocket)
	}
	return path, Make(dir)
}

// short is a directory for temporary files with a short path: macOS's own
// TMPDIR takes 49 bytes, which may be too much as well.
func short() string {
	if dir := os.TempDir(); len(dir) <= 50 {
		return dir
	}
	return "/tmp"
}

// Make makes a directory of a home for this user alone, or checks that it is.
func Make(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return fmt.Errorf("cannot make %s: %w", filepath.Dir(dir), err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot make %s: %w", dir, err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("cannot use %s: %w", dir, err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("cannot use %s: it is not a directory; remove it", dir)
	case !ok || st.Uid != uint32(os.Getuid()):
		return fmt.Errorf("cannot use %s: it belongs to another user; set %s to a directory of your own", dir, Env)
	case info.Mode().Perm()&0o077 != 0:
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("cannot keep others out of %s: %w", dir, err)
		}
	}
	return nil
}
