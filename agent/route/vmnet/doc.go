// Package vmnet makes an interface of the Mac's own (vmnet.framework, in host mode), with a network that nobody else is in. It takes root.
// Elsewhere, and in programs without cgo, Start answers errors.ErrUnsupported.
package vmnet
