// Package standin is launch_activate_socket on Linux, for package launchd with the build tag macshim: tests say which
// sockets launchd has opened for this process. It is in no program that is shipped.
//
// It is as strict as launch(3): a process that launchd did not start gets ESRCH, a name that its definition does not have
// ENOENT, and a socket that it has got before EALREADY. The array of descriptors is the caller's to free.
package standin
