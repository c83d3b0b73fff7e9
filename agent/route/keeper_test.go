package route

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A table is a host whose n-th call fails, counted from 1, and all up to it if every is set.
type table struct {
	calls, n int
	every    bool
	why      error
	has      []netip.Prefix
	wires    int
}

func (h *table) call() error {
	h.calls++
	if h.calls == h.n || h.every && h.calls < h.n {
		return h.why
	}
	return nil
}

func (h *table) Attach(context.Context) (*Wire, error) {
	if err := h.call(); err != nil {
		return nil, err
	}
	f, err := os.Open(os.DevNull)
	h.wires++
	return &Wire{Name: "arcbox0", File: f}, err
}

func (h *table) Installed(context.Context, string) ([]netip.Prefix, error) {
	return slices.Clone(h.has), h.call()
}

func (h *table) Install(_ context.Context, _ string, p netip.Prefix) error {
	if err := h.call(); err != nil {
		return err
	}
	h.has = append(h.has, p)
	return nil
}

func (h *table) Remove(context.Context, string, netip.Prefix) error { return h.call() }

func (h *table) Changes(ctx context.Context, changed func()) error {
	<-ctx.Done()
	return ctx.Err()
}

// Plug, Unplug and Pass fail in turn like the table's own calls, and so does Admit.
type ends struct {
	h    *table
	name string
	pass []netip.Prefix
}

func (e *ends) Wire(context.Context) (string, netip.Addr, []netip.Prefix, error) {
	return e.name, netip.Addr{}, e.pass, e.h.call()
}

func (e *ends) Plug(_ context.Context, w *Wire, p []netip.Prefix) error {
	if err := e.h.call(); err != nil {
		return err
	}
	e.name, e.pass = w.Name, p
	return nil
}

func (e *ends) Pass(_ context.Context, p []netip.Prefix) error {
	e.pass = p
	return e.h.call()
}

func (e *ends) Unplug(context.Context) error { return e.h.call() }

func (e *ends) Admit(context.Context, netip.Addr, []netip.Prefix) error { return e.h.call() }

// keep runs a keeper on h for a time, and gives what it tells.
func keep(h *table, forSo time.Duration) (told []Event) {
	e := &ends{h: h}
	due := make(chan struct{}, 1)
	ctx, cancel := context.WithTimeout(context.Background(), forSo)
	defer cancel()
	due <- struct{}{}
	k := &Keeper{Host: h, Due: due, Tell: func(e Event) { told = append(told, e) }, Wanted: func() Wanted {
		return Wanted{On: true, Network: e, Guest: e, Subnets: []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16")}}
	}}
	k.Run(ctx, func() bool { return true })
	return told
}

// Whatever fails once is tried again, and told once.
func TestEachFailureIsMended(t *testing.T) {
	for n := 1; ; n++ {
		nothing := false
		synctest.Test(t, func(t *testing.T) {
			h := &table{n: n, why: errors.New("no")}
			told := keep(h, time.Hour)
			nothing = h.calls < n
			if len(h.has) != 1 {
				t.Errorf("after call %d has failed there are %v", n, h.has)
			}
			want := []Kind{Failed, Installed}
			if nothing {
				want = want[1:]
			}
			var got []Kind
			for _, e := range told {
				got = append(got, e.Kind)
			}
			if n > 1 && !slices.Equal(got, want) { // that the network does not answer is told by others
				t.Errorf("after call %d has failed it tells %v", n, told)
			}
		})
		if nothing {
			if n < 6 {
				t.Errorf("there were %d calls", n-1)
			}
			return
		}
	}
}

// Tries become rare; what is refused is not tried again at all, and what works is left alone.
func TestTriesAreRare(t *testing.T) {
	tests := []struct {
		name string
		h    *table
		most int // calls in a day
		told int
	}{
		{"what fails for ever", &table{n: 1 << 30, every: true, why: errors.New("no")}, 24*60 + 10, 0},
		{"what is refused", &table{n: 2, why: ErrRefused}, 2, 1},
		{"what works", &table{}, 6, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := keep(tt.h, 24*time.Hour)
				if tt.h.calls > tt.most || tt.h.calls == 0 || len(told) != tt.told {
					t.Errorf("in a day there were %d calls, want 1 to %d; it tells %v", tt.h.calls, tt.most, told)
				}
			})
		})
	}
}

func TestWhichNetworksAreRouted(t *testing.T) {
	tests := []struct {
		name   string
		says   []string
		want   []string
		mended bool // something was left out
	}{
		{"Docker's own", []string{"172.18.0.0/16", "172.17.0.0/16"}, []string{"172.17.0.0/16", "172.18.0.0/16"}, false},
		{"nothing", nil, nil, false},
		{"one of each private network", []string{"10.1.0.0/24", "100.64.0.0/16", "192.168.0.0/20"}, []string{"10.1.0.0/24", "100.64.0.0/16", "192.168.0.0/20"}, false},
		{"everything", []string{"0.0.0.0/0", "0.0.0.0/1"}, nil, true},
		{"all of 10", []string{"10.0.0.0/8"}, nil, true},
		{"the world's", []string{"8.8.8.0/24", "169.254.0.0/16", "127.0.0.0/16", "224.0.0.0/16"}, nil, true},
		{"machines'", []string{"192.168.127.0/24", "192.168.0.0/16", "192.168.127.64/26"}, nil, true},
		{"one address", []string{"172.17.0.5/32"}, nil, true},
		{"IPv6", []string{"fd00::/64", "::ffff:172.17.0.0/112"}, nil, true},
		{"bits beside the network", []string{"172.17.0.1/16"}, nil, true},
		{"one twice, and a part of it", []string{"172.17.0.0/16", "172.17.0.0/16", "172.17.3.0/24"}, []string{"172.17.0.0/16"}, true},
		{"no networks", []string{"", "x", "172.17.0.0", "172.17.0.0/16/16"}, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var want []netip.Prefix
			for _, text := range tt.want {
				want = append(want, netip.MustParsePrefix(text))
			}
			got, err := Parse(tt.says)
			if !slices.Equal(got, want) || (err != nil) != tt.mended {
				t.Errorf("%v gives %v, %v; want %v", tt.says, got, err, want)
			}
		})
	}
}

// Whatever a guest says, what is routed is private, apart, and not much.
func FuzzParse(f *testing.F) {
	f.Add("172.17.0.0/16", "172.18.0.0/16", 3)
	f.Add("10.0.0.0/8", "::/0", 1)
	f.Add("192.168.127.0/24", "", 200)
	f.Fuzz(func(t *testing.T, a, b string, times int) {
		says := slices.Repeat([]string{a, b}, min(max(times, 0), 100))
		got, err := Parse(says)
		for i, p := range got {
			if Check(p) != nil || p.Overlaps(machines) || p.Bits() < minBits || i > 0 && p.Overlaps(got[i-1]) {
				t.Errorf("%q, %q: %v is routed, of %v", a, b, p, got)
			}
		}
		if len(got) > 2 || err != nil && len(err.Error()) > 64<<10 {
			t.Errorf("%q, %q: %d networks; the error has %d bytes", a, b, len(got), len(err.Error()))
		}
	})
}
