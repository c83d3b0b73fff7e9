#pragma once
#include <mach/kern_return.h>
#include <stdint.h>
struct mach_timebase_info { uint32_t numer, denom; };
typedef struct mach_timebase_info *mach_timebase_info_t;
typedef struct mach_timebase_info mach_timebase_info_data_t;
uint64_t mach_absolute_time(void);
kern_return_t mach_timebase_info(mach_timebase_info_t);
