//go:build darwin && !cgo

package launchd

import "errors"

// activate cannot do its work: launchd hands sockets over through a C function only.
func activate(string) ([]uintptr, error) {
	return nil, errors.New("this program was built without cgo, which launchd needs; build it on a Mac")
}
