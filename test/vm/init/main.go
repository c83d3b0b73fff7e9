//go:build linux

// Command init is PID 1 of the guests of package vm's tests: it does what the lines say
// that come to its vsock port 5, and answers each with a line, "ok ..." or "error ...".
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/test/kit/guest"
)

func main() {
	must(guest.LoadModules())
	must(unix.Mount("dev", "/dev", "devtmpfs", 0, ""))
	must(guest.OpenConsole())
	must(os.MkdirAll("/sys", 0o755))
	must(unix.Mount("sys", "/sys", "sysfs", 0, ""))
	must(os.MkdirAll("/proc", 0o755))
	must(unix.Mount("proc", "/proc", "proc", 0, ""))
	l, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Bind(l, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: 5}))
	must(unix.Listen(l, 128))
	fmt.Println("up")
	go func() { must(announce()) }()
	for {
		fd, _, err := unix.Accept(l)
		must(err)
		go serve(os.NewFile(uintptr(fd), "connection"))
	}
}

// announce connects to the host's port 1024 and says hello, as a guest agent does.
func announce() error {
	host, err := dial(1024)
	if err != nil {
		return nil // a test that does not listen
	}
	announced = host
	_, err = fmt.Fprintln(host, "hello")
	return err
}

// announced stays open, as a guest agent's announcement does.
var announced *os.File

func must(err error) {
	if err != nil {
		fmt.Println("FAIL", err)
		os.Exit(1)
	}
}

func dial(port uint32) (*os.File, error) {
	c, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(c, &unix.SockaddrVM{CID: unix.VMADDR_CID_HOST, Port: port}); err != nil {
		unix.Close(c)
		return nil, err
	}
	return os.NewFile(uintptr(c), "host"), nil
}

// serve does the lines of one connection. After "work" it is the worker's.
func serve(c *os.File) {
	defer c.Close()
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if words[0] == "work" {
			work(c, words[1:])
			return
		}
		do := commands[words[0]]
		if do == nil {
			fmt.Fprintln(c, "error: no such command")
			continue
		}
		if said, err := do(words[1:]); err != nil {
			fmt.Fprintln(c, "error", err)
		} else {
			fmt.Fprintln(c, "ok", said)
		}
	}
}

// commands take words and answer with a line.
var commands = map[string]func(args []string) (string, error){
	"echo":     func(args []string) (string, error) { return strings.Join(args, " "), nil },
	"uptime":   uptime,
	"queues":   queues,
	"size":     size,
	"fill":     func(args []string) (string, error) { return each(args, writeBlocks) },
	"check":    func(args []string) (string, error) { return each(args, checkBlocks) },
	"storm":    storm,
	"scribble": scribble,
	"store":    store,
	"trim":     trim,
	"mount":    mount,
	"print":    printOn,
	"type":     readLine,
	"window":   window,
	"use":      use,
	"drop":     drop,
	"random":   random,
	"poweroff": func([]string) (string, error) { return "", leave(unix.LINUX_REBOOT_CMD_POWER_OFF) },
	"reboot":   func([]string) (string, error) { return "", leave(unix.LINUX_REBOOT_CMD_RESTART) },
	"panic":    func([]string) (string, error) { os.Exit(3); return "", nil },
}

func leave(how int) error {
	unix.Sync()
	return unix.Reboot(how)
}

// uptime is what the kernel says of CLOCK_MONOTONIC, in milliseconds.
func uptime([]string) (string, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return strconv.FormatInt(ts.Nano()/1e6, 10), err
}

// queues counts the hardware queues of a disk.
func queues(args []string) (string, error) {
	found, err := filepath.Glob("/sys/block/" + args[0] + "/mq/*")
	return strconv.Itoa(len(found)), err
}

// size is that of a disk in bytes, as the driver knows it.
func size(args []string) (string, error) {
	b, err := os.ReadFile("/sys/block/" + args[0] + "/size")
	if err != nil {
		return "", err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return strconv.FormatInt(n*512, 10), err
}

const block = 64 << 10

// each opens a disk and calls f for N blocks of it: "DISK N SEED". Caches are not used.
func each(args []string, f func(d *os.File, b []byte, off int64, v uint64) error) (string, error) {
	n, _ := strconv.Atoi(args[1])
	seed, _ := strconv.ParseUint(args[2], 10, 64)
	d, err := os.OpenFile("/dev/"+args[0], os.O_RDWR|unix.O_DIRECT, 0)
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
		if err := f(d, b, int64(i)*block, seed+uint64(i)); err != nil {
			return "", fmt.Errorf("block %d: %w", i, err)
		}
	}
	return "", d.Sync()
}

func writeBlocks(d *os.File, b []byte, off int64, v uint64) error {
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], v)
	}
	_, err := d.WriteAt(b, off)
	return err
}

func checkBlocks(d *os.File, b []byte, off int64, v uint64) error {
	if _, err := d.ReadAt(b, off); err != nil {
		return err
	}
	want := bytes.Repeat(binary.LittleEndian.AppendUint64(nil, v), len(b)/8)
	if !bytes.Equal(b, want) {
		return errors.New("holds something else than was written")
	}
	return nil
}

// mount mounts a disk read-only and answers with a file of it: "DISK TYPE FILE".
func mount(args []string) (string, error) {
	if err := os.MkdirAll("/mnt", 0o755); err != nil {
		return "", err
	}
	if err := unix.Mount("/dev/"+args[0], "/mnt", args[1], unix.MS_RDONLY, ""); err != nil {
		return "", err
	}
	b, err := os.ReadFile("/mnt/" + args[2])
	return strings.TrimSpace(string(b)), err
}

// printOn prints on a console: "CONSOLE WORD TIMES".
func printOn(args []string) (string, error) {
	f, err := os.OpenFile("/dev/"+args[0], os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	n, _ := strconv.Atoi(args[2])
	_, err = f.WriteString(strings.Repeat(args[1]+"\n", n))
	return "", err
}

// readLine answers with a line that was typed on a console.
func readLine(args []string) (string, error) {
	f, err := os.OpenFile("/dev/"+args[0], os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadString('\n')
	return strings.TrimSpace(line), err
}

// window is the size of a console's terminal.
func window(args []string) (string, error) {
	f, err := os.OpenFile("/dev/"+args[0], os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%dx%d", w.Col, w.Row), nil
}

var used []byte

// use takes so many MiB of memory, drop gives them back.
func use(args []string) (string, error) {
	n, _ := strconv.Atoi(args[0])
	var err error
	used, err = unix.Mmap(-1, 0, n<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return "", err
	}
	for i := 0; i < len(used); i += 4096 {
		used[i] = byte(i >> 12)
	}
	return "", nil
}

func drop([]string) (string, error) {
	for i := 0; i < len(used); i += 4096 {
		if used[i] != byte(i>>12) {
			return "", fmt.Errorf("page %d was lost", i/4096)
		}
	}
	return "", unix.Munmap(used)
}

// random reads from the host's entropy.
func random([]string) (string, error) {
	f, err := os.Open("/dev/hwrng")
	if err != nil {
		return "", err
	}
	defer f.Close()
	var b [16]byte
	if _, err := io.ReadFull(f, b[:]); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", b), nil
}
