package oracle

import (
	"bufio"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/arch/arm64/arm64asm"

	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa"
)

const objdump = "aarch64-linux-gnu-objdump"

// words is n random instruction words: half anything, half of the classes that
// the generator knows.
func words(seed uint64, n int) []uint32 {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make([]uint32, n)
	for i := range out {
		out[i] = r.Uint32()
		if i%2 == 0 {
			c := &classes[r.IntN(len(classes))]
			out[i] = out[i]&^c.mask | c.value
		}
	}
	return out
}

// disassemble gives objdump's text of each word; an unallocated one starts
// with ".inst".
func disassemble(t *testing.T, words []uint32) []string {
	t.Helper()
	if _, err := exec.LookPath(objdump); err != nil {
		if os.Getenv("CI") == "" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "words")
	b := make([]byte, 0, 4*len(words))
	for _, w := range words {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(objdump, "-b", "binary", "-m", "aarch64", "-D", "-z", "--no-show-raw-insn", file)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var out []string
	for s := bufio.NewScanner(pipe); s.Scan(); {
		if _, text, ok := strings.Cut(s.Text(), ":\t"); ok {
			out = append(out, text)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(out) != len(words) {
		t.Fatalf("objdump gave %d lines for %d words", len(out), len(words))
	}
	return out
}

// Classes of mnemonics, of objdump's and of the semantic table's names. The
// first pattern that matches counts.
var mnemonicClasses = []struct {
	class      string
	text, name *regexp.Regexp
}{
	{"hint", regexp.MustCompile(`^(prf|hint|nop|yield|csdb|bti|clearbhb|paci|auti|xpaclri|esb|psb|tsb|dgh)`), regexp.MustCompile(`^(NOP|YIELD)$`)},
	{"atomic", regexp.MustCompile(`^(cas|swp|(ld|st)(add|clr|eor|set|[su]max|[su]min))`), regexp.MustCompile(`^(CAS|LSE)`)},
	{"load", regexp.MustCompile(`^ld`), regexp.MustCompile(`^(LD|VLD)`)},
	{"store", regexp.MustCompile(`^st`), regexp.MustCompile(`^(ST|VST)`)},
	{"branch", regexp.MustCompile(`^(bl?|b\..*|blr?|br|ret|cbn?z|tbn?z)(\s|$)`), regexp.MustCompile(`^(B|BL|BCOND|CBN?Z\d+|TBN?Z|BR|BLR)$`)},
}

// classOf gives the class of a disassembled line, or of an operation's name.
func classOf(s string, isName bool) string {
	for _, c := range mnemonicClasses {
		pattern := c.text
		if isName {
			pattern = c.name
		}
		if pattern.MatchString(s) {
			return c.class
		}
	}
	return "other"
}

// absent are the extensions that the engine does not offer, by mnemonic or
// operand as objdump writes them. What has none of these is Armv8.0, LSE, RDM
// or SHA-512 and must decode.
var absent = regexp.MustCompile(strings.Join([]string{
	`\b[pz]\d+[./]`, `^(ptrue|pfalse|cnt[bhwd]|inc[bhwd]|dec[bhwd]|s?q(inc|dec)|uq(inc|dec)|rdvl|addvl|addpl|while|smstart|smstop|zero\b|rdffr|wrffr|setffr)`, // SVE, SME
	`\bza\d*`, `\bzt0`, `^(ldr|str)\s+[pz]\d`,
	`^f\S+\s+.*([hH]\d+|\.[48]h)`, `^[su]cvtf\s+(h|v\d+\.[48]h)`, `^f\S+\s.*#.*\.[48]h`, // FP16
	`^(pac|aut|xpac|bra|blra|reta|ereta|ldra)`, `^(irg|gmi|subp|stg|stz|st2g|stz2g|ldg|addg|subg|cmpp)`,
	`^([us]dot|usdot|sudot|[us]mmla|usmmla|bf|fcmla|fcadd|fmlal|fmlsl|fjcvtzs|frint(32|64))`,
	`^(eor3|bcax|rax1|xar|sm3|sm4)`, `^(ldap|stlur|ldlar|stllr)`, `^(cfinv|rmif|setf|axflag|xaflag|sb$|bti|ssbb|pssbb|esb|psb|tsb|csdb|dgh|wfet|wfit|chkfeat|clrbhb|stshh)`,
	`^(ld64b|st64b|cpy|set[pme]|rcw|ldclrp|ldsetp|swpp|ldiapp|stilp|mops|abs|ctz|cnt\s+[wx]|smax|smin|umax|umin)`,
	`^bc\.|^set[gmept]+n?\b|^set[gmept]+\s|^setg?[empt]+t?n?\s|^adds[vp]l|^(msr|mrs)\s.*s0_`, // HBC, MOPS, SME, no register
	`^(tcommit|tstart|tcancel|ttest|cfp|cpp|dvp|cosp|sysp|mrrs|msrr|sysl|dcps|drps|hlt|udf)`,
}, "|"))

// The decoder and two disassemblers agree: what either knows of Armv8.0, LSE,
// RDM and SHA-512 decodes, to the same class of instruction; what neither knows
// does not.
func TestDecoderAgreesWithDisassemblers(t *testing.T) {
	chunk, chunks := 100_000, 1
	if os.Getenv(envSoak) != "" {
		chunk, chunks = 500_000, 20
	}
	bad := map[string]int{}
	for seed := range chunks {
		ws := words(uint64(seed), chunk)
		for i, text := range disassemble(t, ws) {
			if why := disagreement(ws[i], text); why != "" {
				if bad[why]++; bad[why] <= 3 {
					t.Errorf("%#08x %q: %s", ws[i], text, why)
				}
			}
		}
	}
}

func disagreement(w uint32, text string) string {
	op := isa.Decode(w, 0)
	name := isa.Name(op.Code)
	known := !strings.HasPrefix(text, ".inst")
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], w)
	_, err := arm64asm.Decode(b[:])
	sve := w>>25&0xf == 2
	switch {
	case name == "UNDEF" && known && !sve && !absent.MatchString(text):
		return "the decoder does not know " + strings.Fields(text)[0]
	case name != "UNDEF" && !known && err != nil:
		return "no disassembler knows it, the decoder says " + name
	case name != "UNDEF" && known && classOf(text, false) != classOf(name, true):
		return "the decoder says " + name
	}
	return ""
}

// Every word decodes to an operation that the table has, the same each time and
// with register indexes within the file. ARCBOX_SOAK makes it every one of the
// 2^32, else a sample.
func TestDecoderIsConsistent(t *testing.T) {
	step := uint64(40_009)
	if os.Getenv(envSoak) != "" {
		step = 1
	}
	for w := uint64(0); w < 1<<32; w += step {
		op := isa.Decode(uint32(w), 0x4000)
		if op != isa.Decode(uint32(w), 0x4000) {
			t.Fatalf("%#08x decodes differently the second time", w)
		}
		if name := isa.Name(op.Code); name == "" || strings.HasPrefix(name, "op(") {
			t.Fatalf("%#08x decodes to %q, which is not in the table", w, name)
		}
		if m := max(op.Rd, op.Rn, op.Rm, op.Ra); m > 33 && isa.AttrOf(op.Code)&isa.FP == 0 {
			t.Fatalf("%#08x (%s) names register %d", w, isa.Name(op.Code), m)
		}
	}
}
