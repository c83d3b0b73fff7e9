package ipc

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
)

// A packet is a frame that is being sent. Packets are used again.
type packet struct {
	b    []byte
	json *json.Encoder // appends to b
}

// maxKept is how long a frame may be to be kept for the next.
const maxKept = 64 << 10

var packets = sync.Pool{New: func() any {
	f := &packet{}
	f.json = json.NewEncoder(f)
	return f
}}

func newPacket() *packet {
	f := packets.Get().(*packet)
	f.b = append(f.b[:0], 0, 0, 0, 0) // the header
	return f
}

func (f *packet) free() {
	if cap(f.b) <= maxKept {
		packets.Put(f)
	}
}

// Write is the encoder's.
func (f *packet) Write(p []byte) (int, error) {
	f.b = append(f.b, p...)
	return len(p), nil
}

// seal fills in the header.
func (f *packet) seal(kind uint32) {
	binary.BigEndian.PutUint32(f.b, kind<<24|uint32(len(f.b)-headerLen))
}

// packData makes the frame of up to MaxData bytes of a stream.
func packData(stream int32, data []byte) *packet {
	f := newPacket()
	f.b = append(binary.BigEndian.AppendUint32(f.b, uint32(stream)), data...)
	f.seal(kindData)
	return f
}

// pack makes the frame of a message, and is where one that cannot be sent is
// noticed.
func pack(m *message) (*packet, error) {
	m.FDs = len(m.files)
	if err := m.check(); err != nil {
		return nil, err
	}
	f := newPacket()
	err := f.message(m)
	if n := len(f.b) - headerLen; err == nil && n > MaxFrame {
		err = fmt.Errorf("cannot send a message of %d bytes: at most %d are allowed", n, MaxFrame)
	}
	if err != nil {
		f.free()
		return nil, err
	}
	f.seal(kindMessage)
	return f, nil
}

// message writes what json.Marshal would, but the body where it is to be at once.
func (f *packet) message(m *message) error {
	f.b = append(append(append(f.b, `{"type":"`...), m.Type...), '"')
	f.number(`,"id":`, int64(m.ID))
	if m.Method != "" {
		f.b = append(f.b, `,"method":`...)
		if err := f.value(m.Method); err != nil {
			return err
		}
	}
	f.number(`,"timeout_ms":`, m.TimeoutMS)
	f.number(`,"fds":`, int64(m.FDs))
	f.number(`,"stream":`, int64(m.Stream))
	f.number(`,"credit":`, int64(m.Credit))
	f.number(`,"protocol":`, int64(m.Protocol))
	for _, part := range []struct {
		name  string
		there bool
		value any
	}{
		{`,"streams":`, len(m.Streams) > 0, m.Streams},
		{`,"build":`, m.Build != "", m.Build},
		{`,"error":`, m.Error != nil, m.Error},
		{`,"body":`, m.body != nil, m.body},
	} {
		if !part.there {
			continue
		}
		f.b = append(f.b, part.name...)
		if err := f.value(part.value); err != nil {
			return err
		}
	}
	f.b = append(f.b, '}')
	return nil
}

// number writes a field that is absent when it is 0.
func (f *packet) number(name string, n int64) {
	if n != 0 {
		f.b = strconv.AppendInt(append(f.b, name...), n, 10)
	}
}

// value writes any value.
func (f *packet) value(v any) error {
	if err := f.json.Encode(v); err != nil {
		f.json = json.NewEncoder(f) // one that failed does not go on
		return err
	}
	f.b = bytes.TrimSuffix(f.b, []byte("\n"))
	return nil
}
