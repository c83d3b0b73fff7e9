// Package darwin is what this project needs to build for macOS with cgo on a
// Linux machine; it holds no Go but tests. Package standin beside it has what code of the Mac needs to be executed here.
//
// sdk has headers of Apple's libraries, written by us from public documentation
// and no longer than what we call: sdk/libc what Linux has too, in another shape,
// sdk/apple what only Apple has, which the stand-ins build with as well. mksdk
// makes an SDK of them with .tbd stubs of the libraries, and cc is the
// compiler that uses it; `make check` vets and links every program and test
// with it. On a Mac nothing of this takes part: Apple's compiler and SDK do.
//
// A stub can lie. Therefore the code that includes one asserts, at compile time,
// every size, value and prototype that it relies on: against the stub here, and
// against Apple's header on a Mac.
package darwin
