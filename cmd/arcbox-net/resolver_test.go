package main

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
)

// A world is a host's resolver that knows one name of each kind.
type world struct{ blocked chan struct{} } // nil, or what every answer waits for

func (w world) wait(ctx context.Context) {
	if w.blocked != nil {
		select {
		case <-w.blocked:
		case <-ctx.Done():
		}
	}
}

func unknown(name string) error {
	switch name {
	case "broken.example.":
		return &net.DNSError{Name: name, Err: "server misbehaving", IsTemporary: true}
	case "known.example.":
		return nil
	}
	return &net.DNSError{Name: name, Err: "no such host", IsNotFound: true}
}

func (w world) LookupNetIP(ctx context.Context, _, name string) ([]netip.Addr, error) {
	w.wait(ctx)
	if err := unknown(name); err != nil {
		return nil, err
	}
	return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}, nil
}

func (w world) LookupAddr(_ context.Context, addr string) ([]string, error) {
	if addr != "192.0.2.1" {
		return nil, unknown(addr)
	}
	return []string{"known.example."}, nil
}
func (w world) LookupCNAME(_ context.Context, name string) (string, error) {
	return "target.example.", unknown(name)
}
func (w world) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return []*net.MX{{Host: "mail.example.", Pref: 5}}, unknown(name)
}
func (w world) LookupNS(_ context.Context, name string) ([]*net.NS, error) {
	return []*net.NS{{Host: "ns.example."}}, unknown(name)
}
func (w world) LookupSRV(_ context.Context, _, _, name string) (string, []*net.SRV, error) {
	return name, []*net.SRV{{Target: "srv.example.", Port: 1, Priority: 2, Weight: 3}}, unknown(name)
}
func (w world) LookupTXT(_ context.Context, name string) ([]string, error) {
	return []string{strings.Repeat("x", 300)}, unknown(name)
}

// A reply keeps what is answered to somebody.
type reply struct {
	dns.ResponseWriter
	from net.Addr
	got  *dns.Msg
}

func (r *reply) RemoteAddr() net.Addr      { return r.from }
func (r *reply) WriteMsg(m *dns.Msg) error { r.got = m; return nil }

func answered(r *resolver, q *dns.Msg) *dns.Msg {
	to := &reply{from: &net.UDPAddr{}}
	r.ServeDNS(to, q)
	return to.got
}

func ask(r *resolver, name string, kind uint16) *dns.Msg {
	return answered(r, new(dns.Msg).SetQuestion(name, kind))
}

func newTestResolver(w world) *resolver { return newResolver(w, netip.MustParseAddr("192.168.127.3")) }

func TestTheWorldIsAsked(t *testing.T) {
	r := newTestResolver(world{})
	tests := []struct {
		name  string
		kind  uint16
		rcode int
		want  string // the end of the one answer's text
	}{
		{"known.example.", dns.TypeA, dns.RcodeSuccess, "192.0.2.1"},
		{"KNOWN.example.", dns.TypeAAAA, dns.RcodeSuccess, "2001:db8::1"},
		{"known.example.", dns.TypeMX, dns.RcodeSuccess, "5 mail.example."},
		{"known.example.", dns.TypeNS, dns.RcodeSuccess, "ns.example."},
		{"known.example.", dns.TypeSRV, dns.RcodeSuccess, "2 3 1 srv.example."},
		{"known.example.", dns.TypeCNAME, dns.RcodeSuccess, "target.example."},
		{"known.example.", dns.TypeTXT, dns.RcodeSuccess, `"` + strings.Repeat("x", 45) + `"`},
		{"1.2.0.192.in-addr.arpa.", dns.TypePTR, dns.RcodeSuccess, "known.example."},
		{"3.127.168.192.in-addr.arpa.", dns.TypePTR, dns.RcodeSuccess, ".docker.internal."},
		{"known.example.", dns.TypeHINFO, dns.RcodeSuccess, ""},
		{"unknown.example.", dns.TypeA, dns.RcodeNameError, ""},
		{"broken.example.", dns.TypeA, dns.RcodeServerFailure, ""},
		{"unknown.example.", dns.TypePTR, dns.RcodeNameError, ""},
		{netapi.HostName + ".", dns.TypeAAAA, dns.RcodeSuccess, ""}, // it is there, with an address of the other kind
		{"gateway.docker.internal.", dns.TypeA, dns.RcodeSuccess, "192.168.127.3"},
		{"nobody." + netapi.Domain + ".", dns.TypeA, dns.RcodeNameError, ""}, // which the world is not asked for
		{netapi.Domain + ".", dns.TypeA, dns.RcodeSuccess, ""},
	}
	for _, tt := range tests {
		m := ask(r, tt.name, tt.kind)
		var text string
		if len(m.Answer) > 0 {
			text = m.Answer[0].String()
		}
		if m.Rcode != tt.rcode || !strings.HasSuffix(text, tt.want) || (tt.want == "") != (text == "") {
			t.Errorf("%s %s: %s, %q; want %s, %q", dns.TypeToString[tt.kind], tt.name, dns.RcodeToString[m.Rcode], text, dns.RcodeToString[tt.rcode], tt.want)
		}
	}
}

// A guest that asks without end holds no more than is meant for it, and is answered.
func TestQuestionsAreBounded(t *testing.T) {
	blocked := make(chan struct{})
	r := newTestResolver(world{blocked})
	answers := make(chan int, maxAsking)
	for range maxAsking {
		go func() { answers <- ask(r, "known.example.", dns.TypeA).Rcode }()
	}
	for len(r.slots) < maxAsking {
		time.Sleep(time.Millisecond)
	}
	if m := ask(r, "known.example.", dns.TypeA); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("one too many is answered %s", dns.RcodeToString[m.Rcode])
	}
	close(blocked)
	for range maxAsking {
		if rcode := <-answers; rcode != dns.RcodeSuccess {
			t.Errorf("one that waited is answered %s", dns.RcodeToString[rcode])
		}
	}
}

// An answer fits in what the guest has said it can take.
func TestAnswersFit(t *testing.T) {
	r := newTestResolver(world{})
	var many netapi.Name
	many.Name = "many"
	for i := range netapi.MaxAddresses {
		many.Addresses = append(many.Addresses, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String())
	}
	if err := r.name([]netapi.Name{many}); err != nil {
		t.Fatal(err)
	}
	for size, whole := range map[uint16]bool{0: false, 512: false, 4096: true, 65535: true} {
		q := new(dns.Msg).SetQuestion("many.arcbox.local.", dns.TypeA)
		if size > 0 {
			q.SetEdns0(size, false)
		}
		m := answered(r, q)
		if m.Truncated == whole || m.Len() > max(int(size), dns.MinMsgSize) {
			t.Errorf("for %d bytes it has %d, truncated: %v", size, m.Len(), m.Truncated)
		}
	}
}

func FuzzQuestion(f *testing.F) {
	for _, name := range []string{"known.example.", "web.arcbox.local.", "1.2.0.192.in-addr.arpa.", "...in-addr.arpa."} {
		q, _ := new(dns.Msg).SetQuestion(name, dns.TypePTR).Pack()
		f.Add(q)
	}
	r := newTestResolver(world{})
	r.name([]netapi.Name{{Name: "web", Addresses: []string{"172.17.0.2"}}})
	f.Fuzz(func(t *testing.T, text []byte) {
		q := new(dns.Msg)
		if q.Unpack(text) != nil || len(q.Question) != 1 {
			return // the library answers these itself
		}
		m := answered(r, q)
		if m == nil || !m.Response {
			t.Fatalf("%v has no answer", q)
		}
		if _, err := m.Pack(); err != nil {
			t.Fatalf("the answer to %v cannot be sent: %v", q, err)
		}
	})
}
