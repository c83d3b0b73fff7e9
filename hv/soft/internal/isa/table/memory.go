package table

import (
	"fmt"
	"strings"
)

// A mode is a way to form an address. Its suffix is part of the row's name.
type mode struct {
	suffix, addr string
	back         string // what is written back to the base, if anything
}

// modes are the addressing modes of single loads and stores, in the order that
// the decoder relies on; pairs have the first three.
var modes = []mode{
	{"", "$n + $imm", ""},
	{"Pre", "$n + $imm", "$n = p"},
	{"Post", "$n", "$n = p + $imm"},
	{"RX", "$n + $m<<($sh&7)", ""},
	{"RUW", "$n + uint64(uint32($m))<<($sh&7)", ""},
	{"RSW", "$n + uint64(int64(int32($m)))<<($sh&7)", ""},
}

// A unit is what one register of a load or store takes.
type unit struct {
	name   string
	size   int
	conv   string // load: turns v, of the unit's width, into the register
	signed bool
	wide   bool
}

var loads = []unit{
	{"LDRB", 1, "uint64(v)", false, false},
	{"LDRH", 2, "uint64(v)", false, false},
	{"LDRW", 4, "uint64(v)", false, false},
	{"LDRX", 8, "v", false, true},
	{"LDRSB32", 1, "uint64(uint32(int8(v)))", true, false},
	{"LDRSB64", 1, "uint64(int8(v))", true, true},
	{"LDRSH32", 2, "uint64(uint32(int16(v)))", true, false},
	{"LDRSH64", 2, "uint64(int16(v))", true, true},
	{"LDRSW", 4, "uint64(int32(v))", true, true},
}

var stores = []unit{{name: "STRB", size: 1}, {name: "STRH", size: 2}, {name: "STRW", size: 4}, {name: "STRX", size: 8, wide: true}}

// The vector units: B, H, S and D; Q is apart because it is two words.
var vectors = []unit{{name: "8", size: 1}, {name: "16", size: 2}, {name: "32", size: 4}, {name: "64", size: 8}}

// Texts with @B for the bits, @N for the bytes and @L for the last byte's offset.
// The hit is the whole fast path: cpu.TLBEntry says what the tags promise.
const (
	entry  = `e := &c.@TLB[(p>>12+p>>22)&1023]`
	hit    = `(p+@L)&^0xfff == e.@TAG`
	hostAt = `unsafe.Add(unsafe.Pointer(nil), e.Off+p)`

	loadText = `{ p := @ADDR; ` + entry + `; var v uint@B; if ` + hit + ` { v = *(*uint@B)(` + hostAt + `) } else { x, ok := c.load@USER(p, @N); if !ok { $FAULT }; v = uint@B(x) }; @SET; @BACK }`

	storeText = `{ p := @ADDR; v := @GET; ` + entry + `; if ` + hit + ` { *(*uint@B)(` + hostAt + `) = v } else if !c.store@USER(p, uint64(v), @N) { $FAULT }; @BACK }`

	loadPairText = `{ p := @ADDR; ` + entry + `; var v, w uint@B; if ` + hit + ` { q := ` + hostAt + `; v = *(*uint@B)(q); w = *(*uint@B)(unsafe.Add(q, @N)) } else { x, y, ok := c.loadPair(p, @N); if !ok { $FAULT }; v, w = uint@B(x), uint@B(y) }; @SET; @BACK }`

	storePairText = `{ p := @ADDR; v, w := @GET; ` + entry + `; if ` + hit + ` { q := ` + hostAt + `; *(*uint@B)(q) = v; *(*uint@B)(unsafe.Add(q, @N)) = w } else if !c.storePair(p, uint64(v), uint64(w), @N) { $FAULT }; @BACK }`

	loadQPairText = `{ p := @ADDR; ` + entry + `; var v, w [2]uint64; if ` + hit + ` { q := ` + hostAt + `; v = *(*[2]uint64)(q); w = *(*[2]uint64)(unsafe.Add(q, 16)) } else { x, y, ok := c.loadPair(p, 8); if !ok { $FAULT }; v = [2]uint64{x, y}; x, y, ok = c.loadPair(p+16, 8); if !ok { $FAULT }; w = [2]uint64{x, y} }; $vd = v; $va = w; @BACK }`

	storeQPairText = `{ p := @ADDR; ` + entry + `; if ` + hit + ` { q := ` + hostAt + `; *(*[2]uint64)(q) = $vd; *(*[2]uint64)(unsafe.Add(q, 16)) = $va } else if !c.storeable(p, 32, 16) || !c.storePair(p, $vd[0], $vd[1], 8) || !c.storePair(p+16, $va[0], $va[1], 8) { $FAULT }; @BACK }`
)

// An access is a text with what it needs.
type access struct {
	text     string
	size     int    // bytes of one unit, for @B and @N
	total    int    // bytes in all, for @L
	tag      string // Rd or Wr
	set, get string
	user     bool // LDTR and STTR
}

func (a access) body(m mode) string {
	tlb, user := "TLB", ""
	if a.user {
		tlb, user = "UserTLB", "User"
	}
	s := strings.NewReplacer("@SET", a.set, "@GET", a.get).Replace(a.text)
	return strings.NewReplacer("@ADDR", m.addr, "@BACK", m.back, "@TAG", a.tag, "@TLB", tlb, "@USER", user,
		"@B", fmt.Sprint(a.size*8), "@N", fmt.Sprint(a.size), "@L", fmt.Sprint(a.total-1)).Replace(s)
}

func memoryRows(t *Table) {
	for _, u := range loads {
		a := access{text: loadText, size: u.size, total: u.size, tag: "Rd", set: "$d = " + u.conv}
		t.singles(u, a, 0)
		a.user = true
		t.unprivileged(u, a)
	}
	for _, u := range stores {
		a := access{text: storeText, size: u.size, total: u.size, tag: "Wr", get: fmt.Sprintf("uint%d($d)", u.size*8)}
		t.singles(u, a, 0)
		a.user = true
		t.unprivileged(u, a)
	}
	vectorRows(t)
	pairRows(t)
	t.Add("VLD", `if !c.vectorLoad(i) { $FAULT }`, Fault, Base, FP)
	t.Add("VST", `if !c.vectorStore(i) { $FAULT }`, Fault, Base, FP)
}

// singles adds a unit in every mode.
func (t *Table) singles(u unit, a access, attr Attr) {
	for _, m := range modes {
		r := Row{Name: u.name + m.suffix, Body: a.body(m)}
		if m.back == "" && attr&FP == 0 {
			r.Mem = Mem{Size: uint8(u.size), Signed: u.signed, Wide: u.wide}
		}
		t.add(r, []Attr{Fault, Base, attr})
	}
}

// unprivileged adds the LDTR or STTR form of a unit.
func (t *Table) unprivileged(u unit, a access) {
	r := Row{Name: u.name + "User", Body: a.body(modes[0]), Mem: Mem{Size: uint8(u.size), Signed: u.signed, Wide: u.wide}}
	t.add(r, []Attr{Fault, Base})
}

func vectorRows(t *Table) {
	for _, u := range vectors {
		load, store := u, u
		load.name, store.name = "LDRV"+u.name, "STRV"+u.name
		t.singles(load, access{text: loadText, size: u.size, total: u.size, tag: "Rd", set: "$vd = [2]uint64{uint64(v), 0}"}, FP)
		t.singles(store, access{text: storeText, size: u.size, total: u.size, tag: "Wr", get: fmt.Sprintf("uint%d($vd[0])", u.size*8)}, FP)
	}
	t.singles(unit{name: "LDRV128"}, access{text: loadPairText, size: 8, total: 16, tag: "Rd", set: "$vd = [2]uint64{v, w}"}, FP)
	t.singles(unit{name: "STRV128"}, access{text: storePairText, size: 8, total: 16, tag: "Wr", get: "$vd[0], $vd[1]"}, FP)
}

func pairRows(t *Table) {
	pair := func(name string, a access, attr Attr) {
		for _, m := range modes[:3] {
			t.Add(name+m.suffix, a.body(m), Fault, Base, attr)
		}
	}
	gpr := func(name string, size int, conv string) {
		set := "$d = " + conv + "; $a = " + strings.ReplaceAll(conv, "v", "w")
		pair(name, access{text: loadPairText, size: size, total: 2 * size, tag: "Rd", set: set}, 0)
	}
	gpr("LDP32", 4, "uint64(v)")
	gpr("LDPSW", 4, "uint64(int32(v))")
	gpr("LDP64", 8, "v")
	for _, n := range []int{4, 8} {
		bits := fmt.Sprint(n * 8)
		pair("STP"+bits, access{text: storePairText, size: n, total: 2 * n, tag: "Wr", get: "uint" + bits + "($d), uint" + bits + "($a)"}, 0)
		pair("LDPV"+bits, access{text: loadPairText, size: n, total: 2 * n, tag: "Rd", set: "$vd = [2]uint64{uint64(v), 0}; $va = [2]uint64{uint64(w), 0}"}, FP)
		pair("STPV"+bits, access{text: storePairText, size: n, total: 2 * n, tag: "Wr", get: "uint" + bits + "($vd[0]), uint" + bits + "($va[0])"}, FP)
	}
	pair("LDPV128", access{text: loadQPairText, size: 16, total: 32, tag: "Rd"}, FP)
	pair("STPV128", access{text: storeQPairText, size: 16, total: 32, tag: "Wr"}, FP)
}

// atomicRows adds ordered, exclusive and atomic accesses. In all of them $n is
// the address, without an offset.
func atomicRows(t *Table) {
	for k, u := range loads[:4] {
		bits := u.size * 8
		fast := fmt.Sprintf("v = uint64(*(*uint%d)(%s))", bits, hostAt)
		if u.size >= 4 {
			fast = fmt.Sprintf("v = uint64(atomic.LoadUint%d((*uint%d)(%s)))", bits, bits, hostAt)
		}
		load := access{text: `{ p := $n; ` + entry + `; var v uint64; if ` + hit + ` && p&@L == 0 { ` + fast + ` } else { x, ok := c.loadAcquire(p, @N); if !ok { $FAULT }; v = x }; acquire(); $d = v }`, size: u.size, total: u.size, tag: "Rd"}
		t.add(Row{Name: "LDAR" + u.name[3:], Body: load.body(modes[0]), Mem: Mem{Size: uint8(u.size), Wide: u.wide}}, []Attr{Fault, Base})

		fast = fmt.Sprintf("*(*uint%d)(%s) = uint%d($d); fence()", bits, hostAt, bits)
		if u.size >= 4 {
			fast = fmt.Sprintf("atomic.StoreUint%d((*uint%d)(%s), uint%d($d)); release()", bits, bits, hostAt, bits)
		}
		store := access{text: `{ p := $n; ` + entry + `; if ` + hit + ` && p&@L == 0 { release(); ` + fast + ` } else if !c.storeRelease(p, $d, @N) { $FAULT } }`, size: u.size, total: u.size, tag: "Wr"}
		t.add(Row{Name: "STLR" + stores[k].name[3:], Body: store.body(modes[0]), Mem: Mem{Size: uint8(u.size), Wide: u.wide}}, []Attr{Fault, Base})
	}
	t.Add("LDX", `if !c.loadExclusive(i) { $FAULT }`, Fault, Base)
	t.Add("STX", `if !c.storeExclusive(i) { $FAULT }`, Fault, Base)
	t.Add("CLREX", `c.monitor.size = 0`)
	t.Add("LSE", `if !c.atomicOp(i) { $FAULT }`, Fault, Base)
	t.Add("CAS", `if !c.compareAndSwap(i) { $FAULT }`, Fault, Base)
	t.Add("CASP", `if !c.compareAndSwapPair(i) { $FAULT }`, Fault, Base)
	t.Add("DMB", `fence()`)
	t.Add("DMBLD", `acquire()`)
	t.Add("DMBST", `release()`)
	t.Add("DSB", `c.dsb()`, System)
}
