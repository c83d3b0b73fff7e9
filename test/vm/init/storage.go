//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/test/kit/guest"
)

// storm has each CPU write, read back and flush its own part of a disk at random, all at once:
// "DISK OPERATIONS SEED".
func storm(args []string) (string, error) {
	ops, _ := strconv.Atoi(args[1])
	seed, _ := strconv.ParseUint(args[2], 10, 64)
	d, err := os.OpenFile("/dev/"+args[0], os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return "", err
	}
	defer d.Close()
	cpus := runtime.NumCPU()
	errs := make([]error, cpus)
	var all sync.WaitGroup
	for cpu := range cpus {
		all.Go(func() { errs[cpu] = stormOn(d, cpu, ops, rand.New(rand.NewPCG(seed, uint64(cpu)))) })
	}
	all.Wait()
	return strconv.Itoa(cpus), errors.Join(errs...)
}

// stormSlots is how many blocks each CPU has.
const stormSlots = 64

// stormOn stays on one CPU, and so with one queue of the disk.
func stormOn(d *os.File, cpu, ops int, rnd *rand.Rand) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	b, err := unix.Mmap(-1, 0, block, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	defer unix.Munmap(b)
	var wrote [stormSlots]uint64 // 0 for none yet
	for op := range ops {
		slot := rnd.IntN(stormSlots)
		off := int64(cpu*stormSlots+slot) * block
		switch {
		case rnd.IntN(16) == 0:
			err = d.Sync()
		case wrote[slot] != 0 && rnd.IntN(2) == 0:
			err = checkBlocks(d, b, off, wrote[slot])
		default:
			wrote[slot] = uint64(cpu)<<32 | uint64(op) + 1
			err = writeBlocks(d, b, off, wrote[slot])
		}
		if err != nil {
			return fmt.Errorf("CPU %d, operation %d: %w", cpu, op, err)
		}
	}
	return nil
}

// scribble writes N blocks and flushes nothing: "DISK N SEED".
func scribble(args []string) (string, error) {
	n, _ := strconv.Atoi(args[1])
	seed, _ := strconv.ParseUint(args[2], 10, 64)
	d, err := os.OpenFile("/dev/"+args[0], os.O_WRONLY|unix.O_DIRECT, 0)
	if err != nil {
		return "", err
	}
	defer d.Close()
	b, err := unix.Mmap(-1, 0, block, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return "", err
	}
	defer unix.Munmap(b)
	for i := range n {
		if err := writeBlocks(d, b, int64(i)*block, seed+uint64(i)); err != nil {
			return "", err
		}
	}
	return "", nil
}

// store mounts a file system and puts a file of so many MiB on it, which nothing can shrink: "TYPE
// DISK MIB".
func store(args []string) (string, error) {
	n, _ := strconv.Atoi(args[2])
	if err := guest.LoadBtrfs(); err != nil {
		return "", err
	}
	dir := "/" + args[0]
	if err := errors.Join(os.MkdirAll(dir, 0o755), unix.Mount("/dev/"+args[1], dir, args[0], 0, "nodiscard")); err != nil {
		return "", err
	}
	f, err := os.Create(dir + "/large")
	if err != nil {
		return "", err
	}
	b, rnd := make([]byte, 1<<20), rand.New(rand.NewPCG(1, 1))
	for range n {
		for i := 0; i < len(b); i += 8 {
			binary.LittleEndian.PutUint64(b[i:], rnd.Uint64())
		}
		if _, err := f.Write(b); err != nil {
			return "", err
		}
	}
	return "", errors.Join(f.Sync(), f.Close())
}

// trim deletes the file, and has the file system say what it does not use: "TYPE". It answers with
// how many bytes that were.
func trim(args []string) (string, error) {
	dir := "/" + args[0]
	if err := os.Remove(dir + "/large"); err != nil {
		return "", err
	}
	f, err := os.Open(dir)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return "", err
	}
	n, err := fitrim(f)
	return strconv.FormatUint(n, 10), err
}
