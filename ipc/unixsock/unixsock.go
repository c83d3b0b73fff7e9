// Package unixsock is the Unix socket as a transport of ipc: where a Server listens, how
// a client gets there, and who the kernel says the other end is.
//
// A path may be longer than the 104 or 108 bytes that a socket's address has room for, as
// long as the socket's own name is short.
package unixsock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// ErrInUse: somebody listens at the path.
var ErrInUse = errors.New("somebody is listening there already")

// ErrNobody: there is no socket at the path, or nobody listens on it any more. Somebody
// may later, so it is an ipc.ErrInterrupted as well.
var ErrNobody error = nobody{}

type nobody struct{}

func (nobody) Error() string        { return "nobody is listening there" }
func (nobody) Is(target error) bool { return target == ipc.ErrInterrupted }

// A wire is a connected socket.
type wire struct {
	ipc.Wire
	sock *net.UnixConn
}

// New makes a Wire of a connected socket, which it takes over.
func New(sock *net.UnixConn) ipc.Wire { return &wire{ipc.Bytes(sock), sock} }

// Peer asks the kernel who was at the other end when the connection was made.
func (w *wire) Peer() (ipc.Peer, error) {
	raw, err := w.sock.SyscallConn()
	if err != nil {
		return ipc.Peer{}, err
	}
	var peer ipc.Peer
	if cerr := raw.Control(func(fd uintptr) { peer, err = peerOf(int(fd)) }); cerr != nil {
		err = cerr
	}
	if err != nil {
		return ipc.Peer{}, fmt.Errorf("cannot tell who has connected: %w", err)
	}
	return peer, nil
}

// A Listener is a listening socket.
type Listener struct {
	sock *net.UnixListener
	path string      // to be removed by Close; "" when it is somebody else's
	made fs.FileInfo // what is at path while it is ours
}

// Listen makes a socket at path, for this user alone, in a directory that exists. What a
// process that is gone has left at path is replaced. Errors: ErrInUse (wrapped) when one
// still listens; what else is at path and is no socket is left there.
func Listen(path string) (*Listener, error) {
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %s: %w", path, err)
	}
	return l, nil
}

func listen(path string) (*Listener, error) {
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := clear(path); err != nil {
		return nil, err
	}
	short, done, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer done()
	sock, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, err
	}
	sock.SetUnlinkOnClose(false) // Close knows better
	l := &Listener{sock: sock, path: path}
	if err = os.Chmod(path, 0o600); err == nil {
		l.made, err = os.Lstat(path)
	}
	if err != nil {
		sock.Close()
		return nil, err
	}
	return l, nil
}

// lockDir keeps others that listen in dir waiting, so that two that find the same
// left-over do not remove each other's socket.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}

// clear removes a socket that nobody listens on. macOS says the same of one whose queue is full,
// so a caller whose predecessor may hang must hold a lock of its own that tells.
func clear(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("there is something that is no socket; remove it")
	}
	sock, err := dial(context.Background(), path)
	switch {
	case err == nil:
		sock.Close()
		return ErrInUse
	case errors.Is(err, ErrNobody):
		return os.Remove(path)
	case errors.Is(err, syscall.EAGAIN): // its queue is full: it is there
		return ErrInUse
	}
	return err
}

// Inherited makes a Listener of a listening socket that this process was started with, and
// takes f over. Whatever is at its path stays there.
func Inherited(f *os.File) (*Listener, error) {
	defer f.Close() // FileListener has a copy of its own
	nl, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on descriptor %s: %w", f.Name(), err)
	}
	sock, ok := nl.(*net.UnixListener)
	if !ok {
		nl.Close()
		return nil, fmt.Errorf("cannot listen on descriptor %s: it is a %s socket, not a Unix one", f.Name(), nl.Addr().Network())
	}
	sock.SetUnlinkOnClose(false)
	return &Listener{sock: sock}, nil
}

// File is a copy of the socket's descriptor, for a process that is to go on listening. The
// socket then stays at its path when this process closes the Listener.
func (l *Listener) File() (*os.File, error) {
	f, err := l.sock.File()
	if err == nil {
		l.path = ""
	}
	return f, err
}

// Accept is the ipc.Listener's.
func (l *Listener) Accept() (ipc.Wire, error) {
	sock, err := l.sock.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return New(sock), nil
}

// Plain is the socket for peers that speak something else than ipc, each a *net.UnixConn. To close it is to close l.
func (l *Listener) Plain() net.Listener { return plain{l} }

type plain struct{ *Listener }

func (p plain) Accept() (net.Conn, error) { return p.sock.Accept() }
func (p plain) Addr() net.Addr            { return p.sock.Addr() }

// Close stops listening and removes the socket, if it is still this one.
func (l *Listener) Close() error {
	if l.path == "" {
		return l.sock.Close()
	}
	if unlock, err := lockDir(filepath.Dir(l.path)); err == nil {
		defer unlock()
		if info, err := os.Lstat(l.path); err == nil && os.SameFile(info, l.made) {
			os.Remove(l.path)
		}
	}
	return l.sock.Close()
}

// Dial connects to the socket at path and serves mux there, which may be nil. Only this
// user and root are believed to be who was meant. Errors: ErrNobody (wrapped) when nobody
// listens; ctx's.
func Dial(ctx context.Context, path string, mux *ipc.Mux) (*ipc.Conn, error) {
	sock, err := dialPatiently(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to %s: %w", path, err)
	}
	w := New(sock)
	peer, err := w.Peer()
	if err == nil {
		_, err = ipc.SameUser(peer)
	}
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("cannot trust whoever listens at %s: %w", path, err)
	}
	return ipc.NewConnOver(w, mux), nil
}

// queuePause is how long Dial waits when too many wait to be accepted; nothing tells
// when there is room.
const queuePause = 20 * time.Millisecond

// dialPatiently goes on while the listener's queue is full.
func dialPatiently(ctx context.Context, path string) (*net.UnixConn, error) {
	for {
		sock, err := dial(ctx, path)
		if !errors.Is(err, syscall.EAGAIN) {
			return sock, err
		}
		select {
		case <-time.After(queuePause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func dial(ctx context.Context, path string) (*net.UnixConn, error) {
	short, done, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	sock, err := d.DialContext(ctx, "unix", short)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w", ErrNobody, err)
	case err != nil:
		return nil, err
	}
	return sock.(*net.UnixConn), nil
}

// maxPath is the longest path that a socket's address has room for anywhere we run: 104
// bytes on macOS, 108 on Linux, and one is for the NUL.
const maxPath = 103

// shorten gives a path of at most maxPath bytes that leads to the same place, until done:
// past a link to the directory, since only that can be long.
func shorten(path string) (short string, done func(), err error) {
	if len(path) <= maxPath {
		return path, func() {}, nil
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	links, err := os.MkdirTemp(shortTemp(), "arcbox-")
	if err != nil {
		return "", nil, err
	}
	done = func() { os.RemoveAll(links) }
	link := filepath.Join(links, "d")
	short = filepath.Join(link, filepath.Base(path))
	if err := os.Symlink(dir, link); err != nil {
		done()
		return "", nil, err
	}
	if len(short) > maxPath {
		done()
		return "", nil, fmt.Errorf("the name of a socket has at most %d bytes", maxPath-len(link)-1)
	}
	return short, done, nil
}

// shortTemp is the directory for temporary files, or /tmp where that has a long path.
func shortTemp() string {
	if dir := os.TempDir(); len(dir) <= maxPath/2 {
		return dir
	}
	return "/tmp"
}
