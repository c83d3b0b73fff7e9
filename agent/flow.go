package agent

import (
	"context"
	"io"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// A flow is one caller who follows a log: bytes go to him until he closes the stream or the call ends.
type flow struct {
	*ipc.Stream
	ctx    context.Context // ends when nobody listens any more
	cancel context.CancelFunc
	done   chan struct{} // closed when nothing reads from the stream any more
}

// openFlow takes the stream of a call. end must be called.
func (a *agent) openFlow(ctx context.Context, ss *ipc.Streams, ref ipc.StreamRef) (*flow, error) {
	s, err := ss.Accept(ref)
	if err != nil {
		return nil, err
	}
	f := &flow{Stream: s, done: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(ctx)
	context.AfterFunc(f.ctx, func() { s.Close() }) // ends a write that waits for a reader who has gone
	stop := make(chan struct{})
	context.AfterFunc(f.ctx, func() { close(stop) })
	go func() {
		select {
		case <-a.silent:
			f.cancel()
		case <-stop:
		}
	}()
	go func() {
		defer close(f.done)
		if _, err := io.Copy(io.Discard, s); err != nil {
			f.cancel()
		}
	}()
	return f, nil
}

// end ends the stream; the caller reads all that was sent.
func (f *flow) end() {
	f.CloseWrite()
	f.cancel()
	f.Close()
	<-f.done
}
