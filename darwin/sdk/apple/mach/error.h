#pragma once
#include <mach/kern_return.h>
typedef kern_return_t mach_error_t;
