//go:build powercut && !noflush

package main

const flushDoesNothing = false
