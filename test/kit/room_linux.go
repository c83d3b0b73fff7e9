package kit

import (
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// RoomFor makes dir a directory that has room for size bytes, until the test ends.
func RoomFor(t *testing.T, dir string, size int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(size)); err != nil {
		if os.Getenv("CI") == "" && err == unix.EPERM {
			t.Skip("only root can make a file system that is full")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}
