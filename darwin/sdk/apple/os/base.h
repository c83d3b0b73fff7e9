#pragma once
#include <os/availability.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
// OS_ENUM(name, type, ...) makes name_t, of exactly that type.
#ifdef __clang__
#define OS_ENUM(name, type, ...) typedef enum : type { __VA_ARGS__ } name##_t
#else
#define OS_ENUM(name, type, ...) typedef type name##_t; enum { __VA_ARGS__ }
#endif
