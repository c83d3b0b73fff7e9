package ipc

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// Bounds on what one peer can make the other hold.
const (
	// MaxFrame is the longest JSON text of a frame in bytes: enough for any
	// machine record or device tree, small enough to hold a few hundred.
	MaxFrame = 1 << 20
	// MaxFiles is how many descriptors one message may carry. Linux allows 253
	// in one control message (SCM_MAX_FD); a VM with every device needs 40.
	MaxFiles = 64
)

// Types of message. The values are on the wire.
const (
	typeCall   = "call"
	typeReply  = "reply"
	typeError  = "error"
	typeCancel = "cancel"
)

// A message is one frame. FDs is how many descriptors came with it.
type message struct {
	Type      string          `json:"type"`
	ID        uint64          `json:"id"`
	Method    string          `json:"method,omitempty"`
	TimeoutMS int64           `json:"timeout_ms,omitempty"`
	Body      json.RawMessage `json:"body,omitempty"`
	Error     *Error          `json:"error,omitempty"`
	FDs       int             `json:"fds,omitempty"`

	files []*os.File
}

// check refuses what no peer of ours sends.
func (m *message) check() error {
	switch {
	case m.FDs < 0 || m.FDs > MaxFiles:
		return fmt.Errorf("a message names %d descriptors; at most %d may come along", m.FDs, MaxFiles)
	case m.TimeoutMS < 0:
		return fmt.Errorf("a call gives %d ms as its time limit", m.TimeoutMS)
	}
	switch m.Type {
	case typeCall:
		if m.Method == "" {
			return errors.New("a call names no method")
		}
	case typeError:
		if m.Error == nil {
			return errors.New("an error says nothing")
		}
	case typeReply, typeCancel:
	default:
		return fmt.Errorf("unknown message type %.20q", m.Type)
	}
	return nil
}

// parse reads the JSON text of a frame.
func parse(text []byte) (*message, error) {
	m := new(message)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("a frame is not a message: %w", err)
	}
	return m, m.check()
}

// A framer cuts a Unix stream into messages. One goroutine reads; any may
// write.
type framer struct {
	sock *net.UnixConn

	// Owned by the reading goroutine.
	buf   []byte // bytes received and not yet used
	oob   []byte
	files []*os.File // descriptors received and not yet claimed by a message

	writing sync.Mutex // held for the whole of a frame
}

func newFramer(sock *net.UnixConn) *framer {
	return &framer{sock: sock, oob: make([]byte, syscall.CmsgSpace(4*MaxFiles))}
}

// read returns the next message; its descriptors are the caller's. io.EOF
// means that the peer closed the stream between two frames.
func (f *framer) read() (*message, error) {
	if err := f.fill(4); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(f.buf))
	if n == 0 || n > MaxFrame {
		return nil, fmt.Errorf("a frame of %d bytes; at most %d are allowed", n, MaxFrame)
	}
	if err := f.fill(4 + n); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	m, err := parse(f.buf[4 : 4+n])
	if err != nil {
		return nil, err
	}
	f.buf = f.buf[4+n:]
	if m.FDs > len(f.files) {
		return nil, fmt.Errorf("a message names %d descriptors and %d came", m.FDs, len(f.files))
	}
	m.files, f.files = f.files[:m.FDs:m.FDs], f.files[m.FDs:]
	return m, nil
}

// fill receives until n bytes are there.
func (f *framer) fill(n int) error {
	for len(f.buf) < n {
		if err := f.receive(max(n-len(f.buf), 4096)); err != nil {
			return err
		}
	}
	return nil
}

// receive takes what the socket has, up to want bytes, and any descriptors.
func (f *framer) receive(want int) error {
	have := len(f.buf)
	f.buf = append(f.buf, make([]byte, want)...)
	n, oobn, flags, _, err := f.sock.ReadMsgUnix(f.buf[have:], f.oob)
	f.buf = f.buf[:have+max(n, 0)]
	if oobn > 0 {
		if cerr := f.claim(f.oob[:oobn]); cerr != nil {
			return cerr
		}
	}
	switch {
	case err != nil:
		return err
	case flags&syscall.MSG_CTRUNC != 0:
		return errors.New("descriptors were cut off on their way")
	case n == 0 && have > 0:
		return io.ErrUnexpectedEOF
	case n == 0:
		return io.EOF
	}
	return nil
}

// claim takes ownership of the descriptors in a control message. It goes on
// after an error so that none is leaked.
func (f *framer) claim(oob []byte) error {
	cms, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return fmt.Errorf("bad control message: %w", err)
	}
	for i := range cms {
		fds, err := syscall.ParseUnixRights(&cms[i])
		if err != nil {
			return fmt.Errorf("bad control message: %w", err)
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd) // Linux did so on arrival, macOS cannot
			f.files = append(f.files, os.NewFile(uintptr(fd), "received"))
		}
	}
	if len(f.files) > 2*MaxFiles {
		return fmt.Errorf("%d descriptors wait for their messages; at most %d may", len(f.files), 2*MaxFiles)
	}
	return nil
}

// write sends m with its files, which stay the caller's. The descriptors
// travel with the first byte of the frame.
func (f *framer) write(m *message) error {
	m.FDs = len(m.files)
	if err := m.check(); err != nil {
		return err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(text) > MaxFrame {
		return fmt.Errorf("cannot send a message of %d bytes: at most %d are allowed", len(text), MaxFrame)
	}
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
	fds := make([]int, len(m.files))
	for i, file := range m.files {
		fds[i] = int(file.Fd())
	}
	f.writing.Lock()
	defer f.writing.Unlock()
	return f.send(frame, fds)
}

func (f *framer) send(frame []byte, fds []int) error {
	if len(fds) > 0 {
		n, _, err := f.sock.WriteMsgUnix(frame, syscall.UnixRights(fds...), nil)
		if err != nil {
			return err
		}
		frame = frame[n:]
	}
	_, err := f.sock.Write(frame) // net.Conn writes all or fails
	return err
}

// close ends the stream and drops descriptors that nobody claimed. The reader
// must have ended.
func (f *framer) close() {
	f.sock.Close()
	closeAll(f.files)
	f.files = nil
}

func closeAll(files []*os.File) {
	for _, file := range files {
		if file != nil {
			file.Close()
		}
	}
}
