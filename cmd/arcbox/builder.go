package main

import (
	"errors"

	assets "github.com/arcboxlabs/arcbox-go/boot"
)

func newBuilder(flavour string) (assets.Builder, error) {
	return nil, errors.New("cannot build assets: not yet")
}
