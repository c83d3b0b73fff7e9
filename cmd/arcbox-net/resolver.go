package main

import (
	"context"
	"errors"
	"log"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
)

const (
	// maxAsking bounds the questions under way: a guest that asks more is told to come again.
	maxAsking = 256
	// answerTime is how long the host's resolver has; guests ask again after 5 s, and give up soon after.
	answerTime = 10 * time.Second
	// maxDatagram bounds an answer over UDP in bytes, whatever a guest says it can take.
	maxDatagram = 4096
	// never is longer than a resolver waits for a question.
	never = 100 * 365 * 24 * time.Hour
)

// An upstream knows the names of the world: the host's resolver.
type upstream interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
	LookupCNAME(ctx context.Context, host string) (string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupNS(ctx context.Context, name string) ([]*net.NS, error)
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// A resolver answers a guest's questions for names: its own, and what the host's resolver knows. TTLs are 0, since the host keeps
// what is worth keeping and its own names change with every container.
type resolver struct {
	up    upstream
	fixed map[string][]netip.Addr // by name in lower case, with a dot at the end
	slots chan struct{}           // one for each question under way

	mu    sync.RWMutex            // guards what follows
	names map[string][]netip.Addr // those below netapi.Domain
}

// newResolver is a resolver that knows the host by its names.
func newResolver(up upstream, host netip.Addr) *resolver {
	fixed := map[string][]netip.Addr{}
	for _, name := range netapi.HostNames {
		fixed[dns.Fqdn(name)] = []netip.Addr{host}
	}
	return &resolver{up: up, fixed: fixed, slots: make(chan struct{}, maxAsking)}
}

// name replaces the names below netapi.Domain. Errors: bad-request, and then nothing has changed.
func (r *resolver) name(all []netapi.Name) error {
	if len(all) > netapi.MaxNames {
		return ipc.Errorf(ipc.BadRequest, "cannot keep %d names: give at most %d", len(all), netapi.MaxNames)
	}
	names := map[string][]netip.Addr{}
	for _, n := range all {
		if err := n.Check(); err != nil {
			return err
		}
		full := dns.CanonicalName(n.Name + "." + netapi.Domain)
		names[full] = append([]netip.Addr{}, names[full]...) // there, with an address or without
		for _, text := range n.Addresses {
			names[full] = append(names[full], netip.MustParseAddr(text).Unmap())
		}
	}
	r.mu.Lock()
	r.names = names
	r.mu.Unlock()
	return nil
}

// serve answers on both until they are closed.
func (r *resolver) serve(packets net.PacketConn, streams net.Listener) {
	// Who waits for a question has no reason to wake up; who has connected and asks nothing is sent away by the library.
	for _, s := range []*dns.Server{{PacketConn: packets, ReadTimeout: never, Handler: r}, {Listener: streams, Handler: r}} {
		go func() {
			if err := s.ActivateAndServe(); err != nil {
				log.Printf("cannot answer DNS any more: %v", err)
			}
		}()
	}
}

// ServeDNS answers one question.
func (r *resolver) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
		ctx, cancel := context.WithTimeout(context.Background(), answerTime)
		defer cancel()
		m.Rcode = r.answer(ctx, m, q.Question[0])
	default:
		m.Rcode = dns.RcodeServerFailure
	}
	room := dns.MaxMsgSize
	if _, ok := w.RemoteAddr().(*net.UDPAddr); ok {
		room = dns.MinMsgSize
		if e := q.IsEdns0(); e != nil {
			room = min(max(room, int(e.UDPSize())), maxDatagram)
			m.SetEdns0(maxDatagram, false)
		}
	}
	m.Truncate(room)
	_ = w.WriteMsg(m) // whom it cannot be told asks again
}

// answer adds what is known to m, and returns how that went.
func (r *resolver) answer(ctx context.Context, m *dns.Msg, q dns.Question) int {
	if q.Qclass != dns.ClassINET {
		return dns.RcodeNotImplemented
	}
	name := dns.CanonicalName(q.Name)
	addrs, ours := r.own(name)
	switch {
	case ours && addrs == nil:
		return dns.RcodeNameError
	case ours:
		addAddresses(m, q, addrs)
		return dns.RcodeSuccess
	}
	head := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET}
	records, err := r.ask(ctx, q, name, head)
	m.Answer = append(m.Answer, records...)
	var e *net.DNSError
	switch {
	case err == nil:
		return dns.RcodeSuccess
	case errors.As(err, &e) && e.IsNotFound:
		return dns.RcodeNameError
	}
	return dns.RcodeServerFailure
}

// own are the addresses of a name that is not for the host's resolver to know.
func (r *resolver) own(name string) (addrs []netip.Addr, ours bool) {
	if addrs, ours = r.fixed[name]; ours {
		return addrs, true
	}
	if !dns.IsSubDomain(netapi.Domain+".", name) {
		return nil, false
	}
	if name == netapi.Domain+"." {
		return []netip.Addr{}, true // it is there, and has no address
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.names[name], true
}

// addAddresses adds those of the kind that is asked for.
func addAddresses(m *dns.Msg, q dns.Question, addrs []netip.Addr) {
	head := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET}
	for _, a := range addrs {
		a = a.Unmap()
		switch {
		case q.Qtype == dns.TypeA && a.Is4():
			m.Answer = append(m.Answer, &dns.A{Hdr: head, A: a.AsSlice()})
		case q.Qtype == dns.TypeAAAA && a.Is6():
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: head, AAAA: a.AsSlice()})
		}
	}
}

// ask asks the host's resolver. Of types that it does not know there is nothing, which is no error.
func (r *resolver) ask(ctx context.Context, q dns.Question, name string, head dns.RR_Header) (records []dns.RR, err error) {
	switch q.Qtype {
	case dns.TypeA, dns.TypeAAAA:
		// Both are asked for: a name that has only addresses of the other kind is none that does not exist.
		addrs, err := r.up.LookupNetIP(ctx, "ip", name)
		m := &dns.Msg{}
		addAddresses(m, q, addrs)
		return m.Answer, err
	case dns.TypePTR:
		return r.reverse(ctx, name, head)
	case dns.TypeCNAME:
		target, err := r.up.LookupCNAME(ctx, name)
		if err == nil && dns.CanonicalName(target) != name { // who is called that is no alias
			records = append(records, &dns.CNAME{Hdr: head, Target: dns.Fqdn(target)})
		}
		return records, err
	case dns.TypeMX:
		all, err := r.up.LookupMX(ctx, name)
		for _, mx := range all {
			records = append(records, &dns.MX{Hdr: head, Mx: dns.Fqdn(mx.Host), Preference: mx.Pref})
		}
		return records, err
	case dns.TypeNS:
		all, err := r.up.LookupNS(ctx, name)
		for _, ns := range all {
			records = append(records, &dns.NS{Hdr: head, Ns: dns.Fqdn(ns.Host)})
		}
		return records, err
	case dns.TypeSRV:
		_, all, err := r.up.LookupSRV(ctx, "", "", name)
		for _, s := range all {
			records = append(records, &dns.SRV{Hdr: head, Priority: s.Priority, Weight: s.Weight, Port: s.Port, Target: dns.Fqdn(s.Target)})
		}
		return records, err
	case dns.TypeTXT:
		all, err := r.up.LookupTXT(ctx, name)
		for _, text := range all {
			records = append(records, &dns.TXT{Hdr: head, Txt: pieces(text)})
		}
		return records, err
	}
	return nil, nil
}

// pieces cuts a text into the strings of a TXT record, which have at most 255 bytes (RFC 1035, 3.3).
func pieces(text string) (all []string) {
	const most = 255
	for len(text) > most {
		all, text = append(all, text[:most]), text[most:]
	}
	return append(all, text)
}

// reverse finds the names of an address, of our own first.
func (r *resolver) reverse(ctx context.Context, name string, head dns.RR_Header) (records []dns.RR, err error) {
	a, ok := addressOf(name)
	if !ok {
		return nil, &net.DNSError{Name: name, IsNotFound: true}
	}
	names := r.named(a)
	if names == nil {
		names, err = r.up.LookupAddr(ctx, a.String())
	}
	for _, n := range names {
		records = append(records, &dns.PTR{Hdr: head, Ptr: dns.Fqdn(n)})
	}
	return records, err
}

// named are our own names of an address.
func (r *resolver) named(a netip.Addr) (names []string) {
	find := func(all map[string][]netip.Addr) {
		for name, addrs := range all {
			for _, b := range addrs {
				if a == b {
					names = append(names, name)
				}
			}
		}
	}
	find(r.fixed)
	r.mu.RLock()
	defer r.mu.RUnlock()
	find(r.names)
	return names
}

// addressOf is the IPv4 address of a name below in-addr.arpa (RFC 1035, 3.5).
func addressOf(name string) (netip.Addr, bool) {
	labels := strings.Split(strings.TrimSuffix(name, ".in-addr.arpa."), ".")
	if !strings.HasSuffix(name, ".in-addr.arpa.") || len(labels) != 4 {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(labels[3] + "." + labels[2] + "." + labels[1] + "." + labels[0])
	return a, err == nil && a.Is4()
}
