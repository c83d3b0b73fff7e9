package vsock

import "sync"

const (
	chunkSize = 32 << 10
	// window is how many bytes of one direction of a connection we hold, and
	// the credit that the guest has: what Linux gives by default.
	window = 256 << 10
	// One more chunk than the window needs, so that the ends are never in the same.
	chunks = window/chunkSize + 1
)

type chunk [chunkSize]byte

var pool = sync.Pool{New: func() any { return new(chunk) }}

// A pipe holds up to window bytes between one writer and one reader. Positions count
// bytes since the beginning. They are guarded by Device.mu; the bytes are not,
// since those between head and tail are the reader's and the others the writer's. So
// both copy without a lock, and take it to move their end.
type pipe struct {
	head, tail uint64
	chunk      [chunks]*chunk // memory only for what is between head and tail
}

func (p *pipe) len() int  { return int(p.tail - p.head) }
func (p *pipe) free() int { return window - p.len() }

// space is memory for the writer at position at, which is tail or beyond: up to n
// bytes, at least one.
func (p *pipe) space(at uint64, n int) []byte {
	i, off := int(at/chunkSize%chunks), int(at%chunkSize)
	if off == 0 {
		p.chunk[i] = pool.Get().(*chunk)
	}
	return p.chunk[i][off:min(chunkSize, off+n)]
}

// data is what the reader finds at position at: up to n bytes, at least one.
func (p *pipe) data(at uint64, n int) []byte {
	i, off := int(at/chunkSize%chunks), int(at%chunkSize)
	return p.chunk[i][off:min(chunkSize, off+n)]
}

// drop frees a chunk that the reader has left by moving from position at by n, no
// further than data went.
func (p *pipe) drop(at uint64, n int) {
	if at%chunkSize+uint64(n) == chunkSize {
		i := at / chunkSize % chunks
		pool.Put(p.chunk[i])
		p.chunk[i] = nil
	}
}
