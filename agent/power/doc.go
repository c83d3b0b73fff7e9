// Package power tells what the host is about to do, or suffers: sleep and wake, memory that runs short, heat, and
// low-power mode.
//
// On a Mac the news comes from IOKit (sleep and wake, which waits until we are done), libdispatch (memory pressure)
// and notify(3) (heat, low-power mode), all of them C functions that need neither a GUI session nor a run loop. A
// program that has both may register another Source: agent/power/darwinkit is one.
//
// # Without a Mac
//
// With the build tag macshim the same files build on Linux against package standin, which implements these C
// functions. docs/mac.md lists what only a Mac can prove.
package power
