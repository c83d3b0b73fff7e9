//go:build macshim && !darwin

// Serial queues on a few threads that live as long as the process, and sources of memory pressure.
#include <Block.h>
#include <dispatch/dispatch.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "block.h"
#include "standin.h"

int standin_objects;

void standin_broken(const char *rule) {
  fprintf(stderr, "standin: %s\n", rule);
  abort();
}

// An object is the head of queues and sources.
struct object {
  enum { QUEUE, SOURCE } kind;
  int refs; // counted atomically
  void *context;
};

struct work {
  dispatch_function_t f;
  void *context;
  struct work *next;
};

struct dispatch_queue_s {
  struct object head;
  // Guarded by lock.
  struct work *first, **last;
  bool over; // nobody holds it any more
  bool busy; // it is ready, or a thread runs its work
  bool running;
  pthread_t runner;              // while it is running
  struct dispatch_queue_s *next; // of those that are ready
};

struct dispatch_source_s {
  struct object head;
  dispatch_queue_t queue;
  uintptr_t mask;
  dispatch_function_t handler;
  uintptr_t data; // of the call under way
  // Guarded by sources_lock.
  uintptr_t pending;
  bool active, cancelled;
  struct dispatch_source_s *next;
};

enum { THREADS = 4 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // guards the work of every queue, and what follows
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static struct dispatch_queue_s *ready, **last_ready = &ready; // have work, and no thread

static pthread_mutex_t sources_lock = PTHREAD_MUTEX_INITIALIZER;
static struct dispatch_source_s *sources; // that are active

const struct dispatch_source_type_s {
  int unused;
} _dispatch_source_type_memorypressure;

static void object_init(struct object *o, int kind) {
  o->kind = kind;
  o->refs = 1;
  __atomic_add_fetch(&standin_objects, 1, __ATOMIC_SEQ_CST);
}

static void object_free(void *o) {
  free(o);
  __atomic_sub_fetch(&standin_objects, 1, __ATOMIC_SEQ_CST);
}

// ---- Queues. What is static here is called with the lock held.

static void make_ready(dispatch_queue_t q) {
  q->next = NULL;
  *last_ready = q;
  last_ready = &q->next;
  pthread_cond_signal(&more);
}

static dispatch_queue_t take_ready(void) {
  dispatch_queue_t q = ready;
  if ((ready = q->next) == NULL) {
    last_ready = &ready;
  }
  return q;
}

// run_one runs one piece of a queue's work, for which it lets go of the lock.
static void run_one(dispatch_queue_t q) {
  struct work *w = q->first;
  if ((q->first = w->next) == NULL) {
    q->last = &q->first;
  }
  q->running = true;
  q->runner = pthread_self();
  pthread_mutex_unlock(&lock);
  w->f(w->context);
  free(w);
  pthread_mutex_lock(&lock);
  q->running = false;
}

static __attribute__((noreturn)) void *serve(void *unused) {
  (void)unused;
  pthread_mutex_lock(&lock);
  for (;;) {
    if (ready == NULL) {
      pthread_cond_wait(&more, &lock);
      continue;
    }
    dispatch_queue_t q = take_ready();
    run_one(q);
    if (q->first != NULL) {
      make_ready(q);
      continue;
    }
    q->busy = false;
    if (q->over) {
      object_free(q);
    }
  }
}

static void begin(void) {
  for (int i = 0; i < THREADS; i++) {
    pthread_t t;
    pthread_create(&t, NULL, serve, NULL);
    pthread_detach(t);
  }
}

dispatch_queue_t dispatch_queue_create(const char *label, dispatch_queue_attr_t attr) {
  (void)label;
  if (attr != DISPATCH_QUEUE_SERIAL) {
    standin_broken("only serial queues are known here");
  }
  pthread_once(&once, begin);
  dispatch_queue_t q = calloc(1, sizeof *q);
  object_init(&q->head, QUEUE);
  q->last = &q->first;
  return q;
}

static void end_queue(dispatch_queue_t q) {
  q->over = true;
  if (!q->busy) {
    object_free(q);
  }
}

void dispatch_async_f(dispatch_queue_t q, void *context, dispatch_function_t f) {
  struct work *w = calloc(1, sizeof *w);
  w->f = f;
  w->context = context;
  pthread_mutex_lock(&lock);
  if (q->over) {
    standin_broken("a queue is used that was released");
  }
  *q->last = w;
  q->last = &w->next;
  if (!q->busy) {
    q->busy = true;
    make_ready(q);
  }
  pthread_mutex_unlock(&lock);
}

static void run_block(void *arg) {
  struct block *b = arg;
  b->invoke(b);
  _Block_release(b);
}

// The header declares it for compilers that know blocks; nobody needs to for this.
void dispatch_async(dispatch_queue_t q, void *block);
void dispatch_async(dispatch_queue_t q, void *block) { dispatch_async_f(q, _Block_copy(block), run_block); }

struct waited {
  dispatch_function_t f;
  void *context;
  pthread_mutex_t lock;
  pthread_cond_t cond;
  bool done;
};

static void perform(void *arg) {
  struct waited *w = arg;
  w->f(w->context);
  pthread_mutex_lock(&w->lock);
  w->done = true;
  pthread_cond_signal(&w->cond);
  pthread_mutex_unlock(&w->lock);
}

void dispatch_sync_f(dispatch_queue_t q, void *context, dispatch_function_t f) {
  pthread_mutex_lock(&lock);
  if (q->running && pthread_equal(pthread_self(), q->runner)) {
    standin_broken("dispatch_sync_f on the queue that it is called from never returns");
  }
  pthread_mutex_unlock(&lock);
  struct waited w = {f, context, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
  dispatch_async_f(q, &w, perform);
  pthread_mutex_lock(&w.lock);
  while (!w.done) {
    pthread_cond_wait(&w.cond, &w.lock);
  }
  pthread_mutex_unlock(&w.lock);
}

// ---- Objects.

void dispatch_set_context(dispatch_object_t o, void *context) { ((struct object *)o._dq)->context = context; }

void dispatch_retain(dispatch_object_t o) { __atomic_add_fetch(&((struct object *)o._dq)->refs, 1, __ATOMIC_SEQ_CST); }

static void end_source(dispatch_source_t s) {
  if (!s->cancelled) {
    standin_broken("a source was released that is not cancelled");
  }
  dispatch_release(s->queue);
  object_free(s);
}

void dispatch_release(dispatch_object_t any) {
  struct object *o = (struct object *)any._dq;
  int refs = __atomic_sub_fetch(&o->refs, 1, __ATOMIC_SEQ_CST);
  if (refs < 0) {
    standin_broken("an object was released too often");
  }
  if (refs > 0) {
    return;
  }
  if (o->kind == SOURCE) {
    end_source(any._ds);
    return;
  }
  pthread_mutex_lock(&lock);
  end_queue(any._dq);
  pthread_mutex_unlock(&lock);
}

// ---- Sources.

dispatch_source_t dispatch_source_create(dispatch_source_type_t type, uintptr_t handle, uintptr_t mask, dispatch_queue_t queue) {
  if (type != DISPATCH_SOURCE_TYPE_MEMORYPRESSURE || handle != 0) {
    standin_broken("only sources of memory pressure are known here");
  }
  dispatch_source_t s = calloc(1, sizeof *s);
  object_init(&s->head, SOURCE);
  s->mask = mask;
  s->queue = queue;
  dispatch_retain(queue);
  return s;
}

void dispatch_source_set_event_handler_f(dispatch_source_t s, dispatch_function_t handler) { s->handler = handler; }

void dispatch_resume(dispatch_object_t o) {
  dispatch_source_t s = o._ds;
  pthread_mutex_lock(&sources_lock);
  if (s->active) {
    standin_broken("a source was resumed that is not suspended");
  }
  s->active = true;
  s->next = sources;
  sources = s;
  pthread_mutex_unlock(&sources_lock);
}

void dispatch_source_cancel(dispatch_source_t s) {
  pthread_mutex_lock(&sources_lock);
  s->cancelled = true;
  for (dispatch_source_t *p = &sources; *p != NULL; p = &(*p)->next) {
    if (*p == s) {
      *p = s->next;
      break;
    }
  }
  pthread_mutex_unlock(&sources_lock);
}

uintptr_t dispatch_source_get_data(dispatch_source_t s) { return s->data; }

static void deliver(void *arg) {
  dispatch_source_t s = arg;
  pthread_mutex_lock(&sources_lock);
  s->data = s->pending;
  s->pending = 0;
  bool wanted = s->data != 0 && !s->cancelled;
  pthread_mutex_unlock(&sources_lock);
  if (wanted) {
    s->handler(s->head.context);
  }
  dispatch_release(s);
}

void standin_memory(uintptr_t level) {
  pthread_mutex_lock(&sources_lock);
  for (dispatch_source_t s = sources; s != NULL; s = s->next) {
    if ((s->mask & level) == 0) {
      continue;
    }
    s->pending |= level;
    dispatch_retain(s);
    dispatch_async_f(s->queue, s, deliver);
  }
  pthread_mutex_unlock(&sources_lock);
}
