package cpio

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

var sample = []Entry{
	{Name: "dev", Mode: Dir | 0o755},
	{Name: "dev/console", Mode: CharDev | 0o600, Major: 5, Minor: 1},
	{Name: "init", Mode: Regular | 0o755, Data: []byte("hello")},
	{Name: "empty", Mode: Regular | 0o644},
	{Name: "bin", Mode: Symlink | 0o777, Data: []byte("usr/bin")},
}

func TestBytes(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, []Entry{{Name: "init", Mode: Regular | 0o755, Data: []byte("hello")}}); err != nil {
		t.Fatal(err)
	}
	want := "07070100000001000081ed0000000000000000000000010000000000000005" +
		"000000000000000000000000000000000000000500000000init\x00\x00" + "hello\x00\x00\x00" +
		"070701000000020000000000000000000000000000000100000000" +
		"00000000000000000000000000000000000000000000000b00000000TRAILER!!!\x00\x00\x00\x00"
	if got := b.String(); got != want {
		t.Errorf("archive is\n%q, want\n%q", got, want)
	}
}

func TestCpioReadsIt(t *testing.T) {
	if _, err := exec.LookPath("cpio"); err != nil && os.Getenv("CI") == "" {
		t.Skip("no cpio on this machine")
	}
	var b bytes.Buffer
	if err := Write(&b, sample); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cpio", "-tv", "--numeric-uid-gid")
	cmd.Stdin = &b
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		got = append(got, f[0]+" "+strings.Join(f[8:], " "))
	}
	want := "drwxr-xr-x dev|crw------- 1970 dev/console|-rwxr-xr-x init|-rw-r--r-- empty|lrwxrwxrwx bin -> usr/bin"
	if s := strings.Join(got, "|"); s != want {
		t.Errorf("cpio lists\n%s, want\n%s", s, want)
	}
}

func TestRefusesNames(t *testing.T) {
	for _, name := range []string{"", "/init", "a\x00b"} {
		if err := Write(&bytes.Buffer{}, []Entry{{Name: name}}); err == nil {
			t.Errorf("the name %q is taken", name)
		}
	}
}

// short fails after n bytes.
type short struct{ n int }

func (s *short) Write(b []byte) (int, error) {
	if s.n -= len(b); s.n < 0 {
		return 0, errors.New("full")
	}
	return len(b), nil
}

func TestWriteErrors(t *testing.T) {
	var b bytes.Buffer
	Write(&b, sample)
	for n := range b.Len() {
		if Write(&short{n}, sample) == nil {
			t.Fatalf("a writer with room for %d of %d bytes gives no error", n, b.Len())
		}
	}
}
