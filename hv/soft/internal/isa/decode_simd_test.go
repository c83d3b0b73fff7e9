package isa

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/simd"
)

// needTool skips the test where the tool is missing, and fails it in CI.
func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("cannot check against %s: %v; install binutils-aarch64-linux-gnu", name, err)
		}
		t.Skipf("no %s", name)
	}
}

var disassembled = regexp.MustCompile(`(?m)^ *([0-9a-f]+):\t([0-9a-f]{8}) \t(\S+)\t?(.*)$`)

// objdump disassembles words; an empty text is an unallocated one.
func objdump(t *testing.T, words []uint32) []string {
	t.Helper()
	const tool = "aarch64-linux-gnu-objdump"
	needTool(t, tool)
	file := filepath.Join(t.TempDir(), "words")
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, words); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "-D", "-z", "-b", "binary", "-m", "aarch64", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	text := make([]string, len(words))
	for _, m := range disassembled.FindAllSubmatch(out, -1) {
		at, err := strconv.ParseUint(string(m[1]), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		if string(m[3]) != ".inst" {
			text[at/4] = string(m[3]) + " " + string(m[4])
		}
	}
	return text
}

// notOffered matches what belongs to extensions that the ID registers do not
// announce: DotProd, FCMA, FHM, FRINTTS, BF16, I8MM, SHA3, SM3,
// SM4, FP16.
var notOffered = regexp.MustCompile(`^([us]+dot|fcmla|fcadd|fml[as]l2?|frint(32|64)[xz]|bf[a-z0-9]*|[us]+mmla|eor3|bcax|rax1|xar|sm[34]\S*) ` +
	`|^(f|scvtf|ucvtf)\S* .*(\bh[0-9]|\.[48]?h\b|\.2h\b)`)

// converts are the FP16 instructions that Armv8.0 has.
var converts = regexp.MustCompile(`^fcvt[ln]2? `)

// mnemonics of which the disassembler prefers an alias.
var aliases = map[string]string{
	"mov": "orr ins umov dup", "mvn": "not", "sxtl": "sshll", "sxtl2": "sshll2", "uxtl": "ushll", "uxtl2": "ushll2",
	"mvni": "movi", "fmov": "movi", "smov": "smov32 smov64",
}

// mnemonic is what an operation disassembles to.
func mnemonic(op Op) string {
	name := strings.TrimPrefix(Name(op.Code), "V")
	for _, suffix := range []string{"Elem", "Zero", "Imm", "General"} {
		name = strings.TrimSuffix(name, suffix)
	}
	name = strings.ToLower(name)
	if takesUpperHalf.MatchString(name) && simd.Shape(op.Sh)&simd.Full != 0 {
		name += "2"
	}
	return name
}

var takesUpperHalf = regexp.MustCompile(`^([su](add|sub|abd|aba|mul|mla|mls)[lw]|sqdm(ul|la|ls)l|r?(add|sub)hn|pmull|` +
	`[su]?q?xtun|[su]?q?xtn|shll|[su]shll|[su]?q?r?shrun|[su]?q?r?shrn|fcvtl|fcvtn|fcvtxn)$`)

// simdWords samples the encodings of Advanced SIMD: half from the whole
// space, half from the classes.
func simdWords(r *rand.Rand, n int) []uint32 {
	words := make([]uint32, n)
	for i := range words {
		w := r.Uint32()&0xf1ffffff | 7<<25
		if i%2 == 0 {
			c := simdClasses[r.IntN(len(simdClasses))]
			w = w&^c.mask | c.value
		}
		if w>>28&5 == 1 { // a scalar floating-point instruction
			w |= 1 << 30
		}
		words[i] = w
	}
	return words
}

func TestSIMDDecodesWhatTheDisassemblerDoes(t *testing.T) {
	n := 400_000
	if testing.Short() {
		n = 50_000
	}
	words := simdWords(rand.New(rand.NewPCG(7, 8)), n)
	bad, offered := 0, 0
	for i, text := range objdump(t, words) {
		w := words[i]
		if notOffered.MatchString(text) && !converts.MatchString(text) {
			text = ""
		}
		want, _, _ := strings.Cut(text, " ")
		op, ok := decodeSIMD(w)
		if ok {
			offered++
		}
		got := ""
		if ok {
			got = mnemonic(op)
		}
		if got == want || got != "" && strings.Contains(" "+aliases[want]+" ", " "+got+" ") {
			continue
		}
		if bad++; bad <= 20 {
			t.Errorf("%08x decodes to %q, want %q (%s)", w, got, want, text)
		}
	}
	if bad != 0 || offered < n/10 {
		t.Errorf("%d of %d words decode wrongly, %d are instructions", bad, n, offered)
	}
}

func TestEverySIMDOperationIsDecoded(t *testing.T) {
	seen := map[uint16]bool{}
	for _, w := range simdWords(rand.New(rand.NewPCG(9, 10)), 2_000_000) {
		if op, ok := decodeSIMD(w); ok {
			seen[op.Code] = true
		}
	}
	for code := uint16(OpVAND); code <= OpVSHA512SU1; code++ {
		if !seen[code] {
			t.Errorf("no word decodes to %s", Name(code))
		}
	}
}
