//go:build !cgo || (!darwin && !macshim)

package vmnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
)

// Start makes an interface whose host side has an address. What it gives is the other side: a stream of Ethernet frames, each
// behind 4 bytes of its length, big-endian. When that is closed the interface goes, and ended is called.
func Start(context.Context, netip.Prefix, func()) (*os.File, error) {
	return nil, fmt.Errorf("cannot make an interface of vmnet: %w", errors.ErrUnsupported)
}
