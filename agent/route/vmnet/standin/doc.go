// Package standin is what package vmnet calls of vmnet.framework, on Linux: the same header, and interfaces that are taps of the network
// namespace, so that real packets of a real host pass. Queues and blocks are those of darwin/standin, objects those of
// ipc/mach/standin. It is built with the tag macshim alone and is in no program that is shipped.
//
// It is as strict as Apple's documentation: all handlers are called on the queue that was given; a read that finds nothing is
// what the next event waits for; a packet that is larger than the interface said is refused; nothing is called after an
// interface was stopped. Whatever breaks such a rule ends the process and says why.
package standin
