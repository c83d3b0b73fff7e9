package ipc

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
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
	// MaxData is the most bytes of a stream in one frame: short, so that a
	// message never waits long behind one.
	MaxData = 32 << 10
)

// Types of message. The values are on the wire.
const (
	typeCall   = "call"
	typeReply  = "reply"
	typeError  = "error"
	typeCancel = "cancel"
	typeNote   = "note"
	typeCredit = "credit"
	typeEnd    = "end"
	typeReset  = "reset"
	// typeData is never written as text: it is what a data frame becomes.
	typeData = "data"
)

// Kinds of frame: the first byte of its header. The values are on the wire.
const (
	kindMessage = 0
	kindData    = 1
)

// errViolation marks what no peer of ours sends.
var errViolation = errors.New("the peer broke the protocol")

func violation(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errViolation, fmt.Errorf(format, args...))
}

// A message is one frame. FDs is how many descriptors came with it.
type message struct {
	Type      string          `json:"type"`
	ID        uint64          `json:"id,omitempty"`
	Method    string          `json:"method,omitempty"`
	TimeoutMS int64           `json:"timeout_ms,omitempty"`
	Body      json.RawMessage `json:"body,omitempty"`
	Error     *Error          `json:"error,omitempty"`
	FDs       int             `json:"fds,omitempty"`
	Streams   []int32         `json:"streams,omitempty"` // opened by a call
	Stream    int32           `json:"stream,omitempty"`  // positive: the sender opened it
	Credit    int             `json:"credit,omitempty"`

	files   []*os.File
	streams []*Stream // those of Streams
	data    []byte    // of typeData; valid until the next read
}

// check refuses what no peer of ours sends.
func (m *message) check() error {
	switch {
	case m.FDs < 0 || m.FDs > MaxFiles:
		return fmt.Errorf("a message names %d descriptors; at most %d may come along", m.FDs, MaxFiles)
	case m.TimeoutMS < 0:
		return fmt.Errorf("a call gives %d ms as its time limit", m.TimeoutMS)
	case len(m.Streams) > maxCallStreams:
		return fmt.Errorf("a call opens %d streams; at most %d are allowed", len(m.Streams), maxCallStreams)
	case len(m.Streams) > 0 && m.Type != typeCall:
		return fmt.Errorf("a %.20q opens streams; only calls may", m.Type)
	}
	switch m.Type {
	case typeCall, typeNote:
		if m.Method == "" {
			return fmt.Errorf("a %s names no method", m.Type)
		}
	case typeError:
		if m.Error == nil {
			return errors.New("an error says nothing")
		}
	case typeReply, typeCancel:
	case typeCredit, typeEnd, typeReset:
		return m.checkStream()
	default:
		return fmt.Errorf("unknown message type %.20q", m.Type)
	}
	return nil
}

// checkStream is check for a message about one stream.
func (m *message) checkStream() error {
	switch {
	case m.Stream == 0 || m.Stream == math.MinInt32:
		return fmt.Errorf("a %s names stream %d; there is none", m.Type, m.Stream)
	case m.Type == typeCredit && (m.Credit < 1 || m.Credit > Window):
		return fmt.Errorf("a credit of %d bytes; 1 to %d are allowed", m.Credit, Window)
	}
	return nil
}

// parse reads one frame without its header. The data of a data frame stay in
// text.
func parse(kind byte, text []byte) (*message, error) {
	switch kind {
	case kindMessage:
		m := new(message)
		if err := json.Unmarshal(text, m); err != nil {
			return nil, fmt.Errorf("a frame is not a message: %w", err)
		}
		return m, m.check()
	case kindData:
		if len(text) < 5 || len(text) > 4+MaxData {
			return nil, fmt.Errorf("a data frame of %d bytes; 5 to %d are allowed", len(text), 4+MaxData)
		}
		m := &message{Type: typeData, Stream: int32(binary.BigEndian.Uint32(text)), data: text[4:]}
		return m, m.checkStream()
	}
	return nil, fmt.Errorf("a frame of the unknown kind %d", kind)
}

// A framer cuts a byte stream into messages. One goroutine reads; any may
// write.
type framer struct {
	sock io.ReadWriteCloser
	unix *net.UnixConn // sock, if descriptors can travel on it

	// Owned by the reading goroutine.
	buf   []byte // received; used bytes of it have been given out
	used  int
	oob   []byte
	files []*os.File // descriptors received and not yet claimed by a message

	writing sync.Mutex // held for the whole of a frame
	out     []byte     // the data frame being written
}

func newFramer(sock io.ReadWriteCloser) *framer {
	f := &framer{sock: sock}
	if f.unix, _ = sock.(*net.UnixConn); f.unix != nil {
		f.oob = make([]byte, syscall.CmsgSpace(4*MaxFiles))
	}
	return f
}

// read returns the next message; its descriptors are the caller's. io.EOF
// means that the peer closed the stream between two frames.
func (f *framer) read() (*message, error) {
	head, err := f.take(4)
	if err != nil {
		return nil, err
	}
	kind, n := head[0], int(binary.BigEndian.Uint32(head)&0xff_ffff)
	if n == 0 || n > MaxFrame {
		return nil, violation("a frame of %d bytes; at most %d are allowed", n, MaxFrame)
	}
	text, err := f.take(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	m, err := parse(kind, text)
	if err != nil {
		return nil, violation("%w", err)
	}
	if m.FDs > len(f.files) {
		return nil, violation("a message names %d descriptors and %d came", m.FDs, len(f.files))
	}
	m.files, f.files = f.files[:m.FDs:m.FDs], f.files[m.FDs:]
	return m, nil
}

// take returns the next n bytes, which stay valid until the next take.
func (f *framer) take(n int) ([]byte, error) {
	for len(f.buf)-f.used < n {
		if err := f.receive(n); err != nil {
			return nil, err
		}
	}
	text := f.buf[f.used : f.used+n]
	f.used += n
	return text, nil
}

// receive takes what the stream has and any descriptors, with room for at
// least n unused bytes in all.
func (f *framer) receive(n int) error {
	f.buf = append(f.buf[:0], f.buf[f.used:]...)
	f.used = 0
	have := len(f.buf)
	if room := max(n, MaxData+8); cap(f.buf) < room {
		f.buf = append(make([]byte, 0, room), f.buf...)
	}
	got, err := f.readSome(f.buf[have:cap(f.buf)])
	f.buf = f.buf[:have+got]
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
func (f *framer) readSome(p []byte) (int, error) {
	if f.unix == nil {
		return f.sock.Read(p)
	}
	n, oobn, flags, _, err := f.unix.ReadMsgUnix(p, f.oob)
	if oobn > 0 {
		if cerr := f.claim(f.oob[:oobn]); cerr != nil {
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
func (f *framer) claim(oob []byte) error {
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
			f.files = append(f.files, os.NewFile(uintptr(fd), "received"))
		}
	}
	if len(f.files) > 2*MaxFiles {
		return violation("%d descriptors wait for their messages; at most %d may", len(f.files), 2*MaxFiles)
	}
	return nil
}

// pack makes the frame of a message, and is where one that cannot be sent is
// noticed.
func (f *framer) pack(m *message) ([]byte, error) {
	m.FDs = len(m.files)
	if err := m.check(); err != nil {
		return nil, err
	}
	if len(m.files) > 0 && f.unix == nil {
		return nil, fmt.Errorf("cannot send descriptors over a %T: only a Unix socket carries them", f.sock)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if len(text) > MaxFrame {
		return nil, fmt.Errorf("cannot send a message of %d bytes: at most %d are allowed", len(text), MaxFrame)
	}
	return append(binary.BigEndian.AppendUint32(nil, kindMessage<<24|uint32(len(text))), text...), nil
}

// write sends a packed frame with files, which stay the caller's. The
// descriptors travel with the first byte of the frame.
func (f *framer) write(frame []byte, files []*os.File) error {
	fds := make([]int, len(files))
	for i, file := range files {
		fds[i] = int(file.Fd())
	}
	f.writing.Lock()
	defer f.writing.Unlock()
	if len(fds) > 0 {
		n, _, err := f.unix.WriteMsgUnix(frame, syscall.UnixRights(fds...), nil)
		if err != nil {
			return err
		}
		frame = frame[n:]
	}
	return f.writeAll(frame)
}

// writeData sends up to MaxData bytes of a stream.
func (f *framer) writeData(stream int32, data []byte) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	f.out = binary.BigEndian.AppendUint32(f.out[:0], kindData<<24|uint32(4+len(data)))
	f.out = binary.BigEndian.AppendUint32(f.out, uint32(stream))
	f.out = append(f.out, data...)
	return f.writeAll(f.out)
}

func (f *framer) writeAll(p []byte) error {
	n, err := f.sock.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
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
