//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/test/kit/guest"
)

// What work keeps on a file system.
const (
	workFiles  = 12 // each replaced as a whole
	workLogs   = 4  // each appended to
	workBlocks = 64 // of one file, each written over in place
	workBlock  = 4096
)

// work uses a file system until the machine ends: "TYPE DISK SEED". First it says on c what is there,
// "found KIND I VERSION" for each thing, then "working", and from then on "safe KIND I VERSION"
// whenever an fsync has returned that covers it. What is damaged is a line "FAIL ...".
func work(c *os.File, args []string) {
	if err := workOn(c, args); err != nil {
		fmt.Fprintln(c, "FAIL", err)
	}
}

func workOn(c *os.File, args []string) error {
	seed, err := strconv.ParseUint(args[2], 10, 32)
	if err != nil {
		return err
	}
	if args[0] == "btrfs" {
		if err := guest.LoadBtrfs(); err != nil {
			return err
		}
	}
	w := &worker{c: c, dir: "/" + args[0], rnd: rand.New(rand.NewPCG(seed, 1)), version: seed << 20}
	if err := errors.Join(os.MkdirAll(w.dir, 0o755), unix.Mount("/dev/"+args[1], w.dir, args[0], 0, "")); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if err := w.look(); err != nil {
		return err
	}
	fmt.Fprintln(c, "working")
	for {
		w.version++
		if err := w.step(); err != nil {
			return err
		}
	}
}

// A worker is one file system at work.
type worker struct {
	c       *os.File
	dir     string
	rnd     *rand.Rand
	version uint64 // of what is written next
	logs    [workLogs]uint64
	db      *os.File
}

func (w *worker) path(kind string, i int) string {
	return filepath.Join(w.dir, fmt.Sprint(kind, i))
}

func (w *worker) say(what, kind string, i int, v uint64) {
	fmt.Fprintln(w.c, what, kind, i, v)
}

// step does one thing at random.
func (w *worker) step() error {
	switch w.rnd.IntN(3) {
	case 0:
		return w.replace(w.rnd.IntN(workFiles))
	case 1:
		return w.extend(w.rnd.IntN(workLogs))
	}
	return w.overwrite(w.rnd.IntN(workBlocks))
}

// look says what is there, and leaves it fit to go on with.
func (w *worker) look() error {
	for i := range workFiles {
		b, err := os.ReadFile(w.path("file", i))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		v := firstWord(b)
		if !slices.Equal(b, content(i, v)) {
			return fmt.Errorf("file %d is damaged: %d bytes, version %d", i, len(b), v)
		}
		w.say("found", "file", i, v)
	}
	for i := range workLogs {
		if err := w.lookAtLog(i); err != nil {
			return err
		}
	}
	return w.lookAtBlocks()
}

// content is what version v of file i holds: its length and every word depend on both.
func content(i int, v uint64) []byte {
	return words((4096+int(v)*977+i*131)%20000/8+1, v)
}

func words(n int, v uint64) []byte {
	b := make([]byte, 8*n)
	for j := range n {
		binary.LittleEndian.PutUint64(b[8*j:], v)
	}
	return b
}

func firstWord(b []byte) uint64 {
	if len(b) < 8 {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

// replace replaces a file as programs do who care: a new one, fsync, rename, fsync of the
// directory.
func (w *worker) replace(i int) error {
	path := w.path("file", i)
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(content(i, w.version))
	if err := errors.Join(err, f.Sync(), f.Close(), os.Rename(path+".new", path), w.syncDir()); err != nil {
		return err
	}
	w.say("safe", "file", i, w.version)
	return nil
}

func (w *worker) syncDir() error {
	d, err := os.Open(w.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// record is the nth record of log i.
func record(i int, n uint64) []byte { return words(1+int(n*37+uint64(i)*5)%400, n) }

// lookAtLog counts the records of a log. Behind the last whole one may be what was being written.
func (w *worker) lookAtLog(i int) error {
	b, err := os.ReadFile(w.path("log", i))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	at, n := 0, uint64(0)
	for {
		next := record(i, n+1)
		if len(b)-at < len(next) || !slices.Equal(b[at:at+len(next)], next) {
			break
		}
		at += len(next)
		n++
	}
	w.logs[i] = n
	if at < len(b) {
		if err := os.Truncate(w.path("log", i), int64(at)); err != nil {
			return err
		}
	}
	w.say("found", "log", i, n)
	return nil
}

// extend appends a record to a log.
func (w *worker) extend(i int) error {
	f, err := os.OpenFile(w.path("log", i), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	w.logs[i]++
	n := w.logs[i]
	_, err = f.Write(record(i, n))
	err = errors.Join(err, f.Sync(), f.Close())
	if n == 1 {
		err = errors.Join(err, w.syncDir())
	}
	if err == nil {
		w.say("safe", "log", i, n)
	}
	return err
}

// lookAtBlocks says which version each block has, and makes the file when it is not there.
func (w *worker) lookAtBlocks() (err error) {
	w.db, err = os.OpenFile(w.path("db", 0), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	b := make([]byte, workBlocks*workBlock)
	if n, _ := w.db.ReadAt(b, 0); n < len(b) {
		if _, err := w.db.WriteAt(make([]byte, len(b)-n), int64(n)); err != nil {
			return err
		}
		if err := errors.Join(w.db.Sync(), w.syncDir()); err != nil {
			return err
		}
	}
	for i := range workBlocks {
		p := b[i*workBlock : (i+1)*workBlock]
		v := firstWord(p)
		if !slices.Equal(p, words(workBlock/8, v)) {
			return fmt.Errorf("block %d is damaged: its first version is %d", i, v)
		}
		w.say("found", "block", i, v)
	}
	return nil
}

// overwrite writes a block in place, as databases do.
func (w *worker) overwrite(i int) error {
	if _, err := w.db.WriteAt(words(workBlock/8, w.version), int64(i)*workBlock); err != nil {
		return err
	}
	if err := unix.Fdatasync(int(w.db.Fd())); err != nil {
		return err
	}
	w.say("safe", "block", i, w.version)
	return nil
}
