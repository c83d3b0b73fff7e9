//go:build cgo && (darwin || macshim)

package vmnet

/*
#include <stdlib.h>
#include "vmnet.h"
*/
import "C"

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// A card is one interface. C knows it by a number, so that what comes late finds nobody.
type card struct {
	c       *C.struct_vmn
	sock    net.Conn      // our end of the stream
	packets chan struct{} // has a word when there are some to read
	started chan answer
	stopped chan struct{}
}

// An answer is how a start went.
type answer struct {
	status C.uint32_t
	room   uint64 // bytes of the largest packet
}

var cards = struct {
	mu   sync.Mutex // guards what follows
	last C.uintptr_t
	all  map[C.uintptr_t]*card
}{all: map[C.uintptr_t]*card{}}

func cardOf(id C.uintptr_t) *card {
	cards.mu.Lock()
	defer cards.mu.Unlock()
	return cards.all[id]
}

// Start makes an interface whose host side has an address. What it gives is the other side: a stream of Ethernet frames, each
// behind 4 bytes of its length, big-endian. When that is closed the interface goes, and ended is called. Errors: syscall.EPERM
// (wrapped) without the right.
func Start(ctx context.Context, host netip.Prefix, ended func()) (*os.File, error) {
	sock, theirs, err := ipc.Pair()
	if err != nil {
		return nil, err
	}
	k := &card{sock: sock, packets: make(chan struct{}, 1), started: make(chan answer, 1), stopped: make(chan struct{})}
	id := k.enlist()
	if err := k.begin(id, host); err != nil {
		k.dismiss(id)
		sock.Close()
		theirs.Close()
		return nil, err
	}
	var a answer
	select {
	case a = <-k.started:
	case <-ctx.Done(): // it will come all the same
		theirs.Close()
		go func() { k.end(id, (<-k.started).status == C.VMN_SUCCESS) }()
		return nil, fmt.Errorf("cannot make an interface of vmnet: %w", context.Cause(ctx))
	}
	err = failure(a.status)
	if err == nil && C.vmn_listen(k.c) == 0 {
		err = errors.New("it does not tell of packets")
	}
	if err != nil {
		theirs.Close()
		k.end(id, a.status == C.VMN_SUCCESS)
		return nil, fmt.Errorf("cannot make an interface of vmnet: %w", err)
	}
	go func() {
		k.carry(int(a.room))
		k.end(id, true)
		ended()
	}()
	return theirs, nil
}

// enlist gives the card a number.
func (k *card) enlist() C.uintptr_t {
	cards.mu.Lock()
	defer cards.mu.Unlock()
	cards.last++
	cards.all[cards.last] = k
	return cards.last
}

func (k *card) dismiss(id C.uintptr_t) {
	cards.mu.Lock()
	defer cards.mu.Unlock()
	delete(cards.all, id)
}

// begin asks vmnet for the interface, in a network that nobody else has.
func (k *card) begin(id C.uintptr_t, host netip.Prefix) error {
	address, mask := C.CString(host.Addr().String()), C.CString(net.IP(net.CIDRMask(host.Bits(), 32)).String())
	defer C.free(unsafe.Pointer(address))
	defer C.free(unsafe.Pointer(mask))
	var uuid [16]byte
	rand.Read(uuid[:])
	uuid[6], uuid[8] = uuid[6]&0x0f|0x40, uuid[8]&0x3f|0x80 // a random one (RFC 9562, 5.4)
	if k.c = C.vmn_start(id, address, mask, (*C.uchar)(&uuid[0])); k.c == nil {
		return errors.New("cannot make an interface of vmnet: it takes no such description")
	}
	return nil
}

// failure is what a status says, nil for success.
func failure(status C.uint32_t) error {
	switch {
	case status == C.VMN_SUCCESS:
		return nil
	case status == C.VMN_NOT_AUTHORIZED || os.Geteuid() != 0: // older systems only say that it failed
		return fmt.Errorf("status %d: %w", status, syscall.EPERM)
	}
	return fmt.Errorf("status %d", status)
}

// Sizes of a frame in bytes: an Ethernet header, and what the stream may say at most.
const (
	minFrame = 14
	maxFrame = 18 + 65535
)

// carry passes frames both ways until the stream ends.
func (k *card) carry(room int) {
	var out sync.WaitGroup
	over := make(chan struct{})
	out.Go(func() { k.carryOut(max(room, minFrame), over) })
	defer out.Wait()
	defer close(over)
	defer k.sock.Close()
	var head [4]byte
	frame := make([]byte, maxFrame)
	for {
		if _, err := io.ReadFull(k.sock, head[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(head[:])
		if n < minFrame || n > maxFrame {
			return // whoever sends this is no network of ours
		}
		if _, err := io.ReadFull(k.sock, frame[:n]); err != nil {
			return
		}
		C.vmn_write(k.c, unsafe.Pointer(&frame[0]), C.size_t(n))
	}
}

// carryOut writes what the host sends to the stream.
func (k *card) carryOut(room int, over <-chan struct{}) {
	b := make([]byte, 4+min(room, maxFrame))
	for {
		select {
		case <-k.packets:
		case <-over:
			return
		}
		for {
			n := int(C.vmn_read(k.c, unsafe.Pointer(&b[4]), C.size_t(len(b)-4)))
			if n == 0 {
				break
			}
			binary.BigEndian.PutUint32(b, uint32(n))
			if _, err := k.sock.Write(b[:4+n]); err != nil {
				return // the reader knows
			}
		}
	}
}

// end puts the interface away, stopping it if it has started.
func (k *card) end(id C.uintptr_t, started bool) {
	k.sock.Close()
	if started && C.vmn_stop(k.c) != 0 {
		<-k.stopped
	}
	k.dismiss(id)
	C.vmn_free(k.c)
}

// goVmnStarted is told how a start went, on the queue's thread.
//
//export goVmnStarted
func goVmnStarted(id C.uintptr_t, status C.uint32_t, room C.uint64_t) {
	if k := cardOf(id); k != nil {
		k.started <- answer{status, uint64(room)}
	}
}

// goVmnPackets is told that there are packets to read.
//
//export goVmnPackets
func goVmnPackets(id C.uintptr_t) {
	if k := cardOf(id); k != nil {
		select {
		case k.packets <- struct{}{}:
		default:
		}
	}
}

// goVmnStopped is told that the interface has ended.
//
//export goVmnStopped
func goVmnStopped(id C.uintptr_t) {
	if k := cardOf(id); k != nil {
		close(k.stopped)
	}
}
