package agent

import (
	"context"
	"errors"
	"io"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// A flow is one caller who follows a log: bytes go to him until he closes the stream or the call ends.
type flow struct {
	*ipc.Stream
	ctx    context.Context // ends when nobody listens any more
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when nothing reads from the stream any more
}

// openFlow takes the stream of a call. end must be called.
func (a *agent) openFlow(ctx context.Context, ss *ipc.Streams, ref ipc.StreamRef) (*flow, error) {
	s, err := ss.Accept(ref)
	if err != nil {
		return nil, err
	}
	f := &flow{Stream: s, done: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	context.AfterFunc(f.ctx, func() { s.Close() }) // ends a write that waits for a reader who has gone
	stop := make(chan struct{})
	context.AfterFunc(f.ctx, func() { close(stop) })
	go func() {
		select {
		case <-a.silent:
			f.cancel(errEnding)
		case <-stop:
		}
	}()
	go func() {
		defer close(f.done)
		if _, err := io.Copy(io.Discard, s); err != nil {
			f.cancel(nil)
		}
	}()
	return f, nil
}

// over says how a call ends whose work ended with err: well, when the caller has gone, and with errEnding when the agent ends,
// after which the next one can be asked.
func (f *flow) over(err error) error {
	switch {
	case f.ctx.Err() == nil:
		return err
	case errors.Is(context.Cause(f.ctx), errEnding):
		return errEnding
	}
	return nil
}

// end ends the stream; the caller reads all that was sent.
func (f *flow) end() {
	f.CloseWrite()
	f.cancel(nil)
	f.Close()
	<-f.done
}
