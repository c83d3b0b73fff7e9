//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// diskPiece is how many bytes disk writes in each place; the host's side knows it too.
const diskPiece = 1 << 20

// disk says what the block layer knows of vda, writes a piece at its beginning, in its middle and at
// its end, takes the one in the middle away again, and waits for the disk to grow: then it writes at
// the new end.
func disk(string) {
	must(os.MkdirAll("/sys", 0o755))
	must(unix.Mount("sys", "/sys", "sysfs", 0, ""))
	size := diskSize()
	fmt.Println("disk", size, attribute("serial"), attribute("queue/physical_block_size"), attribute("queue/discard_granularity"))
	fd, err := unix.Open("/dev/vda", unix.O_RDWR|unix.O_DIRECT, 0)
	must(err)
	for _, at := range []int64{0, size / 2, size - diskPiece} {
		writePiece(fd, at)
	}
	must(unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, size/2, diskPiece))
	if b := readPiece(fd, size/2); !bytes.Equal(b, make([]byte, diskPiece)) {
		fmt.Println("FAIL a hole in the disk reads as something")
	}
	must(unix.Fsync(fd))
	fmt.Println("written")
	for diskSize() == size {
		time.Sleep(5 * time.Millisecond)
	}
	writePiece(fd, diskSize()-diskPiece)
	must(unix.Fsync(fd))
	fmt.Println("grown", diskSize())
}

func attribute(name string) string {
	b, err := os.ReadFile("/sys/block/vda/" + name)
	must(err)
	return strings.TrimSpace(string(b))
}

// diskSize is in bytes.
func diskSize() (sectors int64) {
	_, err := fmt.Sscan(attribute("size"), &sectors)
	must(err)
	return sectors * 512
}

// page is memory that O_DIRECT can use.
func page() []byte {
	b, err := unix.Mmap(-1, 0, diskPiece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	must(err)
	return b
}

// writePiece fills a piece with its own position, and reads it back.
func writePiece(fd int, at int64) {
	b := page()
	copy(b, bytes.Repeat(fmt.Appendf(nil, "%016x", at), diskPiece/16))
	_, err := unix.Pwrite(fd, b, at)
	must(err)
	if !bytes.Equal(readPiece(fd, at), b) {
		fmt.Println("FAIL the disk reads back other bytes at", at)
	}
}

func readPiece(fd int, at int64) []byte {
	b := page()
	_, err := unix.Pread(fd, b, at)
	must(err)
	return b
}

// packets sends back each message that the host sends on a connection of messages to its port 1024.
func packets(string) {
	c, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_SEQPACKET, 0)
	must(err)
	must(unix.Connect(c, &unix.SockaddrVM{CID: unix.VMADDR_CID_HOST, Port: 1024}))
	b := make([]byte, 256<<10)
	for {
		n, err := unix.Read(c, b)
		must(err)
		if n == 0 {
			return
		}
		_, err = unix.Write(c, b[:n])
		must(err)
	}
}
