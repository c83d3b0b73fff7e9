#pragma once
#include <stddef.h>
int launch_activate_socket(const char *name, int **fds, size_t *cnt);
