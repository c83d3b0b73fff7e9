//go:build macshim && !darwin

// Notifications by name, which have a state and are written into descriptors.
#include "front.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <notify.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum { NAMES = 8, TOKENS = 64, FAILED = 1000000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // guards what follows
static struct {
  char name[128];
  uint64_t state;
} names[NAMES];
static struct {
  int name, ends[2], used;
} tokens[TOKENS];

// named is the index of a name, which may be new; -1 when there are too many.
static int named(const char *name) {
  for (int i = 0; i < NAMES; i++) {
    if (names[i].name[0] == 0) {
      strncpy(names[i].name, name, sizeof names[i].name - 1);
    }
    if (strcmp(names[i].name, name) == 0) {
      return i;
    }
  }
  return -1;
}

uint32_t notify_register_file_descriptor(const char *name, int *fd, int flags, int *token) {
  uint32_t result = FAILED;
  if (flags != 0) {
    standin_broken("no flags of notifications are known here");
  }
  pthread_mutex_lock(&lock);
  int n = named(name);
  for (int i = 0; n >= 0 && i < TOKENS; i++) {
    if (tokens[i].used) {
      continue;
    }
    if (pipe2(tokens[i].ends, O_CLOEXEC) == 0) {
      tokens[i].used = 1;
      tokens[i].name = n;
      *token = i;
      *fd = tokens[i].ends[0];
      result = NOTIFY_STATUS_OK;
    }
    break;
  }
  pthread_mutex_unlock(&lock);
  return result;
}

uint32_t notify_get_state(int token, uint64_t *state) {
  uint32_t result = FAILED;
  pthread_mutex_lock(&lock);
  if (token >= 0 && token < TOKENS && tokens[token].used) {
    *state = names[tokens[token].name].state;
    result = NOTIFY_STATUS_OK;
  }
  pthread_mutex_unlock(&lock);
  return result;
}

uint32_t notify_cancel(int token) {
  uint32_t result = FAILED;
  pthread_mutex_lock(&lock);
  if (token >= 0 && token < TOKENS && tokens[token].used) {
    tokens[token].used = 0;
    close(tokens[token].ends[0]);
    close(tokens[token].ends[1]);
    result = NOTIFY_STATUS_OK;
  }
  pthread_mutex_unlock(&lock);
  return result;
}

void standin_note(const char *name, uint64_t state) {
  pthread_mutex_lock(&lock);
  int n = named(name);
  if (n >= 0) {
    names[n].state = state;
  }
  for (int i = 0; n >= 0 && i < TOKENS; i++) {
    if (tokens[i].used && tokens[i].name == n) {
      uint32_t word = htonl((uint32_t)i);
      if (write(tokens[i].ends[1], &word, sizeof word) != sizeof word) {
        standin_broken("nobody reads the notifications");
      }
    }
  }
  pthread_mutex_unlock(&lock);
}
