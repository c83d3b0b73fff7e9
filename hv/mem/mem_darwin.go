package mem

import "golang.org/x/sys/unix"

const mapFlags = unix.MAP_PRIVATE | unix.MAP_ANON | unix.MAP_NORESERVE

// release is for memory that no guest has mapped. Pages that a guest touched
// come back only with a new mapping: see Space.OnReturn.
func release(b []byte) error { return Renew(b) }

// adviseHuge does nothing: macOS has 16 KiB pages and no such advice.
func adviseHuge([]byte) {}
