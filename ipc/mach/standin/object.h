#pragma once
#include <xpc/xpc.h>

struct waiter;

struct _xpc_type_s {
  const char *name;
};

// An object begins with this. Static ones have no references to count.
struct object {
  xpc_type_t type;
  int refs;
};
enum { STATIC = -1 };

extern const struct _xpc_dictionary_s _xpc_error_peer_code_signing_requirement;

void xpcsim_complain(const char *what);

// The lock guards references and what objects hold; those called locked want it held.
void *xpcsim_object(xpc_type_t type, size_t size);
void *xpcsim_retain_locked(void *object);
void xpcsim_release_locked(void *object);
xpc_object_t xpcsim_copy_locked(xpc_object_t object);

// xpcsim_expect has a message that came own the waiter for its reply.
void xpcsim_expect(xpc_object_t message, struct waiter *waiter);
struct waiter *xpcsim_take_waiter(xpc_object_t message);
void xpcsim_lose_waiter(struct waiter *waiter);
void xpcsim_free_connection(xpc_connection_t connection);
