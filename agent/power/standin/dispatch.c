//go:build macshim && !darwin

// Queues with a thread each, and sources of memory pressure.
#include "front.h"

#include <dispatch/dispatch.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

int standin_objects;

void standin_broken(const char *rule) {
  fprintf(stderr, "standin: %s\n", rule);
  abort();
}

// An object is the head of queues and sources.
struct object {
  enum { QUEUE, SOURCE } kind;
  int refs;
  void *context;
};

struct work {
  dispatch_function_t f;
  void *context;
  struct work *next;
};

struct dispatch_queue_s {
  struct object head;
  pthread_t thread;
  pthread_mutex_t lock; // guards what follows
  pthread_cond_t more;
  struct work *first, **last;
  bool over;
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

static void *serve(void *arg) {
  dispatch_queue_t q = arg;
  pthread_mutex_lock(&q->lock);
  for (;;) {
    struct work *w = q->first;
    if (w == NULL) {
      if (q->over) {
        break;
      }
      pthread_cond_wait(&q->more, &q->lock);
      continue;
    }
    if ((q->first = w->next) == NULL) {
      q->last = &q->first;
    }
    pthread_mutex_unlock(&q->lock);
    w->f(w->context);
    free(w);
    pthread_mutex_lock(&q->lock);
  }
  pthread_mutex_unlock(&q->lock);
  free(q);
  __atomic_sub_fetch(&standin_objects, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

dispatch_queue_t dispatch_queue_create(const char *label, dispatch_queue_attr_t attr) {
  (void)label;
  if (attr != DISPATCH_QUEUE_SERIAL) {
    standin_broken("only serial queues are known here");
  }
  dispatch_queue_t q = calloc(1, sizeof *q);
  object_init(&q->head, QUEUE);
  pthread_mutex_init(&q->lock, NULL);
  pthread_cond_init(&q->more, NULL);
  q->last = &q->first;
  pthread_create(&q->thread, NULL, serve, q);
  pthread_detach(q->thread);
  return q;
}

void dispatch_async_f(dispatch_queue_t q, void *context, dispatch_function_t f) {
  struct work *w = calloc(1, sizeof *w);
  w->f = f;
  w->context = context;
  pthread_mutex_lock(&q->lock);
  if (q->over) {
    standin_broken("a queue is used that was released");
  }
  *q->last = w;
  q->last = &w->next;
  pthread_cond_signal(&q->more);
  pthread_mutex_unlock(&q->lock);
}

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
  if (pthread_equal(pthread_self(), q->thread)) {
    standin_broken("dispatch_sync_f on the queue that it is called from never returns");
  }
  struct waited w = {f, context, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
  dispatch_async_f(q, &w, perform);
  pthread_mutex_lock(&w.lock);
  while (!w.done) {
    pthread_cond_wait(&w.cond, &w.lock);
  }
  pthread_mutex_unlock(&w.lock);
}

void dispatch_set_context(dispatch_object_t o, void *context) { ((struct object *)o._dq)->context = context; }

void dispatch_retain(dispatch_object_t o) { __atomic_add_fetch(&((struct object *)o._dq)->refs, 1, __ATOMIC_SEQ_CST); }

static void end_queue(dispatch_queue_t q) {
  pthread_mutex_lock(&q->lock);
  q->over = true;
  pthread_cond_signal(&q->more);
  pthread_mutex_unlock(&q->lock);
}

static void end_source(dispatch_source_t s) {
  if (!s->cancelled) {
    standin_broken("a source was released that is not cancelled");
  }
  dispatch_release(s->queue);
  free(s);
  __atomic_sub_fetch(&standin_objects, 1, __ATOMIC_SEQ_CST);
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
  if (o->kind == QUEUE) {
    end_queue(any._dq);
  } else {
    end_source(any._ds);
  }
}

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
