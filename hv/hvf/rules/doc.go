// Package rules has what hvf takes Hypervisor.framework to do, as programs in C that
// call it directly. On Linux they hold package standin to the framework's
// documentation; on a Mac the same ones find out whether that is how the framework is.
// docs/mac.md lists them.
package rules
