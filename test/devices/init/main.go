//go:build linux

// Command init is PID 1 of the guests of package devices' tests: it does what
// act= on the kernel command line says, and prints what it has done on the console.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/test/kit/guest"
)

func main() {
	must(unix.Mount("dev", "/dev", "devtmpfs", 0, ""))
	must(guest.LoadModules())
	console, err := os.OpenFile("/dev/hvc0", os.O_RDWR, 0)
	must(err)
	os.Stdout = console
	act, arg, _ := strings.Cut(os.Getenv("act"), ":")
	actions[act](arg)
	time.Sleep(100 * time.Millisecond)
	must(unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

var actions = map[string]func(arg string){
	"replace": replace,
	"vsock":   vsock,
	"memory":  memory,
	"disk":    disk,
	"packets": packets,
}

func must(err error) {
	if err != nil {
		fmt.Println("FAIL", err)
		time.Sleep(time.Hour)
	}
}

// files is how many files replace works on; the host's side knows it too.
const files = 40

// content is what version v of file i holds: its length and every word depend on both.
func content(i int, v uint64) []byte {
	b := make([]byte, (4096+(int(v)*977+i*131)%20000)&^7)
	for j := 0; j < len(b); j += 8 {
		binary.LittleEndian.PutUint64(b[j:], v<<8|uint64(i))
	}
	return b
}

// replace says what versions the files on the disk have, and then replaces files for ever,
// in the way in which programs do who care: a new file, fsync, rename, fsync of the directory.
// A line "safe I V" comes when version V of file I cannot be lost any more.
func replace(arg string) {
	seed, err := strconv.ParseUint(arg, 10, 32)
	must(err)
	must(os.MkdirAll("/mnt", 0o755))
	must(unix.Mount("/dev/vda", "/mnt", "ext4", 0, ""))
	for i := range files {
		if b, err := os.ReadFile(name(i)); err == nil {
			version(i, b)
		}
	}
	fmt.Println("working")
	rnd := rand.New(rand.NewPCG(seed, 1))
	for v := seed << 20; ; v++ {
		i := rnd.IntN(files)
		must(writeSync(name(i)+".new", content(i, v)))
		must(os.Rename(name(i)+".new", name(i)))
		must(syncDir("/mnt"))
		fmt.Println("safe", i, v)
	}
}

func name(i int) string { return fmt.Sprintf("/mnt/f%d", i) }

// version says which version a file has, if it is whole.
func version(i int, b []byte) {
	v := uint64(0)
	if len(b) >= 8 {
		v = binary.LittleEndian.Uint64(b) >> 8
	}
	if bytes.Equal(b, content(i, v)) {
		fmt.Println("found", i, v)
	} else {
		fmt.Println("FAIL file", i, "is damaged")
	}
}

func writeSync(path string, b []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// vsock echoes what comes to port 1, until a connection to the host's port 1024 ends.
func vsock(string) {
	l, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Bind(l, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: 1}))
	must(unix.Listen(l, 128))
	go func() {
		for {
			fd, _, err := unix.Accept(l)
			must(err)
			go echo(os.NewFile(uintptr(fd), "connection"))
		}
	}()
	c, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Connect(c, &unix.SockaddrVM{CID: unix.VMADDR_CID_HOST, Port: 1024}))
	host := os.NewFile(uintptr(c), "host")
	_, err = io.WriteString(host, "ready\n")
	must(err)
	_, _ = io.Copy(io.Discard, host)
}

func echo(f *os.File) {
	b := make([]byte, 64<<10)
	for {
		n, err := f.Read(b)
		if err != nil {
			_ = f.Close()
			return
		}
		if _, err := f.Write(b[:n]); err != nil {
			_ = f.Close()
			return
		}
	}
}

// memory uses so many MiB, frees them, and waits.
func memory(arg string) {
	n, err := strconv.Atoi(arg)
	must(err)
	b, err := unix.Mmap(-1, 0, n<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	must(err)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	fmt.Println("used")
	must(unix.Munmap(b))
	fmt.Println("freed")
	time.Sleep(time.Hour)
}
