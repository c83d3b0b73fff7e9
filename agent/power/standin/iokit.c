//go:build macshim && !darwin

// Who is registered for the system's sleep and wake.
#include "front.h"

#include <IOKit/pwr_mgt/IOPMLib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

// An IONotificationPort is one registration.
struct IONotificationPort {
  io_connect_t root;
  io_object_t notifier;
  IOServiceInterestCallback callback;
  void *refcon;
  dispatch_queue_t queue;
  bool registered, closed;
  int posted, ended; // messages
  intptr_t awaited;  // the identifier that is to be allowed; 0 for none
  struct IONotificationPort *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // guards what follows
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct IONotificationPort *ports;
static uint32_t last_name = 0x100;
static intptr_t last_id = 0x1000;
static bool refuse;

void standin_refuse(void) {
  pthread_mutex_lock(&lock);
  refuse = true;
  pthread_mutex_unlock(&lock);
}

int standin_live(void) {
  int n = __atomic_load_n(&standin_objects, __ATOMIC_SEQ_CST);
  pthread_mutex_lock(&lock);
  for (IONotificationPortRef p = ports; p != NULL; p = p->next) {
    n++;
  }
  pthread_mutex_unlock(&lock);
  return n;
}

io_connect_t IORegisterForSystemPower(void *refcon, IONotificationPortRef *port, IOServiceInterestCallback callback, io_object_t *notifier) {
  pthread_mutex_lock(&lock);
  if (refuse) {
    refuse = false;
    pthread_mutex_unlock(&lock);
    return MACH_PORT_NULL;
  }
  IONotificationPortRef p = calloc(1, sizeof *p);
  p->refcon = refcon;
  p->callback = callback;
  p->registered = true;
  p->root = ++last_name;
  p->notifier = ++last_name;
  p->next = ports;
  ports = p;
  pthread_mutex_unlock(&lock);
  *port = p;
  *notifier = p->notifier;
  return p->root;
}

void IONotificationPortSetDispatchQueue(IONotificationPortRef p, dispatch_queue_t queue) {
  pthread_mutex_lock(&lock);
  p->queue = queue;
  dispatch_retain(queue);
  pthread_mutex_unlock(&lock);
}

IOReturn IODeregisterForSystemPower(io_object_t *notifier) {
  pthread_mutex_lock(&lock);
  IOReturn result = -1;
  for (IONotificationPortRef p = ports; p != NULL; p = p->next) {
    if (p->notifier == *notifier && p->registered) {
      p->registered = false;
      result = kIOReturnSuccess;
    }
  }
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  *notifier = MACH_PORT_NULL;
  return result;
}

// forget frees a registration of which neither port nor connection is left. The caller holds the lock.
static void forget(IONotificationPortRef p) {
  if (!p->closed || p->queue != NULL || p->registered || p->posted != p->ended) {
    return;
  }
  for (IONotificationPortRef *at = &ports; *at != NULL; at = &(*at)->next) {
    if (*at == p) {
      *at = p->next;
      free(p);
      return;
    }
  }
}

void IONotificationPortDestroy(IONotificationPortRef p) {
  pthread_mutex_lock(&lock);
  if (p->registered) {
    standin_broken("a port was destroyed that a registration uses");
  }
  if (p->queue != NULL) {
    dispatch_release(p->queue);
  }
  p->queue = NULL;
  forget(p);
  pthread_mutex_unlock(&lock);
}

kern_return_t IOServiceClose(io_connect_t connect) {
  pthread_mutex_lock(&lock);
  for (IONotificationPortRef p = ports; p != NULL; p = p->next) {
    if (p->root == connect) {
      p->closed = true;
      forget(p);
      break;
    }
  }
  pthread_mutex_unlock(&lock);
  return KERN_SUCCESS;
}

IOReturn IOAllowPowerChange(io_connect_t root, intptr_t id) {
  pthread_mutex_lock(&lock);
  IOReturn result = -1;
  for (IONotificationPortRef p = ports; p != NULL; p = p->next) {
    if (p->root == root && p->awaited == id && id != 0) {
      p->awaited = 0;
      result = kIOReturnSuccess;
    }
  }
  if (result != kIOReturnSuccess) {
    standin_broken("a power change was allowed that nobody asked about");
  }
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  return result;
}

// A letter is one message on its way.
struct letter {
  IONotificationPortRef port;
  uint32_t type;
  intptr_t id;
};

static void deliver(void *arg) {
  struct letter *l = arg;
  IONotificationPortRef p = l->port;
  pthread_mutex_lock(&lock);
  bool wanted = p->registered;
  pthread_mutex_unlock(&lock);
  if (wanted) {
    p->callback(p->refcon, p->root, l->type, (void *)l->id);
  }
  pthread_mutex_lock(&lock);
  p->ended++;
  pthread_cond_broadcast(&changed);
  forget(p);
  pthread_mutex_unlock(&lock);
  free(l);
}

// unanswered counts the registrations that have not dealt with all. The caller holds the lock.
static int unanswered(void) {
  int n = 0;
  for (IONotificationPortRef p = ports; p != NULL; p = p->next) {
    n += p->registered && (p->posted != p->ended || p->awaited != 0);
  }
  return n;
}

int standin_message(uint32_t type, int held_back, int timeout_ms) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += timeout_ms / 1000;
  until.tv_nsec += timeout_ms % 1000 * 1000000L;
  if (until.tv_nsec >= 1000000000L) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000L;
  }
  pthread_mutex_lock(&lock);
  for (IONotificationPortRef p = ports; p != NULL; p = p->next) {
    if (!p->registered || p->queue == NULL) {
      continue;
    }
    struct letter *l = calloc(1, sizeof *l);
    *l = (struct letter){p, type, held_back ? ++last_id : 0};
    p->posted++;
    if (held_back) {
      p->awaited = l->id;
    }
    dispatch_async_f(p->queue, l, deliver);
  }
  int left;
  while ((left = unanswered()) > 0 && pthread_cond_timedwait(&changed, &lock, &until) == 0) {
  }
  pthread_mutex_unlock(&lock);
  return left;
}
