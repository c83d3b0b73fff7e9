//go:build macshim && !darwin

// XPC's objects but for connections.
#include "object.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xpc.h"

extern pthread_mutex_t xpcsim_lock;
#define LOCK() pthread_mutex_lock(&xpcsim_lock)
#define UNLOCK() pthread_mutex_unlock(&xpcsim_lock)

const struct _xpc_type_s _xpc_type_connection = {"connection"}, _xpc_type_dictionary = {"dictionary"}, _xpc_type_error = {"error"},
                         _xpc_type_array = {"array"}, _xpc_type_fd = {"fd"};
static const struct _xpc_type_s type_data = {"data"}, type_uint64 = {"uint64"}, type_bool = {"bool"}, type_string = {"string"},
                                type_uuid = {"uuid"};

struct value { // of data, uint64, bool and fd
  struct object object;
  uint64_t number;
  size_t length;
  char bytes[];
};
struct array {
  struct object object;
  size_t count;
  xpc_object_t *items;
};
struct entry {
  struct entry *next;
  char *key;
  xpc_object_t value;
};
struct _xpc_dictionary_s {
  struct object object;
  struct entry *entries;
  struct waiter *waiter; // for the reply to what came, or in the reply itself
};

#define ERROR(name) const struct _xpc_dictionary_s name = {{&_xpc_type_error, STATIC}, NULL, NULL}
ERROR(_xpc_error_connection_interrupted);
ERROR(_xpc_error_connection_invalid);
ERROR(_xpc_error_termination_imminent);
ERROR(_xpc_error_peer_code_signing_requirement);

static int live;
static const char *failing;

int xpcsim_live(void) {
  LOCK();
  int n = live;
  UNLOCK();
  return n;
}

void xpcsim_fail(const char *function) {
  LOCK();
  failing = function;
  UNLOCK();
}

static bool fails(const char *function) {
  LOCK();
  bool yes = failing != NULL && strcmp(failing, function) == 0;
  if (yes) {
    failing = NULL;
  }
  UNLOCK();
  return yes;
}

void xpcsim_complain(const char *what) { dprintf(2, "XPC's stand-in: %s\n", what); }

void *xpcsim_object(xpc_type_t type, size_t size) {
  struct object *o = calloc(1, size);
  *o = (struct object){type, 1};
  live++;
  return o;
}

// object is xpcsim_object for those who have no lock.
static void *object(xpc_type_t type, size_t size) {
  LOCK();
  void *o = xpcsim_object(type, size);
  UNLOCK();
  return o;
}

xpc_type_t xpc_get_type(xpc_object_t o) { return ((struct object *)o)->type; }

void *xpcsim_retain_locked(void *object) {
  struct object *o = object;
  if (o->refs != STATIC) {
    o->refs++;
  }
  return o;
}

static void free_dictionary(struct _xpc_dictionary_s *d) {
  for (struct entry *e = d->entries, *next; e != NULL; e = next) {
    next = e->next;
    xpcsim_release_locked(e->value);
    free(e->key);
    free(e);
  }
  if (d->waiter != NULL) {
    xpcsim_lose_waiter(d->waiter);
  }
}

static void free_array(struct array *a) {
  for (size_t i = 0; i < a->count; i++) {
    xpcsim_release_locked(a->items[i]);
  }
  free(a->items);
}

void xpcsim_release_locked(void *object) {
  struct object *o = object;
  if (o->refs == STATIC || --o->refs > 0) {
    return;
  }
  if (o->refs < 0) {
    xpcsim_complain("an object was released too often");
    abort();
  }
  if (o->type == &_xpc_type_connection) {
    xpcsim_free_connection(object);
  } else if (o->type == &_xpc_type_dictionary) {
    free_dictionary(object);
  } else if (o->type == &_xpc_type_array) {
    free_array(object);
  } else if (o->type == &_xpc_type_fd) {
    close((int)((struct value *)o)->number);
  }
  live--;
  free(o);
}

xpc_object_t xpc_retain(xpc_object_t o) {
  LOCK();
  xpcsim_retain_locked(o);
  UNLOCK();
  return o;
}

void xpc_release(xpc_object_t o) {
  LOCK();
  xpcsim_release_locked(o);
  UNLOCK();
}

// ---- Plain values and descriptors.

static struct value *number(xpc_type_t type, uint64_t n) {
  struct value *v = object(type, sizeof *v);
  v->number = n;
  return v;
}

static int duplicate(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 0); }

xpc_object_t xpc_fd_create(int fd) {
  int copy = fails(__func__) ? -1 : duplicate(fd);
  return copy < 0 ? NULL : number(&_xpc_type_fd, (uint64_t)copy);
}

int xpc_fd_dup(xpc_object_t o) {
  if (fails(__func__) || xpc_get_type(o) != &_xpc_type_fd) {
    return -1;
  }
  return duplicate((int)((struct value *)o)->number);
}

// ---- Arrays.

static void append(struct array *a, xpc_object_t value) {
  a->items = realloc(a->items, (a->count + 1) * sizeof *a->items);
  a->items[a->count++] = value;
}

xpc_object_t xpc_array_create(const xpc_object_t *objects, size_t count) {
  struct array *a = object(&_xpc_type_array, sizeof *a);
  for (size_t i = 0; i < count; i++) {
    append(a, xpc_retain(objects[i]));
  }
  return a;
}

void xpc_array_append_value(xpc_object_t array, xpc_object_t value) { append(array, xpc_retain(value)); }
size_t xpc_array_get_count(xpc_object_t array) { return ((struct array *)array)->count; }
xpc_object_t xpc_array_get_value(xpc_object_t array, size_t index) { return ((struct array *)array)->items[index]; }

// ---- Dictionaries.

static struct entry *find(struct _xpc_dictionary_s *d, const char *key) {
  struct entry *e = d->entries;
  while (e != NULL && strcmp(e->key, key) != 0) {
    e = e->next;
  }
  return e;
}

// add takes the value over.
static void add(struct _xpc_dictionary_s *d, const char *key, xpc_object_t value) {
  struct entry *e = find(d, key);
  if (e != NULL) {
    xpcsim_complain("a key is set twice, which nobody needs");
    abort();
  }
  e = malloc(sizeof *e);
  *e = (struct entry){d->entries, strdup(key), value};
  d->entries = e;
}

// get is the value of a key if it has the type.
static struct value *get(xpc_object_t dictionary, const char *key, xpc_type_t type) {
  struct entry *e = find(dictionary, key);
  return e != NULL && xpc_get_type(e->value) == type ? e->value : NULL;
}

xpc_object_t xpc_dictionary_create(const char *const *keys, const xpc_object_t *values, size_t count) {
  struct _xpc_dictionary_s *d = object(&_xpc_type_dictionary, sizeof *d);
  for (size_t i = 0; i < count; i++) {
    add(d, keys[i], xpc_retain(values[i]));
  }
  return d;
}

void xpc_dictionary_set_value(xpc_object_t d, const char *key, xpc_object_t value) { add(d, key, xpc_retain(value)); }
void xpc_dictionary_set_bool(xpc_object_t d, const char *key, bool value) { add(d, key, number(&type_bool, value)); }
void xpc_dictionary_set_uint64(xpc_object_t d, const char *key, uint64_t value) { add(d, key, number(&type_uint64, value)); }

// set_bytes keeps a copy of them.
static void set_bytes(xpc_object_t d, const char *key, xpc_type_t type, const void *bytes, size_t length) {
  struct value *v = object(type, sizeof *v + length);
  v->length = length;
  memcpy(v->bytes, bytes, length);
  add(d, key, v);
}

void xpc_dictionary_set_data(xpc_object_t d, const char *key, const void *bytes, size_t length) {
  set_bytes(d, key, &type_data, bytes, length);
}

void xpc_dictionary_set_string(xpc_object_t d, const char *key, const char *string) {
  set_bytes(d, key, &type_string, string, strlen(string) + 1);
}

void xpc_dictionary_set_uuid(xpc_object_t d, const char *key, const unsigned char uuid[16]) { set_bytes(d, key, &type_uuid, uuid, 16); }

xpc_object_t xpc_dictionary_get_value(xpc_object_t d, const char *key) {
  struct entry *e = find(d, key);
  return e == NULL ? NULL : e->value;
}

bool xpc_dictionary_get_bool(xpc_object_t d, const char *key) {
  struct value *v = get(d, key, &type_bool);
  return v != NULL && v->number != 0;
}

uint64_t xpc_dictionary_get_uint64(xpc_object_t d, const char *key) {
  struct value *v = get(d, key, &type_uint64);
  return v == NULL ? 0 : v->number;
}

const char *xpc_dictionary_get_string(xpc_object_t d, const char *key) {
  struct value *v = get(d, key, &type_string);
  return v == NULL ? NULL : v->bytes;
}

const unsigned char *xpc_dictionary_get_uuid(xpc_object_t d, const char *key) {
  struct value *v = get(d, key, &type_uuid);
  return v == NULL ? NULL : (const unsigned char *)v->bytes;
}

const void *xpc_dictionary_get_data(xpc_object_t d, const char *key, size_t *length) {
  struct value *v = get(d, key, &type_data);
  if (v == NULL) {
    return NULL;
  }
  *length = v->length;
  return v->bytes;
}

// ---- What sending does.

static xpc_object_t copy_value(struct value *v) {
  struct value *copy = xpcsim_object(v->object.type, sizeof *v + v->length);
  copy->number = v->object.type == &_xpc_type_fd ? (uint64_t)duplicate((int)v->number) : v->number;
  copy->length = v->length;
  memcpy(copy->bytes, v->bytes, v->length);
  return copy;
}

xpc_object_t xpcsim_copy_locked(xpc_object_t o) {
  xpc_type_t type = xpc_get_type(o);
  if (type == &_xpc_type_array) {
    struct array *from = o, *to = xpcsim_object(type, sizeof *to);
    for (size_t i = 0; i < from->count; i++) {
      append(to, xpcsim_copy_locked(from->items[i]));
    }
    return to;
  }
  if (type != &_xpc_type_dictionary) {
    return copy_value(o);
  }
  struct _xpc_dictionary_s *from = o, *to = xpcsim_object(type, sizeof *to);
  for (struct entry *e = from->entries; e != NULL; e = e->next) {
    add(to, e->key, xpcsim_copy_locked(e->value));
  }
  return to;
}

void xpcsim_expect(xpc_object_t message, struct waiter *waiter) {
  ((struct _xpc_dictionary_s *)message)->waiter = waiter;
}

struct waiter *xpcsim_take_waiter(xpc_object_t message) {
  struct _xpc_dictionary_s *d = message;
  LOCK();
  struct waiter *w = d->waiter;
  d->waiter = NULL;
  UNLOCK();
  return w;
}

xpc_object_t xpc_dictionary_create_reply(xpc_object_t original) {
  struct waiter *w = xpcsim_take_waiter(original);
  if (w == NULL) {
    return NULL;
  }
  struct _xpc_dictionary_s *d = xpc_dictionary_create(NULL, NULL, 0);
  d->waiter = w;
  return d;
}
