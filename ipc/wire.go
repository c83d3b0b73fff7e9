package ipc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Wire carries frames between two ends: it is what a transport has to be, and
// ipctest holds every one to it. A frame is what PROTOCOL.md calls one, with its
// header; a Wire need not look into it.
type Wire interface {
	// Send sends one frame and the descriptors that travel with it. Both are borrowed
	// until it returns. Any goroutine may call it. While the peer takes nothing it waits, until
	// ctx ends: what has begun is then sent without it, and Send succeeds. Errors: ctx's,
	// or errors.ErrUnsupported when this transport carries no descriptors, and nothing was sent;
	// after any other nothing more can be sent.
	Send(ctx context.Context, frame []byte, files []*os.File) error
	// Receive waits for the next frame, which stays valid until the next call, and gives
	// the descriptors that have come since the last, which are the caller's also
	// beside an error. Only one goroutine calls it. Errors: io.EOF when the peer has
	// ended between two frames; others when it was lost, or sent what is no frame.
	Receive() (frame []byte, files []*os.File, err error)
	// Peer is who is at the other end, as the kernel says. Error: it does not say.
	Peer() (Peer, error)
	// Close ends both directions, and wakes Send and Receive. Descriptors that came and
	// were not received are closed once Receive has returned.
	Close() error
}

// Bytes makes a Wire of a stream that is read and written at once and whose Close ends
// both. Descriptors travel when it is a *net.UnixConn.
func Bytes(sock io.ReadWriteCloser) Wire {
	w := &byteWire{sock: sock, writing: make(chan struct{}, 1)}
	if w.unix, _ = sock.(*net.UnixConn); w.unix != nil {
		w.oob = make([]byte, syscall.CmsgSpace(4*MaxFiles))
	}
	if s, ok := sock.(syscall.Conn); ok {
		w.raw, _ = s.SyscallConn() // without it there is no attempt
	}
	w.attempt = w.write
	return w
}

// A byteWire cuts a byte stream into frames.
type byteWire struct {
	sock io.ReadWriteCloser
	unix *net.UnixConn // sock, if descriptors can travel on it

	// Owned by the receiving goroutine.
	buf   []byte // received; used bytes of it have been given out
	used  int
	oob   []byte
	files []*os.File // descriptors received and not yet given out

	writing chan struct{}   // holds the token of who sends, for the whole of a frame
	raw     syscall.RawConn // of sock; nil when it has none

	// Owned by who sends.
	out, rights []byte // for attempt to send
	sent        int    // by attempt
	failed      error
	attempt     func(fd uintptr) bool // w.write
}

func (w *byteWire) Peer() (Peer, error) {
	return Peer{}, errors.New("cannot tell who is at the other end of a plain stream of bytes")
}

func (w *byteWire) Close() error {
	err := w.sock.Close()
	w.writing <- struct{}{} // whoever sends has been woken
	<-w.writing
	return err
}

func (w *byteWire) Receive() ([]byte, []*os.File, error) {
	frame, err := w.frame()
	files := w.files
	w.files = nil
	return frame, files, err
}

// frame reads the next one.
func (w *byteWire) frame() ([]byte, error) {
	if err := w.want(headerLen); err != nil {
		return nil, err
	}
	_, n, err := frameHeader(w.buf[w.used:])
	if err != nil {
		return nil, violation("%w", err)
	}
	n += headerLen
	if err := w.want(n); err != nil {
		return nil, err
	}
	frame := w.buf[w.used : w.used+n : w.used+n]
	w.used += n
	return frame, nil
}

// want reads until n bytes wait to be given out.
func (w *byteWire) want(n int) error {
	for len(w.buf)-w.used < n {
		if err := w.read(n); err != nil {
			return err
		}
	}
	return nil
}

// read takes what the stream has and any descriptors. The buffer grows towards n only as
// the bytes come: a peer that announces much and sends nothing holds nothing.
func (w *byteWire) read(n int) error {
	w.buf = append(w.buf[:0], w.buf[w.used:]...)
	w.used = 0
	have := len(w.buf)
	if room := min(max(n, MaxData+2*headerLen), max(2*have, MaxData+2*headerLen)); cap(w.buf) < room {
		w.buf = append(make([]byte, 0, room), w.buf...)
	}
	got, err := w.readSome(w.buf[have:cap(w.buf)])
	w.buf = w.buf[:have+got]
	switch {
	case got > 0:
		return nil // an error will come again
	case err == nil || errors.Is(err, io.EOF):
		if have > 0 {
			return io.ErrUnexpectedEOF
		}
		return io.EOF
	}
	return err
}

// readSome is one read of the stream, which on a Unix socket may bring
// descriptors. No byte and no error is the end.
func (w *byteWire) readSome(p []byte) (int, error) {
	if w.unix == nil {
		return w.sock.Read(p)
	}
	n, oobn, flags, _, err := w.unix.ReadMsgUnix(p, w.oob)
	if oobn > 0 {
		if cerr := w.claim(w.oob[:oobn]); cerr != nil {
			return 0, cerr
		}
	}
	if flags&syscall.MSG_CTRUNC != 0 {
		return 0, violation("descriptors were cut off on their way")
	}
	return max(n, 0), err
}

// claim takes ownership of the descriptors in a control message. It goes on
// after an error so that none is leaked.
func (w *byteWire) claim(oob []byte) error {
	cms, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return violation("bad control message: %w", err)
	}
	for i := range cms {
		fds, err := syscall.ParseUnixRights(&cms[i])
		if err != nil {
			return violation("bad control message: %w", err)
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd) // Linux did so on arrival, macOS cannot
			w.files = append(w.files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return tooMany(w.files)
}

// tooMany is the violation of a peer that sends descriptors and no messages for them.
func tooMany(files []*os.File) error {
	if len(files) > 2*MaxFiles {
		return violation("%d descriptors wait for their messages; at most %d may", len(files), 2*MaxFiles)
	}
	return nil
}

// Send has the descriptors travel with the first byte of the frame.
func (w *byteWire) Send(ctx context.Context, frame []byte, files []*os.File) error {
	if len(files) > 0 && w.unix == nil {
		return errors.ErrUnsupported
	}
	select {
	case w.writing <- struct{}{}:
	default:
		select {
		case w.writing <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	n, err := w.try(frame, files)
	if n > 0 {
		frame, files = frame[n:], nil
	}
	if err != nil || len(frame) == 0 || ctx.Done() == nil {
		if err == nil && len(frame) > 0 {
			err = w.finish(frame, files)
		}
		<-w.writing
		return err
	}
	return w.finishFor(ctx, frame, files)
}

// try sends what the peer takes at once.
func (w *byteWire) try(frame []byte, files []*os.File) (int, error) {
	if w.raw == nil {
		return 0, nil
	}
	w.out, w.rights, w.sent, w.failed = frame, rights(files), 0, nil
	err := w.raw.Write(w.attempt)
	w.out = nil
	return w.sent, cmp.Or(err, w.failed)
}

// write is one system call.
func (w *byteWire) write(fd uintptr) bool {
	var n int
	err := error(syscall.EINTR)
	for err == syscall.EINTR {
		if len(w.rights) > 0 {
			n, err = syscall.SendmsgN(int(fd), w.out, w.rights, nil, 0)
		} else {
			n, err = syscall.Write(int(fd), w.out)
		}
	}
	w.sent = max(n, 0)
	if err != syscall.EAGAIN {
		w.failed = err
	}
	return true
}

// rights is the control message that carries files.
func rights(files []*os.File) []byte {
	if len(files) == 0 {
		return nil
	}
	fds := make([]int, len(files))
	for i, file := range files {
		fds[i] = int(file.Fd())
	}
	return syscall.UnixRights(fds...)
}

// finish sends the rest of a frame, however long it takes.
func (w *byteWire) finish(frame []byte, files []*os.File) error {
	if len(files) > 0 {
		n, _, err := w.unix.WriteMsgUnix(frame, rights(files), nil)
		if err != nil {
			return err
		}
		frame = frame[n:]
	}
	n, err := w.sock.Write(frame)
	if err == nil && n < len(frame) {
		err = io.ErrShortWrite
	}
	return err
}

// finishFor is finish for a caller who waits until ctx ends.
func (w *byteWire) finishFor(ctx context.Context, frame []byte, files []*os.File) error {
	files, err := duplicate(files)
	if err != nil {
		<-w.writing
		return err
	}
	frame = slices.Clone(frame)
	done := make(chan error, 1)
	go func() {
		err := w.finish(frame, files)
		closeAll(files)
		<-w.writing // Close waits for this
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return nil
	}
}

// duplicate makes copies of files, closed on exec.
func duplicate(files []*os.File) (copies []*os.File, err error) {
	for _, f := range files {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			closeAll(copies)
			return nil, fmt.Errorf("cannot send a descriptor: %w", err)
		}
		copies = append(copies, os.NewFile(uintptr(fd), f.Name()))
	}
	return copies, nil
}

func closeAll(files []*os.File) {
	for _, file := range files {
		if file != nil {
			file.Close()
		}
	}
}
