package debian

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"
)

// typed is a module object with sections of BTF and for the function tracer between two others.
func typed(t testing.TB) []byte {
	t.Helper()
	const names = "\x00.modinfo\x00.BTF\x00.shstrtab\x00__patchable_function_entries\x00"
	const info, types = "license=GPL\x00", "\x9f\xeb types"
	header := binary.Size(elf.Header64{})
	table := header + len(info) + len(types) + len(names)
	h := elf.Header64{Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_AARCH64), Version: 1, Shoff: uint64(table),
		Ehsize: uint16(header), Shentsize: uint16(binary.Size(elf.Section64{})), Shnum: 5, Shstrndx: 4}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	var b bytes.Buffer
	for _, part := range []any{h, []byte(info + types + names), elf.Section64{},
		elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_ALLOC), Off: uint64(header), Size: uint64(len(info))},
		elf.Section64{Name: 10, Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_ALLOC), Off: uint64(header + len(info)), Size: uint64(len(types))},
		elf.Section64{Name: 25, Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_ALLOC), Off: uint64(header), Size: uint64(len(info))},
		elf.Section64{Name: 15, Type: uint32(elf.SHT_STRTAB), Off: uint64(header + len(info) + len(types)), Size: uint64(len(names))}} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// sign appends a signature as scripts/sign-file does.
func sign(object []byte, signature string) []byte {
	b := append(bytes.Clone(object), signature...)
	b = append(b, 0, 0, 2, 0, 0, 0, 0, 0) // PKEY_ID_PKCS7
	b = binary.BigEndian.AppendUint32(b, uint32(len(signature)))
	return append(b, signatureMagic...)
}

func TestLeanModuleHasNothingThatNobodyReads(t *testing.T) {
	before := typed(t)
	after, err := lean(sign(before, "a PKCS#7 message"))
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != len(before) {
		t.Errorf("%d bytes are left, want %d", len(after), len(before))
	}
	f, err := elf.NewFile(bytes.NewReader(after))
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range map[int]string{2: btfSection, 3: tracedSection} {
		if f.Section(name) != nil || f.Sections[i].Flags&elf.SHF_ALLOC != 0 {
			t.Errorf("%s is still there: %+v", name, f.Sections[i])
		}
	}
	if s := f.Section(".modinfo"); s == nil || s.Flags&elf.SHF_ALLOC == 0 {
		t.Errorf("another section is changed: %+v", s)
	}
}

func TestUnsigned(t *testing.T) {
	tests := []struct {
		name, in, want string
	}{
		{"a signed module", string(sign([]byte("object"), "signature")), "object"},
		{"an unsigned one", "object", "object"},
		{"nothing", "", ""},
		{"the magic alone", signatureMagic, signatureMagic},
		{"a length beyond the start", "x" + strings.Repeat("\xff", signatureStruct) + signatureMagic, "x" + strings.Repeat("\xff", signatureStruct) + signatureMagic},
		{"a signature and no object", string(sign(nil, "signature")), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := unsigned([]byte(tt.in)); string(got) != tt.want {
				t.Errorf("unsigned(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

func FuzzLean(f *testing.F) {
	f.Add(typed(f))
	f.Add(sign(typed(f), "signature"))
	f.Fuzz(func(t *testing.T, object []byte) {
		if got, err := lean(object); err == nil && len(got) > len(object) {
			t.Errorf("%d bytes became %d", len(object), len(got))
		}
	})
}
