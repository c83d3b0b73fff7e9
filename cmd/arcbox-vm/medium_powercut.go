//go:build powercut

package main

import (
	"math/rand/v2"
	"os"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
	"github.com/arcboxlabs/arcbox-go/test/volatile"
)

// A drive is an image behind the cache of a drive, in a build whose kill -9 is a power cut.
type drive struct {
	*volatile.Disk
	image *file.File
}

func newMedium(image *file.File) medium {
	d := drive{volatile.New(image, file.Block, rand.New(rand.NewPCG(uint64(os.Getpid()), 1))), image}
	d.Lies = flushDoesNothing
	return d
}

// SyncAs is Sync with another policy.
func (d drive) SyncAs(p file.Policy) error {
	return d.Drain(func() error { return d.image.SyncAs(p) })
}
