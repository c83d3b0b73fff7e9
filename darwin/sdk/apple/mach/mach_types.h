#pragma once
#include <mach/kern_return.h>
#include <stdint.h>

typedef uint32_t mach_port_t;
#define MACH_PORT_NULL 0
