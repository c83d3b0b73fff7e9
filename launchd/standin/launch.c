//go:build macshim && !darwin

#include "front.h"

#include <errno.h>
#include <launch.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SOCKETS = 8, FDS = 8 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // guards what follows
static int started;
static struct {
  char name[64];
  int fds[FDS], taken;
  size_t n;
} sockets[SOCKETS];

void standin_started(int yes) {
  pthread_mutex_lock(&lock);
  started = yes;
  memset(sockets, 0, sizeof sockets);
  pthread_mutex_unlock(&lock);
}

void standin_give(const char *name, const int *fds, size_t n) {
  pthread_mutex_lock(&lock);
  for (int i = 0; i < SOCKETS && n <= FDS; i++) {
    if (sockets[i].name[0] == 0) {
      strncpy(sockets[i].name, name, sizeof sockets[i].name - 1);
      memcpy(sockets[i].fds, fds, n * sizeof *fds);
      sockets[i].n = n;
      break;
    }
  }
  pthread_mutex_unlock(&lock);
}

// take gives the descriptors of socket i. The caller holds the lock.
static int take(int i, int **fds, size_t *n) {
  if (sockets[i].taken) {
    return EALREADY;
  }
  *fds = calloc(sockets[i].n, sizeof **fds);
  if (*fds == NULL) {
    return ENOMEM;
  }
  sockets[i].taken = 1;
  *n = sockets[i].n;
  memcpy(*fds, sockets[i].fds, *n * sizeof **fds);
  return 0;
}

int launch_activate_socket(const char *name, int **fds, size_t *n) {
  pthread_mutex_lock(&lock);
  int err = started ? ENOENT : ESRCH;
  for (int i = 0; started && i < SOCKETS; i++) {
    if (strcmp(sockets[i].name, name) == 0) {
      err = take(i, fds, n);
      break;
    }
  }
  pthread_mutex_unlock(&lock);
  return err;
}
