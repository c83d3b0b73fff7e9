package ipc

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
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
	// The first message of each end, and the last of one that will have nothing to
	// do with the other. Every version of the protocol reads these two.
	typeHello   = "hello"
	typeRefused = "refused"
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
	Protocol  int             `json:"protocol,omitempty"` // of a hello
	Build     string          `json:"build,omitempty"`    // of a hello

	body    any // what becomes Body when it is sent
	files   []*os.File
	streams []*Stream // those of Streams
	data    []byte    // of typeData; valid until the next read, as Body is
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
	case typeError, typeRefused:
		if m.Error == nil {
			return fmt.Errorf("an %s message says nothing", m.Type)
		}
	case typeHello:
		if m.Protocol < 1 {
			return fmt.Errorf("a hello speaks protocol %d; they are numbered from 1", m.Protocol)
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

// parse reads one frame. The data of a data frame stay in it.
func parse(frame []byte) (*message, error) {
	kind, n, err := frameHeader(frame)
	if err != nil {
		return nil, err
	}
	text := frame[headerLen:]
	if n != len(text) {
		return nil, fmt.Errorf("a frame of %d bytes says that it has %d", len(text), n)
	}
	switch kind {
	case kindMessage:
		m := new(message)
		if !m.scan(text) {
			*m = message{}
			if err := json.Unmarshal(text, m); err != nil {
				return nil, fmt.Errorf("a frame is not a message: %w", err)
			}
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

// headerLen is how long a frame's header is.
const headerLen = 4

// frameHeader reads the kind of a frame and how many bytes follow its header.
func frameHeader(frame []byte) (kind byte, n int, err error) {
	if len(frame) < headerLen {
		return 0, 0, fmt.Errorf("a frame of %d bytes has no room for its header", len(frame))
	}
	kind, n = frame[0], int(binary.BigEndian.Uint32(frame)&0xff_ffff)
	if n == 0 || n > MaxFrame {
		return 0, 0, fmt.Errorf("a frame of %d bytes; 1 to %d are allowed", n, MaxFrame)
	}
	return kind, n, nil
}
