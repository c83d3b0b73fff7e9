package blk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// Request types (section 5.2.6).
const (
	opIn          = 0
	opOut         = 1
	opFlush       = 4
	opGetID       = 8
	opDiscard     = 11
	opWriteZeroes = 13
	// opNone is no type: the chain holds no header.
	opNone = 1<<32 - 1
)

// Status bytes (section 5.2.6).
const (
	statusOK     = 0
	statusIOErr  = 1
	statusUnsupp = 2
	// later: the commit or the hold answers the request.
	later = 0xff
)

const (
	headerLen = 16 // type, reserved, sector
	rangeLen  = 16 // sector, num_sectors, flags
	idLen     = 20 // VIRTIO_BLK_ID_BYTES

	flagUnmap = 1 // of a range: write zeroes may give the blocks back
)

// A request is a chain with its header and its status byte cut off.
type request struct {
	c      *virtio.Chain
	q      *virtio.Queue
	op     uint32
	sector uint64
	status []byte // the last writable byte, in guest memory; nil when there is none
	n      uint32 // bytes written into guest memory, status not counted
}

// parseHeader is struct virtio_blk_req's beginning.
func parseHeader(h *[headerLen]byte) (op uint32, sector uint64) {
	op = binary.LittleEndian.Uint32(h[:])
	if op == opNone {
		op-- // as unknown
	}
	return op, binary.LittleEndian.Uint64(h[8:])
}

// answer finishes the request. used.len counts what was written from the start of the
// writable buffers, so a failed read counts only when it left no gap before the status.
func (d *Device) answer(r request, status byte) {
	if status != statusOK {
		d.stats.Errors.Add(1)
	}
	r.status[0] = status
	r.c.Finish(r.n + 1)
}

// perform does a request that has a status byte, and returns what to put there.
func (s *session) perform(r *request) byte {
	switch r.op {
	case opNone:
		return statusIOErr
	case opIn:
		return s.read(r)
	case opOut:
		return s.write(r)
	case opFlush:
		return s.flush(r)
	case opGetID:
		n, _ := r.c.Write(s.serial[:]) // what fits
		r.n = uint32(n)
		return statusOK
	case opDiscard, opWriteZeroes:
		return s.ranges(r)
	}
	return statusUnsupp
}

// within is where sector starts, if n bytes from there are whole sectors of the disk.
func (s *session) within(sector uint64, n int64) (off int64, ok bool) {
	size := s.capacity.Load()
	if sector > uint64(size)/SectorSize || n%SectorSize != 0 {
		return 0, false
	}
	off = int64(sector) * SectorSize
	return off, n <= size-off
}

func (s *session) read(r *request) byte {
	n := r.c.WriteLen()
	off, ok := s.within(r.sector, n)
	if !ok {
		return statusIOErr
	}
	if err := s.readAll(r.c.Writable(), off, n); err != nil {
		s.failed("read", err)
		return statusIOErr
	}
	return s.moved(r, n)
}

// moved is the status of a read or write that has moved its n bytes.
func (s *session) moved(r *request, n int64) byte {
	if r.op == opIn {
		r.n = uint32(n)
		s.stats.Reads.Add(1)
		s.stats.ReadBytes.Add(uint64(n))
		return statusOK
	}
	s.stats.Writes.Add(1)
	s.stats.WriteBytes.Add(uint64(n))
	return s.written(r)
}

// readAll fills bufs, n bytes in all, from off on.
func (s *session) readAll(bufs [][]byte, off, n int64) error {
	if s.vec != nil && len(bufs) > 1 {
		k, err := s.vec.ReadvAt(bufs, off)
		return short(int64(k), n, err)
	}
	for _, b := range bufs {
		k, err := s.disk.ReadAt(b, off)
		if err := short(int64(k), int64(len(b)), err); err != nil {
			return err
		}
		off += int64(k)
	}
	return nil
}

func (s *session) writeAll(bufs [][]byte, off, n int64) error {
	if s.vec != nil && len(bufs) > 1 {
		k, err := s.vec.WritevAt(bufs, off)
		return short(int64(k), n, err)
	}
	for _, b := range bufs {
		k, err := s.disk.WriteAt(b, off)
		if err := short(int64(k), int64(len(b)), err); err != nil {
			return err
		}
		off += int64(k)
	}
	return nil
}

// short is nil if all bytes moved, whatever err says of the end of the disk.
func short(got, want int64, err error) error {
	if got == want {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("cannot move more than %d of %d bytes: %w", got, want, err)
}

func (s *session) write(r *request) byte {
	n := r.c.ReadLen()
	off, ok := s.within(r.sector, n)
	if !ok || s.opt.ReadOnly {
		return statusIOErr
	}
	if err := s.writeAll(r.c.Readable(), off, n); err != nil {
		return s.refused("write", err, r, s.write)
	}
	return s.moved(r, n)
}

// written is the status of a change that is on the disk. A driver which cannot
// flush takes the answer to mean that it is durable (section 5.2.6.2).
func (s *session) written(r *request) byte {
	if r.q.Has(featFlush) {
		return statusOK
	}
	return s.flush(r)
}

// flush has the request answered by the next Sync to begin.
func (s *session) flush(r *request) byte {
	if s.opt.ReadOnly {
		return statusOK
	}
	if s.opt.InOrder {
		return s.commit.sync(1)
	}
	s.commit.add(*r)
	return later
}

// ranges serves discard and write zeroes. All ranges are looked at before the
// first one is touched.
func (s *session) ranges(r *request) byte {
	var b [maxRanges * rangeLen]byte
	n := r.c.ReadLen()
	if s.opt.ReadOnly || n == 0 || n%rangeLen != 0 || n > int64(len(b)) || r.c.ReadFull(b[:n]) != nil {
		return statusIOErr
	}
	for at := b[:n]; len(at) > 0; at = at[rangeLen:] {
		if st := s.checkRange(r.op, at); st != statusOK {
			return st
		}
	}
	return s.clearAll(r, b[:n])
}

// clearAll punches or zeroes ranges that were checked.
func (s *session) clearAll(r *request, ranges []byte) byte {
	for at := ranges; len(at) > 0; at = at[rangeLen:] {
		if name, err := s.clear(r.op, at); err != nil {
			rest := bytes.Clone(at)
			return s.refused(name, err, r, func(r *request) byte { return s.clearAll(r, rest) })
		}
	}
	if r.op == opDiscard {
		s.stats.Discards.Add(1)
	} else {
		s.stats.Zeroes.Add(1)
	}
	return s.written(r)
}

// parseRange is struct virtio_blk_discard_write_zeroes.
func parseRange(b []byte) (sector uint64, sectors, flags uint32) {
	le := binary.LittleEndian
	return le.Uint64(b), le.Uint32(b[8:]), le.Uint32(b[12:])
}

func (s *session) checkRange(op uint32, b []byte) byte {
	sector, sectors, flags := parseRange(b)
	most := uint32(maxDiscard)
	if op == opWriteZeroes {
		most = maxZeroes
	}
	if flags&^flagUnmap != 0 || (op == opDiscard && flags != 0) {
		return statusUnsupp // section 5.2.6.2
	}
	if _, ok := s.within(sector, int64(sectors)*SectorSize); !ok || sectors > most {
		return statusIOErr
	}
	return statusOK
}

// clear punches or zeroes one range, and says which of them that was.
func (s *session) clear(op uint32, b []byte) (name string, err error) {
	sector, sectors, flags := parseRange(b)
	off, n := int64(sector)*SectorSize, int64(sectors)*SectorSize
	switch {
	case op == opDiscard && n > 0:
		err = s.disk.Punch(off, n)
	case n > 0:
		err = s.disk.Zero(off, n, flags&flagUnmap != 0)
	}
	if op == opDiscard {
		return "discard", err
	}
	return "write zeroes", err
}
