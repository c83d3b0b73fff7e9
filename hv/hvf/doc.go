// Package hvf is the engine that runs guests with Apple's Hypervisor.framework on
// Apple silicon. It is thin: the framework's calls, and what the contract of
// package hv promises beyond them.
//
// # Threads
//
// The framework ties a vCPU to the thread that made it and refuses all others;
// hv_vcpus_exit alone may come from anywhere, which is what Kick is. A process
// holds one VM.
//
// # Memory
//
// The framework does not tell MMIO from a store to memory that is write-protected,
// nor a fault from one that another thread's Map or Protect has made
// obsolete: hvf keeps the map itself and looks there (slots). Pages go back to
// the host only when they are unmapped, renewed and mapped again (Caps.Remap).
//
// # Without a Mac
//
// With the build tag macshim the same files build on Linux against package
// standin, which implements the framework's C functions with hv/soft and is
// as strict as it. hvf.h asserts at compile time what hvf assumes of Apple's
// headers; docs/mac.md lists what only a Mac can prove.
package hvf
