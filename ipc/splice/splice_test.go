package splice

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// joined are the outer ends of two pairs whose inner ones are joined.
func joined(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	a, x := pair(t)
	y, b := pair(t)
	var done sync.WaitGroup
	done.Go(func() {
		defer x.Close()
		defer y.Close()
		Both(struct{ Half }{x}, struct{ Half }{y}) // nothing else than what is promised
	})
	t.Cleanup(func() {
		a.Close()
		b.Close()
		done.Wait()
	})
	return a, b
}

func pair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn), d.(*net.UnixConn)
}

// Bytes come as they were sent, in pieces of any size, and one end may end while the other goes on.
func TestBytesBothWays(t *testing.T) {
	a, b := joined(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{1}).Read(data)
	send := func(c *net.UnixConn) {
		for rest := data; len(rest) > 0; {
			n := min(len(rest), 1+rnd.IntN([]int{10, 3000, 200_000}[rnd.IntN(3)]))
			if _, err := c.Write(rest[:n]); err != nil {
				t.Error(err)
				return
			}
			rest = rest[n:]
		}
		c.CloseWrite()
	}
	for _, way := range [][2]*net.UnixConn{{a, b}, {b, a}} { // the second after the first has ended
		var sent sync.WaitGroup
		sent.Go(func() { send(way[0]) })
		if got, err := io.ReadAll(way[1]); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes came of %d, or others: %v", len(got), len(data), err)
		}
		sent.Wait()
	}
}

// Where one end is lost the other hears of it.
func TestALostEnd(t *testing.T) {
	a, b := joined(t)
	b.Close()
	for { // until the loss has come through
		if _, err := a.Write([]byte("x")); err != nil {
			break
		}
	}
	if _, err := io.ReadAll(a); err != nil {
		t.Logf("and reading says %v", err)
	}
}

// Streams that wait cost little: thousands of clients do.
func TestWhatWaitsIsSmall(t *testing.T) {
	const n = 200
	for range n {
		a, b := joined(t)
		for range 2 { // much has been moved, and then a little
			go a.Write(make([]byte, 256<<10))
			if _, err := io.ReadFull(b, make([]byte, 256<<10)); err != nil {
				t.Fatal(err)
			}
		}
		a.Write([]byte("x"))
		io.ReadFull(b, make([]byte, 1))
	}
	runtime.GC()
	runtime.GC() // a pool keeps what it has for one collection
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if each := m.HeapAlloc / n; each > 16<<10 {
		t.Errorf("each of %d joins has %d bytes", n, each)
	}
}
