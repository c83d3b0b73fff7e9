// Package owned is for processes that serve one owner at a time and outlive owners: arcbox-vm and
// arcbox-net. The first owner is the connection that the process was started with. When that is lost a
// process with a meeting place is an orphan: it works on, and whoever connects there, is the same user and
// asks to adopt it is the next owner. One without a meeting place ends with its owner; an orphan that
// nobody adopts in time ends too.
//
// The newest owner wins: an agent that hangs and one that was killed are replaced alike.
package owned

import (
	"context"
	"log"
	"os"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
)

// ConnFD is where such a process finds its first owner's connection, a stream socket: the first
// descriptor after the standard three.
const ConnFD = 3

const (
	// maxSessions is how many connections there may be at once: the owner, one that takes
	// over, and some that come to nothing.
	maxSessions = 8
	// adoptTime is how long a connection may take to adopt the process.
	adoptTime = 5 * time.Second
	// goodbye is how long the process waits for its owner to take the last answer.
	goodbye = 2 * time.Second
)

// Hooks are what the process does at the turns of this part of its life. Each may be nil.
type Hooks struct {
	Orphaned func() // the owner is lost, and the next may come
	Adopted  func()
	// Unwanted is called when nobody has adopted the process in time; it ends when the work
	// has ended, or early with ctx, when somebody comes in the last moment.
	Unwanted func(ctx context.Context)
}

// A Keeper knows the owner. Any goroutine may use it. It ends with Close.
type Keeper struct {
	routes func() *ipc.Mux
	hooks  Hooks
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	over   chan struct{}  // closed by Finish
	busy   sync.WaitGroup // goroutines about connections

	mu       sync.Mutex         // guards what follows
	owner    *ipc.Conn          // nil for an orphan
	meeting  *unixsock.Listener // where the next owner connects; nil without
	server   *ipc.Server        // of those who do
	patience time.Duration      // of an orphan
	rescue   context.CancelFunc // ends the wait of an orphan; nil without one
	orphaned time.Time          // since when there is no owner
	closing  bool
	finished bool
}

// New makes a Keeper without an owner. routes makes the methods of one connection.
func New(routes func() *ipc.Mux, hooks Hooks) *Keeper {
	k := &Keeper{routes: routes, hooks: hooks, over: make(chan struct{})}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k
}

// Own makes the first owner's connection of what dial gives.
func (k *Keeper) Own(dial func(*ipc.Mux) (*ipc.Conn, error)) error {
	k.mu.Lock() // handlers wait until the owner is known
	defer k.mu.Unlock()
	conn, err := dial(k.routes())
	if err != nil {
		return err
	}
	k.owner = conn
	k.busy.Go(func() {
		<-conn.Done()
		conn.Close()
		k.left(conn)
	})
	return nil
}

// Inherit is Own of the connection that the process was started with.
func (k *Keeper) Inherit() error {
	return k.Own(func(mux *ipc.Mux) (*ipc.Conn, error) {
		return ipc.FromFile(os.NewFile(ConnFD, "3"), mux)
	})
}

// Serve adds a method that only the owner may call.
func Serve[Req, Resp any](mux *ipc.Mux, k *Keeper, m ipc.Method[Req, Resp], h func(context.Context, *Req) (*Resp, error)) {
	ipc.Handle(mux, m, func(ctx context.Context, req *Req) (*Resp, error) {
		if err := k.owns(ctx); err != nil {
			return nil, err
		}
		return h(ctx, req)
	})
}

// owns says why whoever asks in ctx may not, nil for the owner.
func (k *Keeper) owns(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owner != ipc.ConnOf(ctx) {
		return ipc.Errorf(ipc.WrongState, "cannot do this on a connection that does not own this process; adopt it first")
	}
	return nil
}

// left is called when a connection has ended.
func (k *Keeper) left(conn *ipc.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owner != conn {
		return
	}
	k.owner = nil
	if k.closing {
		return
	}
	if k.meeting == nil {
		k.finish()
		return
	}
	call(k.hooks.Orphaned)
	ctx, cancel := context.WithCancel(k.ctx)
	k.orphaned, k.rescue = time.Now(), cancel
	k.busy.Go(func() {
		defer cancel()
		k.orphan(ctx)
	})
}

func call(hook func()) {
	if hook != nil {
		hook()
	}
}

// orphan waits for an adoption, which ends ctx, and when none comes in time ends the work and then the process.
func (k *Keeper) orphan(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(k.patience):
	}
	log.Printf("nobody adopted this process in %v", k.patience)
	if k.hooks.Unwanted != nil {
		k.hooks.Unwanted(ctx)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owner == nil { // else it was adopted in the last moment, and the owner ends it
		k.finish()
	}
}

// Meet begins to let others adopt the process at the listening socket f, which it takes over. An orphan waits for so long.
// Errors: bad-request when f is no such socket.
func (k *Keeper) Meet(f *os.File, patience time.Duration) error {
	l, err := unixsock.Inherited(f)
	if err != nil {
		return ipc.Errorf(ipc.BadRequest, "cannot meet the next owner: %v", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.meeting, k.patience = l, patience
	k.server = &ipc.Server{
		Mux: k.routes(), Max: maxSessions, MaxEach: maxSessions, Ended: k.left,
		Opened:     func(conn *ipc.Conn) { k.busy.Go(func() { k.hurry(conn) }) },
		TurnedAway: func(_ ipc.Peer, err error) { log.Printf("turned a connection away: %v", err) },
	}
	k.busy.Go(func() {
		err := k.server.Serve(l)
		if k.ctx.Err() == nil {
			log.Printf("this process cannot be adopted any more: %v", err)
		}
	})
	return nil
}

// hurry ends a connection that does not become the owner's in time.
func (k *Keeper) hurry(conn *ipc.Conn) {
	select {
	case <-conn.Done():
		return
	case <-time.After(adoptTime):
	}
	k.mu.Lock()
	owner := k.owner == conn
	k.mu.Unlock()
	if !owner {
		conn.Close()
	}
}

// Adopt makes whoever asks in ctx the owner, and says for how long there was none. Errors: wrong-state when
// the process is about to end.
func (k *Keeper) Adopt(ctx context.Context) (away time.Duration, err error) {
	conn := ipc.ConnOf(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closing {
		return 0, ipc.Errorf(ipc.WrongState, "cannot adopt this process: it is ending")
	}
	if k.rescue != nil {
		k.rescue()
		k.rescue = nil
	}
	before := k.owner
	k.owner = conn
	if before != nil && before != conn {
		k.busy.Go(func() { before.Close() })
	}
	if !k.orphaned.IsZero() {
		away = time.Since(k.orphaned)
		k.orphaned = time.Time{}
	}
	return away, nil
}

// Over is closed when the process is to end: Finish was called, or nobody wants it.
func (k *Keeper) Over() <-chan struct{} { return k.over }

// Finish has the process end. Twice is no error.
func (k *Keeper) Finish() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.finish()
}

// finish is Finish. The caller holds mu.
func (k *Keeper) finish() {
	if !k.finished {
		k.finished = true
		close(k.over)
	}
}

// Close lets nobody in any more, waits for end, which ends the work, lets the owner take its last answers, and
// ends every connection.
func (k *Keeper) Close(end func()) {
	k.mu.Lock()
	k.closing = true
	owner, meeting, server := k.owner, k.meeting, k.server
	k.mu.Unlock()
	k.cancel()
	if meeting != nil {
		meeting.Close()
	}
	end()
	if owner != nil { // it has answers to take, and closes then
		select {
		case <-owner.Done():
		case <-time.After(goodbye):
		}
		owner.Close()
	}
	if server != nil {
		server.Close()
	}
	k.busy.Wait()
}
