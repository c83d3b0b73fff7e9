package simd

import (
	"crypto/aes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"
)

// load reads a register as LDR does.
func load(b []byte) Vec {
	return Vec{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

func store(b []byte, v Vec) {
	binary.LittleEndian.PutUint64(b, v[0])
	binary.LittleEndian.PutUint64(b[8:], v[1])
}

func bytesOf(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// expandKey is the AES-128 key schedule (FIPS 197, 5.2) with AESE as the S-box.
func expandKey(key []byte) (keys [11]Vec) {
	w := make([]uint32, 44)
	for i := range 4 {
		w[i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	rcon := uint64(1)
	for i := 4; i < 44; i++ {
		t := w[i-1]
		if i%4 == 0 {
			t = t>>8 | t<<24
			sub := Vec{uint64(t) * (1<<32 + 1), uint64(t) * (1<<32 + 1)} // equal columns: ShiftRows changes nothing
			Aese(&sub, &Vec{})
			t = uint32(sub[0]) ^ uint32(rcon)
			rcon = double(rcon)
		}
		w[i] = w[i-4] ^ t
	}
	for i := range keys {
		keys[i] = join(w[4*i], w[4*i+1], w[4*i+2], w[4*i+3])
	}
	return keys
}

func TestAESInstructionsEncryptAndDecryptLikeTheLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		key, in := bytesOf(r, 16), bytesOf(r, 16)
		lib, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, 16)
		lib.Encrypt(want, in)
		keys, s := expandKey(key), load(in)
		for i := range 9 {
			Aese(&s, &keys[i])
			Aesmc(&s, &s)
		}
		Aese(&s, &keys[9])
		Eor(&s, &s, &keys[10], Full)
		if s != load(want) {
			t.Fatalf("key %x block %x: encrypted to %x, want %x", key, in, s, want)
		}
		Aesd(&s, &keys[10])
		for i := 9; i > 0; i-- {
			Aesimc(&s, &s)
			var k Vec
			Aesimc(&k, &keys[i])
			Aesd(&s, &k)
		}
		if Eor(&s, &s, &keys[0], Full); s != load(in) {
			t.Fatalf("key %x block %x: decrypted to %x, want %x", key, want, s, in)
		}
	}
}

// block is the one padded block of a short message.
func block(msg []byte, size int) []byte {
	b := make([]byte, size)
	copy(b, msg)
	b[len(msg)] = 0x80
	binary.BigEndian.PutUint64(b[size-8:], uint64(len(msg))*8)
	return b
}

func TestSHA1InstructionsHashLikeTheLibrary(t *testing.T) {
	msg := []byte("the quick brown fox jumps over the lazy dog")
	b := block(msg, 64)
	var w [4]Vec
	for i := range w {
		w[i] = load(b[16*i:])
		Rev32(&w[i], &w[i], Full|B)
	}
	abcd, e := join(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476), Vec{0xc3d2e1f0}
	start, e0 := abcd, e
	rounds := []func(d, n, m *Vec){Sha1c, Sha1p, Sha1m, Sha1p}
	ks := []uint64{0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6}
	for i := range 20 {
		var k, next Vec
		DupGeneral(&k, ks[i/5], Full|S)
		Add(&k, &k, &w[0], Full|S)
		Sha1h(&next, &abcd)
		rounds[i/5](&abcd, &e, &k)
		e = next
		n := w[0]
		Sha1su0(&n, &w[1], &w[2])
		Sha1su1(&n, &w[3])
		w = [4]Vec{w[1], w[2], w[3], n}
	}
	Add(&abcd, &abcd, &start, Full|S)
	Add(&e, &e, &e0, Scalar|S)
	got := make([]byte, 32)
	Rev32(&abcd, &abcd, Full|B)
	Rev32(&e, &e, Full|B)
	store(got, abcd)
	store(got[16:], e)
	if want := sha1.Sum(msg); [20]byte(got) != want {
		t.Errorf("%x, want %x", got[:20], want)
	}
}

func TestSHA256InstructionsHashLikeTheLibrary(t *testing.T) {
	msg := []byte("the quick brown fox jumps over the lazy dog")
	b := block(msg, 64)
	var w [4]Vec
	for i := range w {
		w[i] = load(b[16*i:])
		Rev32(&w[i], &w[i], Full|B)
	}
	x := join(0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a)
	y := join(0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19)
	x0, y0 := x, y
	for i := range 16 {
		k := join(uint32(root(4*i)>>32), uint32(root(4*i+1)>>32), uint32(root(4*i+2)>>32), uint32(root(4*i+3)>>32))
		Add(&k, &k, &w[0], Full|S)
		old := x
		Sha256h(&x, &y, &k)
		Sha256h2(&y, &old, &k)
		n := w[0]
		Sha256su0(&n, &w[1])
		Sha256su1(&n, &w[2], &w[3])
		w = [4]Vec{w[1], w[2], w[3], n}
	}
	Add(&x, &x, &x0, Full|S)
	Add(&y, &y, &y0, Full|S)
	Rev32(&x, &x, Full|B)
	Rev32(&y, &y, Full|B)
	got := make([]byte, 32)
	store(got, x)
	store(got[16:], y)
	if want := sha256.Sum256(msg); [32]byte(got) != want {
		t.Errorf("%x, want %x", got, want)
	}
}

func TestSHA512InstructionsHashLikeTheLibrary(t *testing.T) {
	msg := []byte("the quick brown fox jumps over the lazy dog")
	b := block(msg, 128)
	var w [8]Vec
	for i := range w {
		w[i] = load(b[16*i:])
		Rev64(&w[i], &w[i], Full|B)
	}
	s := [4]Vec{
		{0x6a09e667f3bcc908, 0xbb67ae8584caa73b}, {0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1},
		{0x510e527fade682d1, 0x9b05688c2b3e6c1f}, {0x1f83d9abfb41bd6b, 0x5be0cd19137e2179},
	}
	start := s
	for i := range 40 {
		s = twoRounds(s, w[0], Vec{root(2 * i), root(2*i + 1)})
		n := w[0]
		Sha512su0(&n, &w[1])
		var mid Vec
		Ext(&mid, &w[4], &w[5], Full|B, 8)
		Sha512su1(&n, &w[7], &mid)
		copy(w[:], w[1:])
		w[7] = n
	}
	got := make([]byte, 64)
	for i := range s {
		Add(&s[i], &s[i], &start[i], Full|D)
		Rev64(&s[i], &s[i], Full|B)
		store(got[16*i:], s[i])
	}
	if want := sha512.Sum512(msg); [64]byte(got) != want {
		t.Errorf("%x, want %x", got, want)
	}
}

// twoRounds is the step of the Arm ARM's SHA512 code: ab, cd, ef, gh with the
// schedule w and the constants k.
func twoRounds(s [4]Vec, w, k Vec) [4]Vec {
	var sum, fg, de, next Vec
	Add(&sum, &w, &k, Full|D)
	Ext(&sum, &sum, &sum, Full|B, 8)
	Add(&sum, &sum, &s[3], Full|D)
	Ext(&fg, &s[2], &s[3], Full|B, 8)
	Ext(&de, &s[1], &s[2], Full|B, 8)
	Sha512h(&sum, &fg, &de)
	Add(&next, &s[1], &sum, Full|D)
	Sha512h2(&sum, &s[1], &s[0])
	return [4]Vec{sum, s[0], next, s[2]}
}

// root is the fraction of the cube root of the i-th prime (FIPS 180-4, 4.2.3),
// 64 bits.
func root(i int) uint64 {
	p := 2
	for n := 0; ; p++ {
		if !prime(p) {
			continue
		}
		if n == i {
			break
		}
		n++
	}
	return cubeRoot(p)
}

func prime(p int) bool {
	for q := 2; q*q <= p; q++ {
		if p%q == 0 {
			return false
		}
	}
	return true
}

func cubeRoot(p int) uint64 {
	x := num() // the largest with x^3 <= p * 2^192
	top := num().Lsh(num().SetInt64(int64(p)), 192)
	for bit := 68; bit >= 0; bit-- {
		y := num().SetBit(x, bit, 1)
		if num().Exp(y, num().SetInt64(3), nil).Cmp(top) <= 0 {
			x = y
		}
	}
	return num().And(x, num().SetUint64(^uint64(0))).Uint64()
}

// slowly multiplies polynomials bit by bit.
func slowly(a, b uint64) (hi, lo uint64) {
	for i := range 64 {
		if b>>i&1 != 0 {
			lo ^= a << i
			hi ^= a >> 1 >> (63 - i)
		}
	}
	return hi, lo
}

func TestPolynomialProductsMatchBitwiseOnes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 1000 {
		n, m := operand(r), operand(r)
		for i, s := range []Shape{Half | D, Full | D} {
			var got Vec
			Pmull(&got, &n, &m, s)
			if hi, lo := slowly(n[i], m[i]); got != (Vec{lo, hi}) {
				t.Fatalf("%x times %x: %x, want %x %x", n[i], m[i], got, lo, hi)
			}
		}
		var low, wide Vec
		Pmul(&low, &n, &m, Full|B)
		Pmull(&wide, &n, &m, Full|B)
		for i := range uint(8) {
			_, p := slowly(n.Lane(0, i+8), m.Lane(0, i+8))
			if low.Lane(0, i+8) != p&0xff || wide.Lane(1, i) != p {
				t.Fatalf("byte %d of %x times %x: %x and %x, want %x", i+8, n, m, low.Lane(0, i+8), wide.Lane(1, i), p)
			}
		}
	}
}

func TestCRC32InstructionsContinueTheLibrarysSums(t *testing.T) {
	b := []byte("123456789abcdefg")
	tests := []struct {
		name string
		step func(crc uint32, x uint64, size uint) uint32
		want uint32
	}{
		{"IEEE", CRC32, crc32.ChecksumIEEE(b)},
		{"Castagnoli", CRC32C, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []uint{1, 2, 4, 8} {
				crc := ^uint32(0)
				for i := uint(0); i < uint(len(b)); i += size {
					var buf [8]byte
					copy(buf[:size], b[i:])
					crc = tt.step(crc, binary.LittleEndian.Uint64(buf[:])|^(^uint64(0)>>(64-8*size)), size)
				}
				if ^crc != tt.want {
					t.Errorf("%d bytes at a time: %#x, want %#x", size, ^crc, tt.want)
				}
			}
		})
	}
}
