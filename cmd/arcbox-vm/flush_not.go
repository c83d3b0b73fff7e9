//go:build powercut && noflush

package main

// The tests of power cuts must find this build out.
const flushDoesNothing = true
