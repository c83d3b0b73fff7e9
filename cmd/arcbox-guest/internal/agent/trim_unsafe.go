//go:build linux

package agent

import (
	"context"
	"fmt"
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// trim serves guestapi.Trim.
func (a *Agent) trim(_ context.Context, req *guestapi.TrimReq) (*guestapi.TrimResp, error) {
	path := req.Path
	if path == "" {
		path = a.Data
	}
	if mountAt(path) == nil {
		return nil, ipc.Errorf(guestapi.NotFound, "cannot trim %.200q: no file system is mounted there", path)
	}
	n, err := fitrim(path)
	if err != nil {
		return nil, fmt.Errorf("cannot trim %s: %w", path, err)
	}
	return &guestapi.TrimResp{Bytes: n}, nil
}

// fitrim is FITRIM of linux/fs.h, which x/sys/unix has no function for: it takes a range in bytes and
// puts what was discarded into its length.
func fitrim(path string) (uint64, error) {
	dir, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	span := struct{ start, len, least uint64 }{len: math.MaxUint64}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), 0xc0185879, uintptr(unsafe.Pointer(&span)))
	if errno != 0 {
		return 0, errno
	}
	return span.len, nil
}
