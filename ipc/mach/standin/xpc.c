//go:build macshim && !darwin

// Connections, listeners and launchd's names. One lock guards all; handlers run without it.
#include <Block.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "object.h"
#include "xpc.h"

#include "_cgo_export.h"

pthread_mutex_t xpcsim_lock = PTHREAD_MUTEX_INITIALIZER;
#define LOCK() pthread_mutex_lock(&xpcsim_lock)
#define UNLOCK() pthread_mutex_unlock(&xpcsim_lock)

// An event is what a connection's handler is to be given.
struct event {
  struct event *next;
  xpc_object_t object; // owned
};

struct _xpc_connection_s {
  struct object object;
  char *name;      // of a client or a listener
  bool listens;    // it is a listener
  bool active;     // it was activated
  bool cancelled;  // no event but the last is delivered any more
  bool ended;      // the last event is on its way
  bool ending;     // it will be, once the connection is activated
  bool heard;      // the other end has said something
  char *demanded;  // the identifier that the other end must be signed with
  xpc_handler_t handler;
  dispatch_queue_t events, out;
  struct event *held, **last_held; // before it is activated
  struct _xpc_connection_s *peer;  // the other end; not owned
  struct _xpc_connection_s *next;  // of all
};

// A waiter waits for a reply. It answers once.
struct waiter {
  int refs;
  xpc_connection_t asker; // not owned
  xpc_handler_t handler;  // NULL when it has answered
  struct waiter *next;    // of all that have not
};

// A parcel is a message on its way.
struct parcel {
  struct parcel *next;
  xpc_connection_t from; // owned
  xpc_object_t message;  // owned
  struct waiter *waiter; // owned; may be NULL
};

// A service is a name that launchd answers for.
struct service {
  struct service *next;
  char *name;
  uintptr_t launch; // starts the program; 0 has nobody start it
  bool launching;
  xpc_connection_t listener;     // not owned
  struct parcel *wait, **last_wait; // for a listener
};

static struct service *services;
static xpc_connection_t connections;
static struct waiter *waiters;
static char *identity; // what this process is signed with
static int macos = 26;
static bool stalled; // nothing leaves a connection
static pthread_cond_t moving = PTHREAD_COND_INITIALIZER;
static dispatch_queue_t replies;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void begin(void) { replies = dispatch_queue_create("replies", DISPATCH_QUEUE_SERIAL); }

static void misuse(const char *what) {
  xpcsim_complain(what);
  abort();
}

bool xpcsim_has(const char *symbol) {
  return strcmp(symbol, "xpc_connection_set_peer_code_signing_requirement") != 0 || macos >= 12;
}

void xpcsim_set_macos(int major) { macos = major; }

void xpcsim_sign(const char *identifier) {
  LOCK();
  free(identity);
  identity = strdup(identifier);
  UNLOCK();
}

// ---- Waiters. All are called with the lock held.

static void drop_waiter(struct waiter *w) {
  if (w != NULL && --w->refs == 0) {
    free(w);
  }
}

// answer takes the object over.
static void answer(struct waiter *w, xpc_object_t object) {
  xpc_handler_t handler = w->handler;
  if (handler == NULL) {
    xpcsim_release_locked(object);
    return;
  }
  w->handler = NULL;
  for (struct waiter **at = &waiters; *at != NULL; at = &(*at)->next) {
    if (*at == w) {
      *at = w->next;
      drop_waiter(w);
      break;
    }
  }
  dispatch_async(replies, ^{
    handler(object);
    xpc_release(object);
    Block_release(handler);
  });
}

static void answer_all(xpc_connection_t asker, xpc_object_t error) {
  for (struct waiter *w = waiters, *next; w != NULL; w = next) {
    next = w->next;
    if (w->asker == asker) {
      answer(w, error);
    }
  }
}

// xpcsim_lose_waiter is called when a message goes that nobody has replied to.
void xpcsim_lose_waiter(struct waiter *w) {
  answer(w, (xpc_object_t)XPC_ERROR_CONNECTION_INTERRUPTED);
  drop_waiter(w);
}

// ---- Events. All but run_event are called with the lock held.

// meets says whether the process is signed as c demands.
static bool meets(xpc_connection_t c) {
  return c->demanded == NULL || (identity != NULL && strcmp(identity, c->demanded) == 0);
}

static void run_event(xpc_connection_t c, xpc_object_t object) {
  LOCK();
  bool message = xpc_get_type(object) == XPC_TYPE_DICTIONARY;
  xpc_handler_t handler = c->cancelled || (message && !meets(c)) ? NULL : c->handler;
  if (handler != NULL) {
    c->heard |= message;
    handler = Block_copy(handler);
  }
  UNLOCK();
  if (handler != NULL) {
    handler(object);
    Block_release(handler);
  } else if (xpc_get_type(object) == XPC_TYPE_CONNECTION) {
    xpc_connection_cancel(object); // nobody will have it
  }
  xpc_release(object);
  xpc_release(c);
}

// give has the handler be called. It takes the object over.
static void give(xpc_connection_t c, xpc_object_t object) {
  xpcsim_retain_locked(c);
  dispatch_async(c->events, ^{ run_event(c, object); });
}

// post is give for a connection that may not be activated. It takes the object over.
static void post(xpc_connection_t c, xpc_object_t object) {
  if (c->ended || c->ending) {
    xpcsim_release_locked(object);
    return;
  }
  if (!c->active) {
    struct event *e = malloc(sizeof *e);
    *e = (struct event){NULL, object};
    *c->last_held = e;
    c->last_held = &e->next;
    return;
  }
  give(c, object);
}

// post_last has the handler be told that it is not called again.
static void post_last(xpc_connection_t c) {
  c->ending = true;
  if (c->ended || (!c->active && !c->cancelled)) {
    return;
  }
  c->ended = true;
  answer_all(c, (xpc_object_t)XPC_ERROR_CONNECTION_INVALID);
  xpcsim_retain_locked(c);
  bool accepted = c->name == NULL; // XPC's own reference goes then
  dispatch_async(c->events, ^{
    LOCK();
    c->cancelled = true;
    xpc_handler_t handler = c->handler;
    c->handler = NULL;
    UNLOCK();
    if (handler != NULL) {
      if (c->active) {
        handler((xpc_object_t)XPC_ERROR_CONNECTION_INVALID);
      }
      Block_release(handler);
    }
    xpc_release(c);
    if (accepted) {
      xpc_release(c);
    }
  });
}

// part ends what two ends have to do with each other: the one is gone.
static void part(xpc_connection_t gone) {
  xpc_connection_t p = gone->peer;
  gone->peer = NULL;
  if (p == NULL) {
    return;
  }
  p->peer = NULL;
  if (p->name == NULL) { // a service's end has no way back
    post_last(p);
    return;
  }
  answer_all(p, (xpc_object_t)XPC_ERROR_CONNECTION_INTERRUPTED);
  post(p, (xpc_object_t)XPC_ERROR_CONNECTION_INTERRUPTED);
}

// ---- Connections.

static struct service *find(const char *name) {
  struct service *s = services;
  while (s != NULL && strcmp(s->name, name) != 0) {
    s = s->next;
  }
  return s;
}

// connection makes one with a reference. It is called with the lock held.
static xpc_connection_t connection(const char *name) {
  pthread_once(&once, begin);
  xpc_connection_t c = xpcsim_object(&_xpc_type_connection, sizeof *c);
  c->name = name == NULL ? NULL : strdup(name);
  c->events = dispatch_queue_create("events", DISPATCH_QUEUE_SERIAL);
  c->out = dispatch_queue_create("out", DISPATCH_QUEUE_SERIAL);
  c->last_held = &c->held;
  c->next = connections;
  connections = c;
  return c;
}

// xpcsim_free_connection is called with the lock held.
void xpcsim_free_connection(xpc_connection_t c) {
  if (!c->active && !c->cancelled) {
    misuse("a connection was released that was never activated");
  }
  part(c);
  for (xpc_connection_t *at = &connections; *at != NULL; at = &(*at)->next) {
    if (*at == c) {
      *at = c->next;
      break;
    }
  }
  for (struct event *e = c->held, *next; e != NULL; e = next) {
    next = e->next;
    xpcsim_release_locked(e->object);
    free(e);
  }
  if (c->handler != NULL) {
    Block_release(c->handler);
  }
  dispatch_release(c->events);
  dispatch_release(c->out);
  free(c->name);
  free(c->demanded);
}

xpc_connection_t xpc_connection_create_mach_service(const char *name, dispatch_queue_t queue, uint64_t flags) {
  if (queue != NULL) {
    misuse("only the default queue is here");
  }
  LOCK();
  xpc_connection_t c = connection(name);
  c->listens = flags & XPC_CONNECTION_MACH_SERVICE_LISTENER;
  UNLOCK();
  return c;
}

void xpc_connection_set_event_handler(xpc_connection_t c, xpc_handler_t handler) {
  LOCK();
  if (c->handler != NULL) {
    Block_release(c->handler);
  }
  c->handler = Block_copy(handler);
  UNLOCK();
}

int xpc_connection_set_peer_code_signing_requirement(xpc_connection_t c, const char *requirement) {
  if (macos < 12) {
    misuse("xpc_connection_set_peer_code_signing_requirement came with macOS 12");
  }
  if (c->active || c->demanded != NULL) {
    misuse("a requirement is set once, before the activation");
  }
  static const char begins[] = "identifier \"";
  size_t n = strlen(requirement);
  if (strncmp(requirement, begins, sizeof begins - 1) != 0 || n < sizeof begins + 1 || requirement[n - 1] != '"') {
    return EINVAL;
  }
  c->demanded = strdup(requirement + sizeof begins - 1);
  c->demanded[strlen(c->demanded) - 1] = 0;
  return 0;
}

pid_t xpc_connection_get_pid(xpc_connection_t c) { return c->name == NULL || c->heard ? getpid() : 0; }
uid_t xpc_connection_get_euid(xpc_connection_t c) { return c->name == NULL || c->heard ? geteuid() : (uid_t)-1; }

// ---- Messages on their way.

// end_parcel is called with the lock held, and takes the parcel over.
static void end_parcel(struct parcel *p, xpc_object_t error) {
  if (p->waiter != NULL) {
    answer(p->waiter, error);
    drop_waiter(p->waiter);
  }
  xpcsim_release_locked(p->message);
  xpcsim_release_locked(p->from);
  free(p);
}

static void launch(struct service *s) {
  if (s->launch == 0 || s->launching) {
    return;
  }
  s->launching = true;
  uintptr_t handle = s->launch;
  dispatch_queue_t q = dispatch_queue_create("launch", DISPATCH_QUEUE_SERIAL);
  dispatch_async(q, ^{ goXpcsimLaunch(handle); });
  dispatch_release(q);
}

// meet makes the service's end for a client, if somebody listens.
static bool meet(xpc_connection_t c, struct service *s) {
  if (s->listener == NULL) {
    return false;
  }
  xpc_connection_t p = connection(NULL);
  p->peer = c;
  c->peer = p;
  xpcsim_retain_locked(p); // the event's
  post(s->listener, p);
  return true;
}

// deliver is called with the lock held, and takes the parcel over.
static void deliver(struct parcel *p) {
  xpc_connection_t c = p->from;
  if (c->cancelled || c->ended) {
    end_parcel(p, (xpc_object_t)XPC_ERROR_CONNECTION_INVALID);
    return;
  }
  if (c->peer == NULL && c->name != NULL) {
    struct service *s = find(c->name);
    if (s == NULL) {
      post_last(c);
      end_parcel(p, (xpc_object_t)XPC_ERROR_CONNECTION_INVALID);
      return;
    }
    if (!meet(c, s)) {
      launch(s);
      *s->last_wait = p;
      s->last_wait = &p->next;
      return;
    }
  }
  if (c->peer == NULL) {
    end_parcel(p, (xpc_object_t)XPC_ERROR_CONNECTION_INTERRUPTED);
    return;
  }
  xpcsim_expect(p->message, p->waiter);
  post(c->peer, p->message);
  xpcsim_release_locked(p->from);
  free(p);
}

static void send(xpc_connection_t c, xpc_object_t message, xpc_handler_t handler) {
  LOCK();
  if (!c->active || c->listens) {
    misuse("a message is sent by what cannot send");
  }
  struct parcel *p = calloc(1, sizeof *p);
  p->from = xpcsim_retain_locked(c);
  p->message = xpcsim_copy_locked(message);
  if (handler != NULL) {
    struct waiter *w = calloc(1, sizeof *w);
    *w = (struct waiter){2, c, Block_copy(handler), waiters};
    waiters = w;
    p->waiter = w;
  }
  UNLOCK();
  dispatch_async(c->out, ^{
    LOCK();
    while (stalled) {
      pthread_cond_wait(&moving, &xpcsim_lock);
    }
    deliver(p);
    UNLOCK();
  });
}

void xpcsim_stall(bool on) {
  LOCK();
  stalled = on;
  pthread_cond_broadcast(&moving);
  UNLOCK();
}

// reply brings an answer to who waits for it, if that trusts us.
static void reply(struct waiter *w, xpc_object_t message) {
  LOCK();
  if (w->handler != NULL) {
    bool trusted = meets(w->asker);
    w->asker->heard = true;
    answer(w, trusted ? xpcsim_copy_locked(message) : (xpc_object_t)&_xpc_error_peer_code_signing_requirement);
  }
  drop_waiter(w);
  UNLOCK();
}

void xpc_connection_send_message(xpc_connection_t c, xpc_object_t message) {
  struct waiter *w = xpcsim_take_waiter(message);
  if (w == NULL) {
    send(c, message, NULL);
    return;
  }
  xpc_object_t held = xpc_retain(message);
  dispatch_async(c->out, ^{
    reply(w, held);
    xpc_release(held);
  });
}

void xpc_connection_send_message_with_reply(xpc_connection_t c, xpc_object_t message, dispatch_queue_t queue, xpc_handler_t handler) {
  if (queue != NULL) {
    misuse("only the default queue is here");
  }
  send(c, message, handler);
}

void xpc_connection_send_barrier(xpc_connection_t c, dispatch_block_t barrier) { dispatch_async(c->out, barrier); }

// ---- Beginning and end.

// listen is called with the lock held.
static void listen_at(xpc_connection_t c) {
  struct service *s = find(c->name);
  if (s == NULL || s->listener != NULL) {
    post_last(c);
    return;
  }
  s->listener = c;
  s->launching = false;
  struct parcel *p = s->wait;
  s->wait = NULL;
  s->last_wait = &s->wait;
  for (struct parcel *next; p != NULL; p = next) {
    next = p->next;
    p->next = NULL;
    deliver(p);
  }
}

void xpc_connection_activate(xpc_connection_t c) {
  LOCK();
  if (c->handler == NULL && !c->cancelled) {
    misuse("a connection is activated that has no event handler");
  }
  if (!c->active) {
    c->active = true;
    for (struct event *e = c->held, *next; e != NULL; e = next) {
      next = e->next;
      give(c, e->object);
      free(e);
    }
    c->held = NULL;
    c->last_held = &c->held;
    if (c->listens) {
      listen_at(c);
    }
    if (c->ending) {
      post_last(c);
    }
  }
  UNLOCK();
}

void xpc_connection_cancel(xpc_connection_t c) {
  LOCK();
  if (!c->cancelled) {
    c->cancelled = true;
    part(c);
    struct service *s = c->listens ? find(c->name) : NULL;
    if (s != NULL && s->listener == c) {
      s->listener = NULL;
    }
    post_last(c);
  }
  UNLOCK();
}

// ---- launchd and the world.

void xpcsim_advertise(const char *name, uintptr_t launch) {
  LOCK();
  if (find(name) != NULL) {
    misuse("a name is advertised twice");
  }
  struct service *s = calloc(1, sizeof *s);
  *s = (struct service){services, strdup(name), launch, false, NULL, NULL, NULL};
  s->last_wait = &s->wait;
  services = s;
  UNLOCK();
}

void xpcsim_withdraw(const char *name) {
  LOCK();
  for (struct service **at = &services; *at != NULL; at = &(*at)->next) {
    struct service *s = *at;
    if (strcmp(s->name, name) != 0) {
      continue;
    }
    *at = s->next;
    for (struct parcel *p = s->wait, *next; p != NULL; p = next) {
      next = p->next;
      post_last(p->from);
      end_parcel(p, (xpc_object_t)XPC_ERROR_CONNECTION_INVALID);
    }
    free(s->name);
    free(s);
    break;
  }
  UNLOCK();
}

// of says whether c is a client's connection to the service. It is called with the lock held.
static bool of(xpc_connection_t c, const char *name) { return c->name != NULL && !c->listens && strcmp(c->name, name) == 0; }

void xpcsim_sever(const char *name) {
  LOCK();
  for (xpc_connection_t c = connections; c != NULL; c = c->next) {
    if (of(c, name) && c->peer != NULL) {
      xpc_connection_t p = c->peer;
      part(p);
      post_last(p);
    }
  }
  UNLOCK();
}

void xpcsim_terminate(const char *name) {
  LOCK();
  for (xpc_connection_t c = connections; c != NULL; c = c->next) {
    if (of(c, name) && c->peer != NULL) {
      post(c->peer, (xpc_object_t)XPC_ERROR_TERMINATION_IMMINENT);
    }
  }
  UNLOCK();
}

// ---- A raw peer.

struct raw {
  xpc_connection_t c;
  bool cut;
};

struct raw *xpcsim_connect(const char *name) {
  struct raw *r = calloc(1, sizeof *r);
  r->c = xpc_connection_create_mach_service(name, NULL, 0);
  xpc_connection_set_event_handler(r->c, ^(xpc_object_t event) {
    if (event == XPC_ERROR_CONNECTION_INVALID) {
      free(r);
    } else if (event == XPC_ERROR_CONNECTION_INTERRUPTED) {
      __atomic_store_n(&r->cut, true, __ATOMIC_SEQ_CST);
    }
  });
  xpc_connection_activate(r->c);
  return r;
}

bool xpcsim_cut(struct raw *r) { return __atomic_load_n(&r->cut, __ATOMIC_SEQ_CST); }

void xpcsim_disconnect(struct raw *r) {
  xpc_connection_t c = r->c;
  xpc_connection_cancel(c);
  xpc_release(c);
}

void xpcsim_send_data(struct raw *r, const char *key, const void *bytes, size_t n, const int *fds, size_t count) {
  xpc_object_t m = xpc_dictionary_create(NULL, NULL, 0);
  xpc_dictionary_set_data(m, key, bytes, n);
  if (count > 0) {
    xpc_object_t files = xpc_array_create(NULL, 0);
    for (size_t i = 0; i < count; i++) {
      xpc_object_t f = xpc_fd_create(fds[i]);
      xpc_array_append_value(files, f);
      xpc_release(f);
    }
    xpc_dictionary_set_value(m, "files", files);
    xpc_release(files);
  }
  xpc_connection_send_message(r->c, m);
  xpc_release(m);
}

void xpcsim_send_uint64(struct raw *r, const char *key, uint64_t value, bool reply) {
  xpc_object_t m = xpc_dictionary_create(NULL, NULL, 0);
  xpc_dictionary_set_uint64(m, key, value);
  if (reply) {
    xpc_connection_send_message_with_reply(r->c, m, NULL, ^(xpc_object_t answer) { (void)answer; });
  } else {
    xpc_connection_send_message(r->c, m);
  }
  xpc_release(m);
}

void xpcsim_send_end(struct raw *r) {
  xpc_object_t m = xpc_dictionary_create(NULL, NULL, 0);
  xpc_dictionary_set_bool(m, "end", true);
  xpc_connection_send_message(r->c, m);
  xpc_release(m);
}

// xpcsim_send_files sends a frame whose files are none: a dictionary, or an array of one.
void xpcsim_send_files(struct raw *r, bool array) {
  xpc_object_t m = xpc_dictionary_create(NULL, NULL, 0);
  xpc_dictionary_set_data(m, "frame", "\0\0\0\1x", 5);
  xpc_object_t none = xpc_dictionary_create(NULL, NULL, 0), files = none;
  if (array) {
    files = xpc_array_create(NULL, 0);
    xpc_array_append_value(files, none);
    xpc_release(none);
  }
  xpc_dictionary_set_value(m, "files", files);
  xpc_release(files);
  xpc_connection_send_message(r->c, m);
  xpc_release(m);
}
