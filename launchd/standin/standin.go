//go:build macshim && !darwin

package standin

// #cgo CFLAGS: -Wall -I${SRCDIR}/../../darwin/sdk/apple
// #include <stdlib.h>
// #include "front.h"
//
// // Only a build that counts executed lines has it.
// int __llvm_profile_write_file(void) __attribute__((weak));
//
// static void write_coverage(void) {
//   if (__llvm_profile_write_file != NULL) {
//     __llvm_profile_write_file();
//   }
// }
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

// WriteCoverage writes down which lines of C were executed, in a build that counts
// them; tests call it before they end.
func WriteCoverage() { C.write_coverage() }
