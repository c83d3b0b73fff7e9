// Package standin is XPC's C interface on Linux, within one process, so that package mach runs here as it
// is. It is built with the tag macshim alone and is in no program that is shipped.
//
// It is as strict as Apple's documentation. A connection does nothing before it is activated, and must
// not be released before. Messages leave a connection one by one, after xpc_connection_send_message has
// returned: a cancel throws away those that have not left. An event handler never runs beside itself, and not
// after the last event; a reply handler runs at any time. Who is at the other end of a client's
// connection is not known before that has said something. A name must be advertised (Advertise) before somebody
// listens or connects. A client's connection outlives the service's process: the next message
// finds, or starts, another. A peer requirement is set once, before the activation, and each
// message is held against it; where it is not met the message is gone, and a reply is an error. Misuse
// ends the process.
package standin
