#pragma once
#include <stddef.h>
#include <stdint.h>
typedef int64_t off_t;
typedef long ssize_t;
typedef int32_t pid_t;
typedef uint32_t uid_t, gid_t;
typedef uint16_t mode_t;
typedef long time_t;
typedef unsigned char u_char;
typedef unsigned int u_int;
