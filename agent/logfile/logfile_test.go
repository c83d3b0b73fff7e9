package logfile

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asVar makes the test binary a process that writes lines to the log that it names.
const asVar = "LOGFILE_TEST_WRITE"

func TestMain(m *testing.M) {
	if path := os.Getenv(asVar); path != "" {
		os.Exit(writeLines(path, os.Args[1]))
	}
	goleak.VerifyTestMain(m)
}

// writeLines writes "NAME 1", "NAME 2", ... and says each on its output once it is written.
// It ends with its input, or is killed.
func writeLines(path, name string) int {
	w, err := Open(path, Options{MaxSize: 300, Files: 1000})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for in, i := bufio.NewReader(os.Stdin), 1; ; i++ {
		if _, err := fmt.Fprintf(w, "%s %d\n", name, i); err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println(i)
		if i%200 == 0 {
			if _, err := in.ReadByte(); err != nil {
				return 0
			}
		}
	}
}

func open(t *testing.T, path string, opt Options) *Writer {
	t.Helper()
	w, err := Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func say(t *testing.T, w io.Writer, format string, args ...any) {
	t.Helper()
	if _, err := fmt.Fprintf(w, format, args...); err != nil {
		t.Fatal(err)
	}
}

func readAll(t *testing.T, path string, lines int) string {
	t.Helper()
	r, err := NewReader(t.Context(), path, ReadOptions{Lines: lines})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestALogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log", "a.log")
	w := open(t, path, Options{MaxSize: 100, Files: 3})
	for i := range 200 {
		say(t, w, "line %03d\n", i) // 9 bytes: 11 in a file
	}
	if got := numbers(path); !reflect.DeepEqual(got, []int{16, 17, 18}) {
		t.Errorf("kept %v", got)
	}
	for _, p := range append([]string{path}, numbered(path, 16), numbered(path, 18)) {
		info, err := os.Stat(p)
		if err != nil || info.Size() > 100 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", p, info, err)
		}
	}
	got := readAll(t, path, -1)
	if !strings.HasPrefix(got, "line 165\n") || !strings.HasSuffix(got, "line 199\n") || strings.Count(got, "\n") != 35 {
		t.Errorf("kept %q", got)
	}

	// What is longer than a file is a file of its own.
	long := strings.Repeat("x", 500) + "\n"
	say(t, w, "%s", long)
	say(t, w, "after\n")
	if data, err := os.ReadFile(numbered(path, 20)); err != nil || string(data) != long {
		t.Errorf("%q, %v", data, err)
	}

	// The next process goes on, with another bound.
	w.Close()
	if _, err := w.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	w = open(t, path, Options{MaxSize: 10, Files: 1})
	say(t, w, "more and more\n")
	if got := readAll(t, path, -1); got != "after\nmore and more\n" || !reflect.DeepEqual(numbers(path), []int{21}) {
		t.Errorf("%q, %v", got, numbers(path))
	}
}

func TestOtherFilesAreNotTheLog(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	for _, name := range []string{"a.log.", "a.log.0", "a.log.01", "a.log.-1", "a.log.1x", "a.log.gz", "ba.log.1", "a.log.7"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := numbers(path); !reflect.DeepEqual(got, []int{7}) {
		t.Errorf("%v", got)
	}
}

func TestALogThatIsMovedOrRemovedIsBegunAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	path := filepath.Join(dir, "a.log")
	w := open(t, path, Options{})
	say(t, w, "one\n")
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	say(t, w, "two\n")
	if got := readAll(t, path, -1); got != "two\n" {
		t.Errorf("%q", got)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	say(t, w, "three\n")
	if got := readAll(t, path, -1); got != "three\n" {
		t.Errorf("%q", got)
	}
	// Where none can be begun, that is said, and later it works again.
	if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("four\n")); err == nil {
		t.Error("wrote to nowhere")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	say(t, w, "five\n")
	if got := readAll(t, path, -1); got != "five\n" {
		t.Errorf("%q", got)
	}
}

func TestALogThatCannotBeRotatedGrowsToTwiceItsSize(t *testing.T) {
	// The name leaves no room for a number.
	path := filepath.Join(t.TempDir(), strings.Repeat("a", 254))
	w := open(t, path, Options{MaxSize: 100})
	for range 20 {
		say(t, w, "123456789\n")
	}
	if _, err := w.Write([]byte("more\n")); err == nil || !strings.Contains(err.Error(), "cannot begin another log") {
		t.Errorf("%v", err)
	}
	if got := readAll(t, path, -1); len(got) != 200 {
		t.Errorf("kept %d bytes", len(got))
	}
}

func TestANumberThatIsTakenIsPassedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	if err := os.MkdirAll(filepath.Join(numbered(path, 7), "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	w := open(t, path, Options{MaxSize: 2})
	say(t, w, "a\n")
	say(t, w, "b\n")
	if got := numbers(path); !reflect.DeepEqual(got, []int{7, 8}) {
		t.Errorf("the files are %v", got)
	}
}

func TestLinesOfManyAreWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	w := open(t, path, Options{MaxSize: 1000, Files: 1000})
	var all sync.WaitGroup
	for name := range 8 {
		all.Go(func() {
			for i := range 100 {
				if _, err := fmt.Fprintf(w, "w%d %d\n", name, i+1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := count(t, readAll(t, path, -1)); len(got) != 8 || got["w3"] != 100 {
		t.Errorf("read %v", got)
	}
}

// count checks that each writer's lines are whole and in order without gaps, and says how
// many there are.
func count(t *testing.T, text string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for line := range strings.Lines(text) {
		var name string
		var i int
		if _, err := fmt.Sscanf(line, "%s %d\n", &name, &i); err != nil || i != seen[name]+1 {
			t.Errorf("%q after %d of it (%v)", line, seen[name], err)
		}
		seen[name] = i
	}
	return seen
}

// A writer is a process that writes lines.
type writer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startWriter(t *testing.T, path, name string) *writer {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &writer{cmd: exec.Command(self, name)}
	w.cmd.Env = append(os.Environ(), asVar+"="+path)
	w.in, err = w.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.out = bufio.NewReader(out)
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

// written reads that the process has written up to line n.
func (w *writer) written(t *testing.T, n int) {
	t.Helper()
	for i := 1; i <= n; i++ {
		if line, err := w.out.ReadString('\n'); err != nil || line != fmt.Sprintln(i) {
			t.Fatalf("the writer says %q, %v", line, err)
		}
	}
}

func TestAKilledWriterLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	for round := range 10 {
		w := startWriter(t, path, fmt.Sprintf("r%d", round))
		n := 1 + rand.IntN(150)
		w.written(t, n)
		w.cmd.Process.Kill()
		rest, _ := io.ReadAll(w.out) // what it has said, it has written
		w.cmd.Wait()
		n += bytes.Count(rest, []byte("\n"))
		got := count(t, readAll(t, path, -1))[fmt.Sprintf("r%d", round)]
		if got < n || got > n+1 {
			t.Errorf("round %d: %d lines are there, %d were written", round, got, n)
		}
	}
}

func TestATornLineIsEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	if err := os.WriteFile(path, []byte("whole\ntor"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := open(t, path, Options{})
	say(t, w, "next\n")
	if got := readAll(t, path, -1); got != "whole\ntor\nnext\n" {
		t.Errorf("%q", got)
	}
}

func TestProcessesShareALog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	var all []*writer
	for i := range 3 {
		all = append(all, startWriter(t, path, fmt.Sprintf("p%d", i)))
	}
	for _, w := range all {
		w.written(t, 200)
		w.in.Close()
		if err := w.cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	// A line may be in the file that another process has just rotated, so each
	// writer's lines are in order, but those of all are not.
	if got := count(t, readAll(t, path, -1)); len(got) != 3 || got["p0"] != 200 || got["p1"] != 200 || got["p2"] != 200 {
		t.Errorf("read %v", got)
	}
	for _, n := range numbers(path) {
		if info, err := os.Stat(numbered(path, n)); err != nil || info.Size() > 400 {
			t.Errorf("%d: %v, %v", n, info, err)
		}
	}
}

func TestTheLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	w := open(t, path, Options{MaxSize: 20, Files: 100})
	var lines []string
	for i := range 30 {
		lines = append(lines, fmt.Sprintf("line %d\n", i))
		say(t, w, "%s", lines[i])
	}
	if len(numbers(path)) < 5 {
		t.Fatalf("the lines are in %v", numbers(path))
	}
	for _, n := range []int{0, 1, 2, 3, 7, 29, 30, 31, 1000} {
		want := strings.Join(lines[max(len(lines)-n, 0):], "")
		if got := readAll(t, path, n); got != want {
			t.Errorf("the last %d are %q, want %q", n, got, want)
		}
	}
	say(t, w, "torn")
	if got := readAll(t, path, 2); got != "line 29\ntorn" {
		t.Errorf("%q", got)
	}

	// Chunks of the backward search.
	big := filepath.Join(t.TempDir(), "b.log")
	text := "first\n" + strings.Repeat("x", 100<<10) + "\n" + strings.Repeat("y\n", 50<<10)
	say(t, open(t, big, Options{}), "%s", text)
	for n, want := range map[int]string{1: "y\n", 50 << 10: strings.Repeat("y\n", 50<<10), 50<<10 + 1: strings.TrimPrefix(text, "first\n"), 50<<10 + 2: text} {
		if got := readAll(t, big, n); got != want {
			t.Errorf("the last %d are %d bytes, want %d", n, len(got), len(want))
		}
	}
}

func TestWhatIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	if _, err := NewReader(t.Context(), path, ReadOptions{Lines: -1}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	// A kill between a rotation's two steps leaves no current file.
	if err := os.WriteFile(numbered(path, 3), []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, path, -1); got != "old\n" {
		t.Errorf("%q", got)
	}
}

// follow reads lines in a goroutine of its own.
func follow(t *testing.T, path string, lines int) (ch chan string, r *Reader) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := NewReader(ctx, path, ReadOptions{Lines: lines, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	ch = make(chan string, 10000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for in := bufio.NewReader(r); ; {
			line, err := in.ReadString('\n')
			if errors.Is(err, context.Canceled) {
				return
			}
			if err != nil {
				t.Errorf("following: %v", err)
				return
			}
			ch <- line
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return ch, r
}

func TestFollowAcrossRotations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log", "a.log")
	ch, _ := follow(t, path, -1) // before there is a log
	w := open(t, path, Options{MaxSize: 100, Files: 1000})
	for i := range 1000 {
		say(t, w, "line %d\n", i)
		if i%100 == 0 { // now and then the reader is at the end
			for j := max(i-99, 0); j <= i; j++ {
				if got := <-ch; got != fmt.Sprintf("line %d\n", j) {
					t.Fatalf("%q follows line %d", got, j-1)
				}
			}
		}
	}
	for j := 901; j < 1000; j++ {
		if got := <-ch; got != fmt.Sprintf("line %d\n", j) {
			t.Fatalf("%q follows line %d", got, j-1)
		}
	}
	// The last lines, and then what comes.
	tail, _ := follow(t, path, 2)
	none, _ := follow(t, path, 0)
	say(t, w, "new\n")
	for _, want := range []string{"line 998\n", "line 999\n", "new\n"} {
		if got := <-tail; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := <-none; got != "new\n" {
		t.Errorf("%q", got)
	}
	// The whole directory goes, and the log is begun anew.
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	say(t, w, "again\n")
	for name, c := range map[string]chan string{"first": ch, "tail": tail, "none": none} {
		for got := range c {
			if got == "again\n" {
				break
			}
			if got != "new\n" {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
}

func TestASlowReaderMissesWholeFilesAndSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	w := open(t, path, Options{MaxSize: 20, Files: 2})
	say(t, w, "line 0\n")
	r, err := NewReader(t.Context(), path, ReadOptions{Lines: -1, Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range 20 {
		say(t, w, "line %d\n", i+1) // two in a file
	}
	in := bufio.NewReader(r)
	var got []string
	for len(got) == 0 || got[len(got)-1] != "line 20" {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimSpace(line))
	}
	// The file that was open, the two that are kept, and the current one.
	if want := []string{"line 0", "line 1", "line 16", "line 17", "line 18", "line 19", "line 20"}; !reflect.DeepEqual(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	if r.Missed() != 7 {
		t.Errorf("missed %d files", r.Missed())
	}
}

func TestAReadThatWaitsEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, err := NewReader(ctx, path, ReadOptions{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Read(make([]byte, 10)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func BenchmarkWrite(b *testing.B) {
	w, err := Open(filepath.Join(b.TempDir(), "a.log"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	line := []byte(strings.Repeat("x", 199) + "\n")
	for b.Loop() {
		if _, err := w.Write(line); err != nil {
			b.Fatal(err)
		}
	}
}
