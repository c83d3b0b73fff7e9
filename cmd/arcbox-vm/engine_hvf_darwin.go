//go:build darwin && arm64 && cgo

package main

func init() { preferred = "hvf" }
