package image

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// entry is one newc entry.
func entry(name, body string) string {
	h := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		0, 0o100644, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(name)+1, 0)
	return pad4(h+name+"\x00") + pad4(body)
}

func pad4(s string) string { return s + strings.Repeat("\x00", -len(s)&3) }

var archive = entry("init", "#!/bin/sh\n") + entry(cpioTrailer, "")

func openInitrd(b []byte) (*Initrd, error) { return OpenInitrd(bytes.NewReader(b), int64(len(b))) }

func TestOpenInitrdKnowsTheFormats(t *testing.T) {
	tests := []struct {
		name, file, format string
	}{
		{"cpio", archive, CPIO},
		{"cpio and a compressed archive behind it", archive + "\x1f\x8b", CPIO},
		{"gzip", string(gzipped([]byte(archive))), "gzip"},
		{"zstd", string(zstded([]byte(archive))), "zstd"},
		{"xz", "\xfd7zXZ\x00....", "xz"},
		{"lz4 legacy", "\x02\x21\x4c\x18....", "lz4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i, err := openInitrd([]byte(tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if i.Format != tt.format || string(i.Data) != tt.file {
				t.Errorf("format %q with %d bytes, want %q with %d", i.Format, len(i.Data), tt.format, len(tt.file))
			}
		})
	}
}

func TestOpenInitrdNamesWhatIsNone(t *testing.T) {
	tests := []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "empty"},
		{"no trailer", []byte(entry("init", "x")), "cut short"},
		{"cut in the body", []byte(archive[:118]), "cut short"},
		{"cut in a header", []byte(archive[:60]), "cut short"},
		{"bad size", []byte(strings.Replace(archive, "0000000a", "zzzzzzzz", 1)), "bad header"},
		{"size past the end", []byte(strings.Replace(archive, "0000000a", "fffffff0", 1)), "cut short"},
		{"garbage between entries", []byte(entry("init", "x") + strings.Repeat("?", 200)), "damaged"},
		{"EROFS", at(1024, "\xe2\xe1\xf5\xe0"), "--disk"},
		{"ext4", at(1024+0x38, "\x53\xef"), "--disk"},
		{"squashfs", at(0, "hsqs"), "--disk"},
		{"a kernel", newImage(4096), "--kernel"},
		{"tar", at(257, "ustar"), "tar"},
		{"ELF", at(0, "\x7fELF"), "ELF"},
		{"old cpio", at(0, "070707"), "old format"},
		{"lz4 frame", at(0, "\x04\x22\x4d\x18"), "lz4 -l"},
		{"zeros", make([]byte, 4096), "neither"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i, err := openInitrd(tt.file)
			if i != nil {
				t.Errorf("opened as %s", i.Format)
			}
			wantError(t, err, tt.want)
		})
	}
}

func FuzzOpenInitrd(f *testing.F) {
	f.Add([]byte(archive))
	f.Add([]byte(strings.Replace(archive, "0000000a", "fffffff0", 1)))
	f.Add(gzipped([]byte(archive)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := openInitrd(b); err == nil && i.Format == "" {
			t.Error("opened without a format")
		}
	})
}
