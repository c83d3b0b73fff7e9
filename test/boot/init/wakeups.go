//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// late is how long after its time a sleeper may wake, by the guest's clock: the
// host's other work makes some of it, a lost wake-up far more.
const late = 5 * time.Second

// A watch collects what the threads of wakeups see.
type watch struct {
	worst        atomic.Int64 // nanoseconds that a sleeper was late
	sleeps, pass atomic.Int64 // sleeps, and bytes through the pipes
	load         atomic.Bool  // whether this is a phase of load

}

// wakeups sleeps, passes bytes between CPUs and computes for so long, in phases
// of idleness and load, and says what came late.
func wakeups(length string) {
	long, err := time.ParseDuration(length)
	must(err)
	w := &watch{}
	n := runtime.NumCPU()
	for cpu := range n {
		w.pinned(cpu, w.sleeper)
		w.pinned(cpu, w.worker)
		there, back := pipe(), pipe()
		w.pinned(cpu, func() { w.passer(there[0], back[1], false) })
		w.pinned((cpu+1)%n, func() { w.passer(back[0], there[1], true) })
	}
	phase := min(long/4, 5*time.Second)
	for end := time.Now().Add(long); time.Now().Before(end); {
		passed := w.pass.Load()
		time.Sleep(phase)
		fmt.Printf("test init: beat, load %v, %d sleeps, %d bytes, at worst %v late\n",
			w.load.Load(), w.sleeps.Load(), w.pass.Load(), time.Duration(w.worst.Load()))
		if w.pass.Load() == passed {
			fmt.Printf("test init: no byte passed in %v\n", phase)
		}
		w.load.Store(!w.load.Load())
	}
	if worst := time.Duration(w.worst.Load()); worst > late {
		fmt.Printf("test init: a sleeper was %v late\n", worst)
		return
	}
	fmt.Println("test init: all woke")
}

// pinned runs f on a thread of its own on one CPU.
func (w *watch) pinned(cpu int, f func()) {
	go func() { // for as long as the guest lives
		runtime.LockOSThread()
		var set unix.CPUSet
		set.Set(cpu)
		must(unix.SchedSetaffinity(0, &set))
		f()
	}()
}

// sleeper sleeps in the kernel, not in Go's scheduler, for 1 ms to 0.5 s.
func (w *watch) sleeper() {
	for {
		d := time.Millisecond + rand.N(500*time.Millisecond)
		ts, start := unix.NsecToTimespec(int64(d)), time.Now()
		if err := unix.Nanosleep(&ts, nil); err != nil {
			continue
		}
		w.sleeps.Add(1)
		for over := int64(time.Since(start) - d); ; {
			if old := w.worst.Load(); over <= old || w.worst.CompareAndSwap(old, over) {
				break
			}
		}
	}
}

// worker computes in phases of load and sleeps in the others.
func (w *watch) worker() {
	for sum := 0; ; {
		if !w.load.Load() {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		for i := range 100_000 {
			sum = sum*31 + i
		}
	}
}

// passer gives a byte on, in phases of idleness ten times a second; the first
// begins.
func (w *watch) passer(from, to *os.File, first bool) {
	b := []byte{1}
	for {
		if first {
			must2(to.Write(b))
		}
		must2(from.Read(b))
		if !first {
			must2(to.Write(b))
		}
		w.pass.Add(1)
		if first && !w.load.Load() {
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// pipe is one with blocking ends: each read is a wait in the kernel.
func pipe() [2]*os.File {
	var fds [2]int
	must(unix.Pipe2(fds[:], 0))
	return [2]*os.File{os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe")}
}

func must2(_ int, err error) { must(err) }
