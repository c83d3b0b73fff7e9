//go:build cgo && (darwin || macshim)

package launchd

/*
#include <launch.h>
#include <stdlib.h>

_Static_assert(__builtin_types_compatible_p(__typeof__(&launch_activate_socket), int (*)(const char *, int **, size_t *)),
	"launch_activate_socket is not what this file calls");
*/
import "C"

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"
)

// activate asks launchd for the descriptors of one socket.
func activate(name string) ([]uintptr, error) {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	var fds *C.int
	var n C.size_t
	switch err := syscall.Errno(C.launch_activate_socket(cname, &fds, &n)); err {
	case 0:
	case syscall.ESRCH:
		return nil, ErrNotManaged
	case syscall.ENOENT:
		return nil, errors.New("the agent's definition has no such socket")
	case syscall.EALREADY:
		return nil, errTaken
	default:
		return nil, fmt.Errorf("launch_activate_socket: %w", err)
	}
	defer C.free(unsafe.Pointer(fds))
	all := make([]uintptr, 0, int(n))
	for _, fd := range unsafe.Slice(fds, int(n)) {
		syscall.CloseOnExec(int(fd))
		all = append(all, uintptr(fd))
	}
	return all, nil
}
