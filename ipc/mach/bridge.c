//go:build cgo && (darwin || macshim)

// Blocks, handlers and messages: what cannot be said in Go. What is decided is decided there.
#include "bridge.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asserts.h"

#include "_cgo_export.h"

// The keys of messages; PROTOCOL.md has them.
static const char key_open[] = "open", key_frame[] = "frame", key_files[] = "files", key_credit[] = "credit", key_end[] = "end";

// ---- What comes.

// why is the end that an error tells of.
static enum svc_end why(xpc_object_t error) {
  if (error == XPC_ERROR_CONNECTION_INTERRUPTED) {
    return SVC_INTERRUPTED;
  }
  if (error == XPC_ERROR_CONNECTION_INVALID) {
    return SVC_INVALID;
  }
  if (error == XPC_ERROR_TERMINATION_IMMINENT) {
    return SVC_TERMINATING;
  }
  return SVC_UNTRUSTED; // XPC_ERROR_PEER_CODE_SIGNING_REQUIREMENT, which older systems lack
}

// descriptors makes descriptors of a message's, and gives how many; -1 for a message that has
// too many, or something else, or when the system is out of them.
static int descriptors(xpc_object_t message, int fds[SVC_FILES]) {
  xpc_object_t files = xpc_dictionary_get_value(message, key_files);
  if (files == NULL) {
    return 0;
  }
  if (xpc_get_type(files) != XPC_TYPE_ARRAY || xpc_array_get_count(files) > SVC_FILES) {
    return -1;
  }
  int n = (int)xpc_array_get_count(files);
  for (int i = 0; i < n; i++) {
    xpc_object_t file = xpc_array_get_value(files, i);
    fds[i] = xpc_get_type(file) == XPC_TYPE_FD ? xpc_fd_dup(file) : -1;
    if (fds[i] < 0) {
      while (i-- > 0) {
        close(fds[i]);
      }
      return -1;
    }
  }
  return n;
}

// opened answers a client's first message.
static bool opened(xpc_connection_t c, uintptr_t wire, xpc_object_t message) {
  xpc_object_t reply = xpc_dictionary_create_reply(message);
  if (reply == NULL) {
    return false;
  }
  bool ok = goSvcOpened(wire, xpc_dictionary_get_uint64(message, key_open));
  if (ok) {
    xpc_dictionary_set_uint64(reply, key_open, SVC_VERSION);
    xpc_connection_send_message(c, reply);
  }
  xpc_release(reply);
  return ok;
}

// take does what a message says. It is false for one that no peer of ours sends.
static bool take(xpc_connection_t c, uintptr_t wire, xpc_object_t message) {
  size_t n = 0;
  const void *frame = xpc_dictionary_get_data(message, key_frame, &n);
  if (frame != NULL) {
    int fds[SVC_FILES];
    int count = descriptors(message, fds);
    return count >= 0 && goSvcFrame(wire, (void *)frame, n, fds, count);
  }
  uint64_t credit = xpc_dictionary_get_uint64(message, key_credit);
  if (credit != 0) {
    return goSvcCredit(wire, credit);
  }
  if (xpc_dictionary_get_bool(message, key_end)) {
    goSvcEnd(wire);
    return true;
  }
  return opened(c, wire, message);
}

// hear is told all that happens to a connection; invalid comes last.
static void hear(xpc_connection_t c, uintptr_t wire, xpc_object_t event) {
  if (event == XPC_ERROR_CONNECTION_INVALID) {
    goSvcOver(wire);
  } else if (xpc_get_type(event) == XPC_TYPE_ERROR) {
    goSvcLost(wire, why(event));
    xpc_connection_cancel(c); // the next message must not start another conversation
  } else if (!take(c, wire, event)) {
    goSvcBroken(wire);
    xpc_connection_cancel(c);
  }
}

static void attach(xpc_connection_t c, uintptr_t wire) {
  xpc_connection_set_event_handler(c, ^(xpc_object_t event) { hear(c, wire, event); });
}

// ---- Beginnings.

// can_require says whether the system has the function. A header from before macOS 12 is not built with.
#ifdef __APPLE__
#pragma clang diagnostic ignored "-Wunguarded-availability-new"
extern int xpc_connection_set_peer_code_signing_requirement(xpc_connection_t, const char *) __attribute__((weak_import));
static bool can_require(void) { return &xpc_connection_set_peer_code_signing_requirement != NULL; }
#else
bool xpcsim_has(const char *symbol); // as the loader says of a weak symbol
static bool can_require(void) { return xpcsim_has("xpc_connection_set_peer_code_signing_requirement"); }
#endif

static int require(xpc_connection_t c, const char *requirement) {
  if (requirement == NULL) {
    return 0;
  }
  if (!can_require()) {
    return ENOTSUP;
  }
  return xpc_connection_set_peer_code_signing_requirement(c, requirement) == 0 ? 0 : EINVAL;
}

// discard disposes of a connection that was not activated, which must not be released so.
static void discard(xpc_connection_t c) {
  xpc_connection_set_event_handler(c, ^(xpc_object_t event) { (void)event; });
  xpc_connection_activate(c);
  xpc_connection_cancel(c);
  xpc_release(c);
}

// admit hears a client, if Go and the requirement do. XPC owns the connection until the last event.
static void admit(xpc_connection_t c, uintptr_t listener, const char *requirement) {
  if (require(c, requirement) != 0) {
    xpc_connection_cancel(c);
    return;
  }
  attach(c, goSvcAdmit(listener, xpc_retain(c), xpc_connection_get_pid(c), xpc_connection_get_euid(c)));
  xpc_connection_activate(c);
}

int svc_listen(const char *name, const char *requirement, uintptr_t listener, svc_peer *made) {
  xpc_connection_t l = xpc_connection_create_mach_service(name, NULL, XPC_CONNECTION_MACH_SERVICE_LISTENER);
  int err = require(l, requirement); // as well as each client: that this is none shows now
  if (err != 0) {
    discard(l);
    return err;
  }
  char *kept = requirement == NULL ? NULL : strdup(requirement);
  xpc_connection_set_event_handler(l, ^(xpc_object_t event) {
    if (xpc_get_type(event) == XPC_TYPE_CONNECTION) {
      admit(event, listener, kept);
    } else if (event == XPC_ERROR_CONNECTION_INVALID) {
      goSvcListenerOver(listener);
      free(kept);
    }
  });
  *made = l;
  xpc_connection_activate(l);
  return 0;
}

int svc_dial(const char *name, const char *requirement, uintptr_t wire, svc_peer *made) {
  xpc_connection_t c = xpc_connection_create_mach_service(name, NULL, 0);
  int err = require(c, requirement);
  if (err != 0) {
    discard(c);
    return err;
  }
  *made = c;
  attach(c, wire);
  xpc_connection_activate(c);
  xpc_object_t open = xpc_dictionary_create(NULL, NULL, 0);
  xpc_dictionary_set_uint64(open, key_open, SVC_VERSION);
  xpc_connection_send_message_with_reply(c, open, NULL, ^(xpc_object_t reply) {
    bool answer = xpc_get_type(reply) == XPC_TYPE_DICTIONARY;
    uint64_t version = answer ? xpc_dictionary_get_uint64(reply, key_open) : 0;
    goSvcAnswered(wire, answer ? 0 : why(reply), version, xpc_connection_get_pid(c), xpc_connection_get_euid(c));
  });
  xpc_release(open);
  return 0;
}

// ---- What is sent.

// boxed is the descriptors as XPC carries them, or NULL.
static xpc_object_t boxed(const int *fds, size_t count) {
  xpc_object_t files = xpc_array_create(NULL, 0);
  for (size_t i = 0; i < count; i++) {
    xpc_object_t file = xpc_fd_create(fds[i]);
    if (file == NULL) {
      xpc_release(files);
      return NULL;
    }
    xpc_array_append_value(files, file);
    xpc_release(file);
  }
  return files;
}

int svc_send(svc_peer peer, const void *frame, size_t n, const int *fds, size_t count) {
  xpc_object_t files = NULL;
  if (count > 0 && (files = boxed(fds, count)) == NULL) {
    return EBADF;
  }
  xpc_object_t message = xpc_dictionary_create(NULL, NULL, 0);
  xpc_dictionary_set_data(message, key_frame, frame, n);
  if (files != NULL) {
    xpc_dictionary_set_value(message, key_files, files);
    xpc_release(files);
  }
  xpc_connection_send_message(peer, message);
  xpc_release(message);
  return 0;
}

void svc_credit(svc_peer peer, uint64_t bytes) {
  xpc_object_t message = xpc_dictionary_create(NULL, NULL, 0);
  xpc_dictionary_set_uint64(message, key_credit, bytes);
  xpc_connection_send_message(peer, message);
  xpc_release(message);
}

void svc_finish(svc_peer peer) {
  xpc_object_t message = xpc_dictionary_create(NULL, NULL, 0);
  xpc_dictionary_set_bool(message, key_end, true);
  xpc_connection_send_message(peer, message);
  xpc_release(message);
  xpc_connection_t c = xpc_retain(peer); // the barrier may come after Go has let go
  xpc_connection_send_barrier(c, ^{
    xpc_connection_cancel(c);
    xpc_release(c);
  });
}

void svc_cancel(svc_peer peer) { xpc_connection_cancel(peer); }
void svc_release(svc_peer peer) { xpc_release(peer); }
