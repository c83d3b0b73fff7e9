//go:build darwin && !cgo

package launchd

import "fmt"

// activate cannot do its work: launchd hands sockets over through a C function only.
// So the process is as good as not managed; what launchd listens on it finds in use.
func activate(string) ([]uintptr, error) {
	return nil, fmt.Errorf("%w, as far as a program can tell that was built without cgo; build it on a Mac", ErrNotManaged)
}
