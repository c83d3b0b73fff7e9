//go:build linux

// Command guest is the init of a benchmark's guest: it does the work that
// bench= on the kernel command line names, says how long each took by the
// guest's clock, and powers off.
package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Work is sized for about 300 million guest instructions each: a second of
// interpreting, long against the clock's resolution and the guest's timer ticks.
// alone and together are twice the integer work, on one vCPU and on two.
var work = map[string]func() uint64{
	"int": integer, "mem": memory, "fp": floating,
	"alone":    func() uint64 { return integer() ^ integer()<<1 },
	"together": together,
}

func main() {
	fmt.Println("bench init")
	// The kernel gives what it does not know as name=value to init's environment.
	for _, name := range strings.Split(os.Getenv("bench"), ",") {
		run, ok := work[name]
		if !ok {
			continue
		}
		run() // once to fault everything in
		start := time.Now()
		sum := run()
		fmt.Printf("bench %s %d %016x\n", name, time.Since(start).Nanoseconds(), sum)
	}
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

// integer sorts, hashes and divides: branches that are hard to foresee, and
// arithmetic that depends on itself.
func integer() uint64 {
	x, sum := uint64(88172645463325252), uint64(0)
	keys := make([]uint32, 1<<15)
	for range 32 {
		for i := range keys {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			keys[i] = uint32(x)
		}
		slices.Sort(keys)
		for i, k := range keys {
			sum = sum*31 + uint64(k)/uint64(i+1)
		}
	}
	return sum
}

// together is the integer work on two threads at once.
func together() uint64 {
	other := make(chan uint64)
	go func() { other <- integer() }()
	return integer() ^ <-other<<1
}

// memory copies 256 KiB blocks and follows a chain of pointers through 4 MiB.
func memory() uint64 {
	const n = 1 << 20
	next := make([]uint32, n)
	for i := range next {
		next[i] = uint32(i)
	}
	x := uint32(1)
	for i := n - 1; i > 0; i-- { // Sattolo: one cycle through all
		x = x*1664525 + 1013904223
		j := int(x>>8) % i
		next[i], next[j] = next[j], next[i]
	}
	at := uint32(0)
	for range 3<<20 + 5 {
		at = next[at]
	}
	blocks := make([]byte, 1<<20)
	for i := range blocks {
		blocks[i] = byte(i * 7)
	}
	for i := range 400 {
		copy(blocks[i%3<<18:], blocks[3<<18:])
		blocks[3<<18+i]++
	}
	return uint64(at)<<32 | uint64(blocks[1<<18+5])
}

// floating iterates the Mandelbrot set and a small n-body system: adds,
// multiplies, fused multiply-adds, divisions and square roots in double
// precision.
func floating() uint64 {
	inside := 0
	for py := range 320 {
		for px := range 320 {
			cr, ci := float64(px)/128-1.9, float64(py)/128-1.25
			zr, zi := 0.0, 0.0
			for k := 0; zr*zr+zi*zi < 4; k++ {
				if k == 200 {
					inside++
					break
				}
				zr, zi = zr*zr-zi*zi+cr, 2*zr*zi+ci
			}
		}
	}
	pos := [5]float64{0, 1, 2.5, 4.1, 7.3}
	vel := [5]float64{0.1, -0.2, 0.05, 0.3, -0.1}
	for range 100000 {
		for i := range pos {
			for j := range pos {
				if i != j {
					d := pos[j] - pos[i]
					vel[i] += 1e-4 * d / (math.Sqrt(d*d+0.01) * (d*d + 0.01))
				}
			}
		}
		for i := range pos {
			pos[i] += 1e-3 * vel[i]
		}
	}
	return uint64(inside)<<32 ^ math.Float64bits(pos[0]+pos[4])
}
