//go:build !(cgo && (darwin || macshim))

package power

import (
	"errors"
	"fmt"
)

// Watch implements Source.
func (system) Watch(Handler) (func(), error) {
	return nil, fmt.Errorf("cannot watch the host's power: %w on this system", errors.ErrUnsupported)
}
