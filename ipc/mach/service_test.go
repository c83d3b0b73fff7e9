//go:build macshim && !darwin

package mach_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/mach"
	"github.com/arcboxlabs/arcbox-go/ipc/mach/standin"
)

// serve has an empty server answer at the service until the test ends.
func serve(t *testing.T, l ipc.Listener) {
	s := &ipc.Server{Mux: ipc.NewMux()}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// ping dials and asks for an answer.
func ping(t *testing.T, name, requirement string) error {
	t.Helper()
	c, err := mach.Dial(t.Context(), name, requirement, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = ipc.Call(t.Context(), c, ipc.Ping, &struct{}{})
	return err
}

// wires is a connected pair at a new name.
func wires(t *testing.T) (name string, client, service ipc.Wire) {
	t.Helper()
	name = advertise(t, nil)
	l := listen(t, name)
	t.Cleanup(func() { l.Close() })
	client, err := mach.DialWire(t.Context(), name, "")
	if err != nil {
		t.Fatal(err)
	}
	if service, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); service.Close() })
	return name, client, service
}

// frame is one of n bytes after its header.
func frame(n int) []byte {
	return append([]byte{0, byte(n >> 16), byte(n >> 8), byte(n)}, strings.Repeat("x", n)...)
}

func TestAConnectionStartsTheProgram(t *testing.T) {
	var starts atomic.Int64
	var name string
	name = advertise(t, func() {
		starts.Add(1)
		serve(t, listen(t, name))
	})
	for range 3 {
		if err := ping(t, name, ""); err != nil {
			t.Error(err)
		}
	}
	if n := starts.Load(); n != 1 {
		t.Errorf("the program was started %d times", n)
	}
}

func TestWhoIsThereIsKnown(t *testing.T) {
	_, client, service := wires(t)
	for _, w := range []ipc.Wire{client, service} {
		if p, err := w.Peer(); err != nil || p.UID != os.Geteuid() || p.PID != os.Getpid() || p.Source != "XPC" || p.Token != [8]uint32{} {
			t.Errorf("the peer is %+v, %v", p, err)
		}
	}
}

func TestNobodyOffersIt(t *testing.T) {
	err := ping(t, "com.example.nobody", "")
	if !errors.Is(err, mach.ErrNobody) || !errors.Is(err, ipc.ErrInterrupted) || errors.Is(err, ipc.ErrInvalid) {
		t.Errorf("dialing a name that is not there: %v", err)
	}
	for _, name := range []string{"", "a\x00b"} {
		if _, err := mach.Dial(t.Context(), name, "", nil); err == nil || errors.Is(err, mach.ErrNobody) {
			t.Errorf("dialing %q: %v", name, err)
		}
		if _, err := mach.Listen(name, ""); err == nil {
			t.Errorf("offering %q went well", name)
		}
	}
	l := listen(t, "com.example.nobody")
	defer l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "launchd") {
		t.Errorf("accepting at a name that is not there: %v", err)
	}
}

func TestACallerNeedNotWait(t *testing.T) {
	name := advertise(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel) // nothing tells that it waits
	if _, err := mach.Dial(ctx, name, "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("dialing a program that does not come: %v", err)
	}
	_, client, _ := wires(t)
	var err error
	sent := 0
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for ; err == nil; sent++ {
		err = client.Send(ctx, frame(32<<10), nil)
	}
	if !errors.Is(err, context.DeadlineExceeded) || sent != 9 { // a window's eight, and the error
		t.Errorf("the %d. frame to an end that receives none: %v", sent, err)
	}
}

func TestAnInterruptedConnection(t *testing.T) {
	name, client, service := wires(t)
	standin.Sever(name)
	for _, w := range []ipc.Wire{client, service} {
		if _, _, err := w.Receive(); !errors.Is(err, ipc.ErrInterrupted) {
			t.Errorf("receiving from a process that has ended: %v", err)
		}
		if err := w.Send(t.Context(), frame(1), nil); !errors.Is(err, ipc.ErrInterrupted) {
			t.Errorf("sending to a process that has ended: %v", err)
		}
	}
	// The service is found again, and has nothing of the old connection.
	again, err := mach.DialWire(t.Context(), name, "")
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestAServiceThatIsAboutToBeEnded(t *testing.T) {
	name, client, service := wires(t)
	standin.Terminate(name)
	for _, w := range []ipc.Wire{service, client} {
		if _, _, err := w.Receive(); !errors.Is(err, ipc.ErrInterrupted) {
			t.Errorf("got %v", err)
		}
	}
}

func TestAWithdrawnNameEndsWhoWaits(t *testing.T) {
	standin.Advertise("com.example.leaving", nil)
	time.AfterFunc(20*time.Millisecond, func() { standin.Withdraw("com.example.leaving") })
	if err := ping(t, "com.example.leaving", ""); !errors.Is(err, mach.ErrNobody) {
		t.Errorf("got %v", err)
	}
}

func TestRequirements(t *testing.T) {
	const ours, other = `identifier "com.example.ours"`, `identifier "com.example.other"`
	standin.Sign("com.example.ours")
	tests := []struct {
		name            string
		service, client string // what they demand
		want            error  // of the client
	}{
		{"met by both", ours, ours, nil},
		{"none", "", "", nil},
		{"the service is another program", "", other, ipc.ErrInvalid},
		{"the client is another program", other, "", ipc.ErrInterrupted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := advertise(t, nil)
			l, err := mach.Listen(name, tt.service)
			if err != nil {
				t.Fatal(err)
			}
			serve(t, l)
			if err := ping(t, name, tt.client); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestRequirementsThatCannotBe(t *testing.T) {
	both := func(requirement string, want error) {
		t.Helper()
		_, lerr := mach.Listen("com.example.any", requirement)
		_, derr := mach.Dial(t.Context(), "com.example.any", requirement, nil)
		for _, err := range []error{lerr, derr} {
			if err == nil || want != nil && !errors.Is(err, want) {
				t.Errorf("requirement %q: %v", requirement, err)
			}
		}
	}
	both("whoever likes", nil)
	both("identifier \"x\"\x00", nil)
	standin.SetMacOS(11)
	defer standin.SetMacOS(26)
	both(`identifier "com.example.ours"`, errors.ErrUnsupported)
}

// Whatever a client sends that is none of ours ends its connection, and leaves nothing open.
func TestHostileClients(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	many := make([]*os.File, ipc.MaxFiles+1)
	for i := range many {
		many[i] = null
	}
	tests := []struct {
		name string
		do   func(standin.Raw)
		want error // of the service's end
	}{
		{"an unknown message", func(r standin.Raw) { r.Number("fly", 1, false) }, ipc.ErrInvalid},
		{"an unknown message that wants a reply", func(r standin.Raw) { r.Number("fly", 1, true) }, ipc.ErrInvalid},
		{"a second opening", func(r standin.Raw) { r.Number("open", 1, true) }, ipc.ErrInvalid},
		{"an opening without a reply", func(r standin.Raw) { r.Number("open", 1, false) }, ipc.ErrInvalid},
		{"a frame of another type", func(r standin.Raw) { r.Number("frame", 1, false) }, ipc.ErrInvalid},
		{"an empty frame", func(r standin.Raw) { r.Data("frame", nil) }, ipc.ErrInvalid},
		{"a frame with nothing after its header", func(r standin.Raw) { r.Data("frame", frame(0)) }, ipc.ErrInvalid},
		{"too long a frame", func(r standin.Raw) { r.Data("frame", frame(ipc.MaxFrame+1)) }, ipc.ErrInvalid},
		{"more than the window", func(r standin.Raw) {
			r.Data("frame", frame(ipc.MaxFrame))
			r.Data("frame", frame(1))
		}, ipc.ErrInvalid},
		{"descriptors beyond the window", func(r standin.Raw) {
			r.Data("frame", frame(1), many[:ipc.MaxFiles]...)
			r.Data("frame", frame(1), null)
		}, ipc.ErrInvalid},
		{"too many descriptors", func(r standin.Raw) { r.Data("frame", frame(1), many...) }, ipc.ErrInvalid},
		{"files that are no list", func(r standin.Raw) { r.NoFiles(false) }, ipc.ErrInvalid},
		{"files that are no descriptors", func(r standin.Raw) { r.NoFiles(true) }, ipc.ErrInvalid},
		{"more credit than there is", func(r standin.Raw) { r.Number("credit", 1, false) }, ipc.ErrInvalid},
		{"the most credit", func(r standin.Raw) { r.Number("credit", 1<<63, false) }, ipc.ErrInvalid},
		{"an end", func(r standin.Raw) { r.End() }, io.EOF},
		{"an end, and more", func(r standin.Raw) {
			r.End()
			r.Data("frame", frame(1), null)
		}, io.EOF},
		{"it goes without a word", standin.Raw.Close, ipc.ErrInterrupted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name := advertise(t, nil)
			l := listen(t, name)
			defer l.Close()
			r := standin.Connect(name)
			r.Number("open", 1, true)
			w, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			before := openFiles(t)
			tt.do(r)
			eventually(t, "the connection ends", func() bool { return mach.Ended(w) })
			for err == nil {
				var files []*os.File
				_, files, err = w.Receive()
				for _, f := range files {
					f.Close()
				}
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("the service receives %v, want %v", err, tt.want)
			}
			if tt.name != "it goes without a word" {
				r.Close()
			}
			w.Close()
			eventually(t, "every descriptor is closed", func() bool { return openFiles(t) <= before })
		})
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// eventually waits for what XPC does in its own time.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 500 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("it does not come about that %s", what)
}

// Who does not open its connection as it must is cut off, and keeps nobody out.
func TestClientsThatDoNotOpen(t *testing.T) {
	name := advertise(t, nil)
	l := listen(t, name)
	serve(t, l)
	for _, do := range []func(standin.Raw){
		func(r standin.Raw) { r.Data("frame", frame(1)) },
		func(r standin.Raw) { r.Number("open", 2, true) },
		func(r standin.Raw) { r.Number("open", 0, true) },
	} {
		r := standin.Connect(name)
		do(r)
		defer r.Close()
		eventually(t, "it is cut off", r.Cut)
	}
	r := standin.Connect(name)
	r.End() // as harmless as a first message gets
	eventually(t, "it is counted", func() bool { return mach.Silent(l) == 1 })
	r.Close()
	eventually(t, "it is forgotten", func() bool { return mach.Silent(l) == 0 })
	silent := make([]standin.Raw, mach.Backlog+1)
	for i := range silent {
		silent[i] = standin.Connect(name)
		silent[i].End()
		defer silent[i].Close()
		eventually(t, "it is counted", func() bool { return mach.Silent(l) >= min(i+1, mach.Backlog) })
	}
	eventually(t, "the first has made room for the last", silent[0].Cut)
	if n := mach.Silent(l); n != mach.Backlog || silent[1].Cut() {
		t.Errorf("%d say nothing, %d may", n, mach.Backlog)
	}
	if err := ping(t, name, ""); err != nil {
		t.Error(err)
	}
}

// More than the backlog are turned away until somebody is accepted, in a way that passes.
func TestAFullBacklog(t *testing.T) {
	name := advertise(t, nil)
	l := listen(t, name)
	defer l.Close()
	var clients []ipc.Wire
	defer func() {
		for _, w := range clients {
			w.Close()
		}
	}()
	for range mach.Backlog {
		w, err := mach.DialWire(t.Context(), name, "")
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, w)
	}
	if _, err := mach.DialWire(t.Context(), name, ""); !errors.Is(err, ipc.ErrInterrupted) {
		t.Errorf("one more got %v", err)
	}
	w, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	again, err := mach.DialWire(t.Context(), name, "")
	if err != nil {
		t.Fatal(err)
	}
	clients = append(clients, again)
}

func TestDescriptorsThatTheSystemRefuses(t *testing.T) {
	_, client, service := wires(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	standin.Fail("xpc_fd_create")
	if err := client.Send(t.Context(), frame(1), []*os.File{null}); err == nil {
		t.Error("a descriptor was sent that cannot be")
	}
	standin.Fail("xpc_fd_dup")
	if err := client.Send(t.Context(), frame(1), []*os.File{null}); err != nil {
		t.Error(err)
	}
	if _, _, err := service.Receive(); err == nil {
		t.Error("a frame came without its descriptor")
	}
}

// What is on its way when a wire is closed arrives, however slowly; but nobody waits for ever.
func TestCloseWaitsForWhatIsSent(t *testing.T) {
	_, client, service := wires(t)
	standin.Stall(true)
	defer standin.Stall(false)
	client.Send(t.Context(), frame(1), nil)
	time.AfterFunc(50*time.Millisecond, func() { standin.Stall(false) })
	client.Close()
	if _, _, err := service.Receive(); err != nil {
		t.Error(err)
	}
	if _, _, err := service.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	_, client, service = wires(t)
	standin.Stall(true)
	client.Send(t.Context(), frame(1), nil)
	begun := time.Now()
	client.Close()
	if took := time.Since(begun); took < mach.Linger || took > 10*mach.Linger {
		t.Errorf("Close of a wire whose messages do not leave took %v", took)
	}
	if err := client.Send(t.Context(), frame(1), nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("sending after Close: %v", err)
	}
	if _, _, err := client.Receive(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("receiving after Close: %v", err)
	}
	standin.Stall(false)
	if _, _, err := service.Receive(); !errors.Is(err, ipc.ErrInterrupted) {
		t.Errorf("what was thrown away: %v", err)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	standin.Advertise("com.example.bench", nil)
	defer standin.Withdraw("com.example.bench")
	l, err := mach.Listen("com.example.bench", "")
	if err != nil {
		b.Fatal(err)
	}
	s := &ipc.Server{Mux: ipc.NewMux()}
	go s.Serve(l)
	defer s.Close()
	c, err := mach.Dial(b.Context(), "com.example.bench", "", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ipc.Call(b.Context(), c, ipc.Ping, &struct{}{}); err != nil {
			b.Fatal(err)
		}
	}
}
