//go:build macshim && !darwin

package standin

// #cgo CFLAGS: -Wall -I${SRCDIR}/../../darwin/sdk/apple
// #include <stdlib.h>
// #include "front.h"
import "C"

import "unsafe"

// Started says whether launchd has started this process; either way it has no sockets now.
func Started(yes bool) {
	n := C.int(0)
	if yes {
		n = 1
	}
	C.standin_started(n)
}

// Give adds a socket to what launchd has opened. The descriptors belong to who takes them.
func Give(name string, fds ...int) {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	all := make([]C.int, len(fds))
	for i, fd := range fds {
		all[i] = C.int(fd)
	}
	C.standin_give(c, unsafe.SliceData(all), C.size_t(len(all)))
}
