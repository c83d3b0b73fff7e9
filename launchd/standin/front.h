#pragma once
#include <stddef.h>

// standin_started says whether launchd has started this process; either way it has no sockets now.
void standin_started(int yes);

// standin_give adds a socket of n descriptors to its definition.
void standin_give(const char *name, const int *fds, size_t n);
