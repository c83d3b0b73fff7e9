package main

import (
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/soft"
)

func init() { engines["soft"] = func() hv.Engine { return soft.New() } }
