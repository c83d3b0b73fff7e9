//go:build !powercut

package main

import "github.com/arcboxlabs/arcbox-go/agent/storage/file"

func newMedium(image *file.File) medium { return image }
