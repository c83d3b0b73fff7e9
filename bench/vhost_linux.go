package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Requests of the vhost-user protocol (QEMU: docs/interop/vhost-user.rst).
const (
	vuGetFeatures         = 1
	vuSetFeatures         = 2
	vuSetOwner            = 3
	vuSetMemTable         = 5
	vuSetVringNum         = 8
	vuSetVringAddr        = 9
	vuSetVringBase        = 10
	vuSetVringKick        = 12
	vuSetVringCall        = 13
	vuGetProtocolFeatures = 15
	vuSetProtocolFeatures = 16
	vuSetVringEnable      = 18

	vuVersion         = 1       // in flags
	vuReply           = 4       // in flags: this is an answer
	vuFeatureProtocol = 1 << 30 // VHOST_USER_F_PROTOCOL_FEATURES
	vuProtocolNothing = 0       // none of the protocol's features is needed
)

// daemonPatience is how long a daemon may take to start.
const daemonPatience = 10 * time.Second

// A vhostUser is the front end's connection to a device in another process.
type vhostUser struct {
	conn *net.UnixConn
	err  error // the first one; after it nothing is sent
}

// send sends one request, with descriptors.
func (v *vhostUser) send(request uint32, payload any, fds ...int) {
	if v.err != nil {
		return
	}
	body := make([]byte, 0, 64)
	if payload != nil {
		body, v.err = binary.Append(body, binary.LittleEndian, payload)
	}
	msg, _ := binary.Append(nil, binary.LittleEndian, []uint32{request, vuVersion, uint32(len(body))})
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if v.err == nil {
		_, _, v.err = v.conn.WriteMsgUnix(append(msg, body...), rights, nil)
	}
}

// ask sends a request that is answered with 64 bits.
func (v *vhostUser) ask(request uint32) (answer uint64) {
	v.send(request, nil)
	var r struct {
		Request, Flags, Size uint32
		Value                uint64
	}
	b := make([]byte, binary.Size(r))
	if v.err == nil {
		_, v.err = io.ReadFull(v.conn, b)
	}
	if v.err == nil {
		v.err = binary.Read(bytes.NewReader(b), binary.LittleEndian, &r)
	}
	if v.err == nil && (r.Request != request || r.Flags&vuReply == 0 || r.Size != 8) {
		v.err = fmt.Errorf("cannot understand the answer % x to vhost-user request %d", b, request)
	}
	return r.Value
}

// setUp brings queue 0 up.
func (v *vhostUser) setUp(m *shared) error {
	v.send(vuSetOwner, nil)
	offered := v.ask(vuGetFeatures)
	want := uint64(ringFeatures | blkFlush)
	if offered&vuFeatureProtocol != 0 {
		want |= vuFeatureProtocol
		v.ask(vuGetProtocolFeatures)
		v.send(vuSetProtocolFeatures, uint64(vuProtocolNothing))
	}
	if v.err == nil && want&^offered != 0 {
		return fmt.Errorf("cannot drive the device: it offers features %#x, and %#x are needed", offered, want)
	}
	v.send(vuSetFeatures, want)
	// Rings are named by the driver's own addresses; those of the guest will do.
	v.send(vuSetMemTable, struct {
		Regions, _              uint32
		Guest, Size, User, Offs uint64
	}{Regions: 1, Guest: guestBase, Size: blkMemory, User: guestBase}, m.memory)
	v.send(vuSetVringNum, [2]uint32{0, ringSize})
	v.send(vuSetVringBase, [2]uint32{0, 0})
	v.send(vuSetVringAddr, struct {
		Index, Flags           uint32
		Desc, Used, Avail, Log uint64
	}{Desc: guestBase, Used: guestBase + usedAt, Avail: guestBase + availAt})
	v.send(vuSetVringKick, uint64(0), m.kick)
	v.send(vuSetVringCall, uint64(0), m.call)
	v.send(vuSetVringEnable, [2]uint32{0, 1})
	v.ask(vuGetFeatures) // all before it has been done when it is answered
	return v.err
}

// daemonWays are how the daemon can do its I/O on a file in the page cache; which is quicker
// depends on the load.
var daemonWays = []string{"threads", "io_uring"}

// openDaemon puts qemu-storage-daemon's device behind a driver.
func openDaemon(path, way string) (_ *blkDriver, err error) {
	var ends []func() error
	end := func() {
		for i := len(ends) - 1; i >= 0; i-- {
			_ = ends[i]()
		}
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	ends = append(ends, func() error { return os.RemoveAll(dir) })
	sock := filepath.Join(dir, "blk.sock")
	cmd, err := startDaemon(path, way, sock)
	if err != nil {
		return nil, err
	}
	ends = append(ends, cmd.Wait, cmd.Process.Kill)
	conn, err := dial(sock)
	if err != nil {
		return nil, err
	}
	ends = append(ends, conn.Close)
	m, err := newShared()
	if err != nil {
		return nil, err
	}
	ends = append(ends, m.close)
	if err := (&vhostUser{conn: conn}).setUp(m); err != nil {
		return nil, fmt.Errorf("cannot set the peer's device up: %w", err)
	}
	r := newRing(m.ram, 0)
	r.notify = m.ring
	return &blkDriver{ring: r, wait: m.wait, end: end}, nil
}

func startDaemon(path, way, sock string) (*exec.Cmd, error) {
	cmd := exec.Command("qemu-storage-daemon",
		"--blockdev", "driver=file,node-name=disk,locking=off,aio="+way+",filename="+path,
		"--export", "type=vhost-user-blk,id=export,node-name=disk,writable=on,addr.type=unix,addr.path="+sock)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start the peer: %w", err)
	}
	return cmd, nil
}

// shared is what driver and daemon share: guest memory and two event counters.
type shared struct {
	ram                []byte
	memory, kick, call int
}

func newShared() (m *shared, err error) {
	m = new(shared)
	var errs [5]error
	m.memory, errs[0] = unix.MemfdCreate("guest", unix.MFD_CLOEXEC)
	errs[1] = unix.Ftruncate(m.memory, blkMemory)
	m.kick, errs[2] = unix.Eventfd(0, unix.EFD_CLOEXEC)
	m.call, errs[3] = unix.Eventfd(0, unix.EFD_CLOEXEC)
	m.ram, errs[4] = unix.Mmap(m.memory, 0, blkMemory, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return m, errors.Join(errs[:]...)
}

func (m *shared) close() error {
	return errors.Join(unix.Munmap(m.ram), unix.Close(m.memory), unix.Close(m.kick), unix.Close(m.call))
}

// one is what an event counter is told.
var one = [8]byte{1}

func (m *shared) ring() { _, _ = unix.Write(m.kick, one[:]) }

// wait waits for an interrupt. The daemon makes the counter non-blocking for both of us.
func (m *shared) wait() error {
	var got [8]byte
	for {
		_, err := unix.Read(m.call, got[:])
		if err != unix.EAGAIN && err != unix.EINTR {
			return err
		}
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(m.call), Events: unix.POLLIN}}, -1); err != nil && err != unix.EINTR {
			return err
		}
	}
}

// dial waits for a daemon that has just been started to listen: it says nothing when it does.
func dial(path string) (*net.UnixConn, error) {
	for end := time.Now().Add(daemonPatience); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		if err == nil || time.Now().After(end) {
			return conn, err
		}
	}
}
