package mmu

import "testing"

func TestMemoryIsCutAndJoined(t *testing.T) {
	const k = 0x4000
	buf := make([]byte, 8*k)
	m := (&Memory{}).With(Slot{8 * k, buf[4*k:], Read}).With(Slot{0, buf[:4*k], Read | Write})
	rest, out := m.Without(k, 2*k)
	if len(out) != 1 || out[0].Base != k || len(out[0].Mem) != 2*k || &out[0].Mem[0] != &buf[k] {
		t.Fatalf("taken out: %+v", out)
	}
	tests := []struct {
		pa   uint64
		want *byte // the first byte of what is found, nil for nothing
	}{
		{0, &buf[0]}, {k - 1, &buf[0]}, {k, nil}, {3*k - 1, nil}, {3 * k, &buf[3*k]}, {4 * k, nil},
		{8*k - 1, nil}, {8 * k, &buf[4*k]}, {12*k - 1, &buf[4*k]}, {12 * k, nil}, {^uint64(0), nil},
	}
	for _, tt := range tests {
		s := rest.Find(tt.pa)
		if (s == nil) != (tt.want == nil) || s != nil && &s.Mem[0] != tt.want {
			t.Errorf("Find(%#x) = %+v", tt.pa, s)
		}
	}
	if m.Covers(0, 4*k) != true || m.Covers(0, 5*k) || rest.Covers(0, 2*k) {
		t.Error("Covers is wrong about holes")
	}
	if rest.Overlaps(k, 2*k) || !rest.Overlaps(k, 2*k+1) || !rest.Overlaps(11*k, 5*k) || rest.Overlaps(12*k, k) {
		t.Error("Overlaps is wrong about holes")
	}
}

func TestRemovingAcrossSlots(t *testing.T) {
	const k = 0x4000
	buf := make([]byte, 4*k)
	m := (&Memory{}).With(Slot{0, buf[:2*k], Read}).With(Slot{2 * k, buf[2*k:], Read})
	rest, out := m.Without(k, 2*k)
	if len(out) != 2 || rest.Covers(0, 4*k) || !rest.Covers(0, k) || !rest.Covers(3*k, k) {
		t.Errorf("rest %+v, out %+v", rest, out)
	}
}
