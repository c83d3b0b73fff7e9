package agent_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// network is what a guest reaches, and what becomes of it when processes of the host die.
func network(t *testing.T, u *user) {
	t.Run("names", func(t *testing.T) {
		if out := u.run("exec", "--", "nslookup", "host.docker.internal"); !strings.Contains(out, "192.168.127.3") {
			t.Errorf("host.docker.internal is %s", out)
		}
	})
	t.Run("datagrams", func(t *testing.T) {
		port := nameServer(t)
		if out := u.run("exec", "--", "nslookup", "-type=a", "echo.test", "192.168.127.3:"+itoa(port)); !strings.Contains(out, "1.2.3.4") {
			t.Errorf("a name server on the host gives %s", out)
		}
	})
	t.Run("a lease", func(t *testing.T) { // which the machine does not need, but a system that it hosts may
		if r := u.try("exec", "--", "busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-s", "/bin/true"); !strings.Contains(r.err, "lease of 192.168.127.2 obtained") {
			t.Errorf("DHCP gives %q", r.out+r.err)
		}
	})
	t.Run("the host's IPv6", func(t *testing.T) {
		l, err := net.Listen("tcp6", "[::1]:0")
		if err != nil {
			t.Skipf("this host has none: %v", err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "six") })}
		go server.Serve(l)
		defer server.Close()
		where := net.JoinHostPort(netapi.HostAddress6, itoa(l.Addr().(*net.TCPAddr).Port))
		if out := u.run("exec", "--", "wget", "-q", "-O", "-", "http://"+where+"/"); out != "six" {
			t.Errorf("the guest gets %q", out)
		}
	})
	size := kit.Rounds(16, 1024) << 20
	t.Run("a transfer there and back", func(t *testing.T) {
		f := newFerry(t, size)
		f.carry(u)
	})
	t.Run("the agent dies in the middle of a transfer", func(t *testing.T) {
		f := newFerry(t, 4<<20)
		f.middle = func() {
			if err := syscall.Kill(u.agentPID(), syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			u.run("exec", "--", "true") // starts the next agent, which adopts the network
		}
		before := u.inspect().NetPID
		f.carry(u)
		if now := u.inspect().NetPID; now != before || before == 0 {
			t.Errorf("the network is process %d, and was %d", now, before)
		}
	})
	t.Run("the network dies", func(t *testing.T) {
		before := u.inspect().NetPID
		flaps := carrierChanges(t, u)
		if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			if now := u.inspect().NetPID; now != 0 && now != before {
				break
			}
			if time.Now().After(end) {
				t.Fatal("nobody started the network again")
			}
		}
		f := newFerry(t, 64<<10)
		f.carry(u)
		if now := carrierChanges(t, u); now <= flaps {
			t.Errorf("the guest has seen its cable change %d times, as before", now)
		}
	})
}

func carrierChanges(t *testing.T, u *user) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(u.run("exec", "--", "cat", "/sys/class/net/eth0/carrier_changes"), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// nameServer answers every question with 1.2.3.4, on a UDP port of the host's loopback.
func nameServer(t *testing.T) (port int) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if n < 12 {
				continue
			}
			b[2] |= 0x80 // an answer
			b[7] = 1     // with one record: the name asked for, A, IN, for a minute
			conn.WriteTo(append(b[:n:n], 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 1, 2, 3, 4), from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// A ferry serves bytes over HTTP on the host's loopback, and takes them back on another port of it.
type ferry struct {
	t      *testing.T
	size   int
	middle func() // called when half of them have been sent; may be nil
	web    net.Listener
	back   net.Listener
}

func newFerry(t *testing.T, size int) *ferry {
	t.Helper()
	f := &ferry{t: t, size: size}
	for _, l := range []*net.Listener{&f.web, &f.back} {
		var err error
		if *l, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*l).Close() })
	}
	return f
}

// freight are the bytes: random, and the same each time.
func freight(size int) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{1}), int64(size))
}

// carry has the guest fetch the bytes and send them back, and compares.
func (f *ferry) carry(u *user) {
	f.t.Helper()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r := freight(f.size)
		w.Header().Set("Content-Length", itoa(f.size))
		io.CopyN(w, r, int64(f.size/2))
		w.(http.Flusher).Flush()
		if f.middle != nil {
			f.middle()
		}
		io.Copy(w, r)
	})}
	go server.Serve(f.web)
	defer server.Close()
	got, size := sha256.New(), make(chan int64, 1)
	go func() {
		c, err := f.back.Accept()
		if err != nil {
			size <- 0
			return
		}
		defer c.Close()
		n, _ := io.Copy(got, c)
		size <- n
	}()
	port := func(l net.Listener) string { return itoa(l.Addr().(*net.TCPAddr).Port) }
	r := u.try("exec", "--", "sh", "-c", "wget -q -O - http://host.docker.internal:"+port(f.web)+"/ | nc host.docker.internal "+port(f.back))
	f.back.Close()
	if r.status != 0 {
		f.t.Fatalf("the guest's transfer: exit %d\n%s%s", r.status, r.out, r.err)
	}
	want := sha256.New()
	io.Copy(want, freight(f.size))
	if n := <-size; n != int64(f.size) || string(got.Sum(nil)) != string(want.Sum(nil)) {
		f.t.Errorf("%d bytes came back of %d, or others", n, f.size)
	}
}
