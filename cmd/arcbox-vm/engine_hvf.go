//go:build (darwin && arm64 && cgo) || macshim

package main

import (
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/hvf"
)

func init() { engines["hvf"] = func() hv.Engine { return hvf.New() } }
