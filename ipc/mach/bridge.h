// XPC as Go sees it. A svc_peer is a connection of which whoever was given it owns a reference.
#pragma once
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void *svc_peer;

// The values that C and Go share; wire.go checks them.
enum {
  SVC_FILES = 64,  // descriptors of one message
  SVC_VERSION = 1, // of the messages
};

// Why nothing more comes.
enum svc_end {
  SVC_INTERRUPTED = 1, // the service's process has ended, or has let go of us
  SVC_INVALID,         // a name that is not there; a client that has gone; our own cancel
  SVC_UNTRUSTED,       // the other end is not signed as required
  SVC_TERMINATING,     // launchd is about to end this process
};

// svc_listen listens at a name and svc_dial connects to it, with requirement NULL for none. What
// happens is told to the Go functions of wire.go and listener.go that take the handle, until
// goSvcOver, or goSvcListenerOver. svc_dial also has goSvcAnswered called once. Errors: EINVAL for what is no
// requirement; ENOTSUP when this macOS cannot hold anybody to one. After an error the handle is not used.
int svc_listen(const char *name, const char *requirement, uintptr_t listener, svc_peer *made);
int svc_dial(const char *name, const char *requirement, uintptr_t wire, svc_peer *made);

// svc_send sends a frame. Error: a descriptor that is none, and nothing was sent.
int svc_send(svc_peer peer, const void *frame, size_t n, const int *fds, size_t count);
void svc_credit(svc_peer peer, uint64_t bytes);
// svc_finish sends the end, and cancels when all is sent.
void svc_finish(svc_peer peer);
void svc_cancel(svc_peer peer);
void svc_release(svc_peer peer);
