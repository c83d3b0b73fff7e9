package isa

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// fpWords samples the encodings of scalar floating point. Half of them have
// the fields that most words get wrong as instructions have them.
func fpWords(r *rand.Rand, n int) []uint32 {
	words := make([]uint32, n)
	for i := range words {
		w := r.Uint32()&0xa1ffffff | 0x1e<<24
		switch i % 8 {
		case 0: // conversions to integers, moves
			w = w&^0x2000fc00 | 1<<21
		case 1: // one source
			w = w&^0xa0107c00 | 0x204000
		case 2: // compare
			w = w&^0xa080fc07 | 0x202000
		case 3: // immediate
			w = w&^0xa0801fe0 | 0x201000
		}
		words[i] = w
	}
	return words
}

var (
	halfOperand = regexp.MustCompile(`\bh[0-9]+\b`)
	fcvtFormats = regexp.MustCompile(`^fcvt ([hsd])[0-9]+, ([hsd])`)
	fmovTop     = regexp.MustCompile(`^fmov .*v[0-9]+\.d\[1\]`)
	general     = regexp.MustCompile(`\b[wx]([0-9]+|zr)\b`)
	leading     = regexp.MustCompile(`^fmov [wx]`)
	withZero    = regexp.MustCompile(`^fcmpe? .*, #0\.0$`)
)

// fpName is the name of the operation that disassembles to text, without the
// width of pairs; empty if the ID registers do not offer the instruction.
func fpName(text string) string {
	name, _, _ := strings.Cut(text, " ")
	switch formats := fcvtFormats.FindStringSubmatch(text); {
	case formats != nil:
		return strings.ToUpper("fcvt" + formats[1] + formats[2])
	case halfOperand.MatchString(text), name == "fjcvtzs", strings.HasPrefix(name, "frint32"), strings.HasPrefix(name, "frint64"):
		return ""
	case name == "fmov":
		return fmovName(text)
	case withZero.MatchString(text):
		return "FCMPZ"
	case name == "frinti", name == "frintx":
		return strings.ToUpper(name)
	case strings.HasPrefix(name, "frint"):
		return "FRINT"
	case strings.HasPrefix(name, "fcvt"):
		return "FCVTI"
	case name == "scvtf", name == "ucvtf":
		return strings.ToUpper(name + general.FindString(text)[:1])
	case name == "fcmpe", name == "fccmpe":
		return strings.ToUpper(strings.TrimSuffix(name, "e"))
	}
	return strings.ToUpper(name)
}

func fmovName(text string) string {
	direction := "From"
	if leading.MatchString(text) {
		direction = "To"
	}
	switch {
	case strings.Contains(text, "#"):
		return "FMOVI"
	case fmovTop.MatchString(text):
		return "FMOVTop" + direction
	case general.MatchString(text):
		return "FMOV" + direction
	}
	return "FMOV"
}

func TestFPDecodesWhatTheDisassemblerDoes(t *testing.T) {
	n := 400_000
	if testing.Short() {
		n = 50_000
	}
	words := fpWords(rand.New(rand.NewPCG(1, 2)), n)
	bad, offered := 0, 0
	for i, text := range objdump(t, words) {
		want, got := fpName(text), ""
		if op, ok := decodeFP(words[i]); ok {
			offered++
			got = strings.TrimSuffix(strings.TrimSuffix(Name(op.Code), "32"), "64")
		}
		if got != want {
			if bad++; bad <= 20 {
				t.Errorf("%08x decodes to %q, want %q (%s)", words[i], got, want, text)
			}
		}
	}
	if bad != 0 || offered < n/10 {
		t.Errorf("%d of %d words decode wrongly, %d are instructions", bad, n, offered)
	}
}

func TestEveryFPOperationIsDecoded(t *testing.T) {
	seen := map[uint16]bool{}
	for _, w := range fpWords(rand.New(rand.NewPCG(3, 4)), 200_000) {
		if op, ok := decodeFP(w); ok {
			seen[op.Code] = true
		}
	}
	for code := uint16(OpFADD32); code <= OpUCVTFX64; code++ {
		if !seen[code] {
			t.Errorf("no word decodes to %s", Name(code))
		}
	}
}
