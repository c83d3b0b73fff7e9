package oracle

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/arch/arm64/arm64asm"
)

// assembly is the text of instruction words, one a line, as far as the
// disassembler knows them.
func assembly(words []uint32) string {
	var s strings.Builder
	for _, w := range words {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], w)
		text := "?"
		if inst, err := arm64asm.Decode(b[:]); err == nil {
			text = strings.TrimSpace(arm64asm.GNUSyntax(inst))
		}
		fmt.Fprintf(&s, "%08x %s\n", w, text)
	}
	return s.String()
}
