#pragma once
#include <sys/types.h>
struct timespec { long tv_sec; long tv_nsec; };
typedef enum { _CLOCK_MONOTONIC = 6, _CLOCK_UPTIME_RAW = 8 } clockid_t;
int nanosleep(const struct timespec *, struct timespec *);
uint64_t clock_gettime_nsec_np(clockid_t);
