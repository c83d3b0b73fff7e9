//go:build macshim && !darwin

package main

import _ "github.com/arcboxlabs/arcbox-go/hv/hvf/standin" // the framework's functions, on Linux

func init() { preferred = "hvf" } // what this build is for
