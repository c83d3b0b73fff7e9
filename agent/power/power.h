// What watch_cgo.go calls. Constants have our names, so that Go sees them whatever kind of macro Apple's are.
#pragma once
#include <IOKit/IOKitLib.h>
#include <IOKit/IOMessage.h>
#include <IOKit/pwr_mgt/IOPMLib.h>
#include <dispatch/dispatch.h>
#include <notify.h>
#include <stdint.h>

#define POWER_TYPE(name, ...) \
  _Static_assert(__builtin_types_compatible_p(__typeof__(&name), __VA_ARGS__), #name " has another prototype")
#define POWER_VALUE(name, value) _Static_assert((name) == (value), #name " is not " #value)

POWER_VALUE(kIOMessageCanSystemSleep, 0xe0000270);
POWER_VALUE(kIOMessageSystemWillSleep, 0xe0000280);
POWER_VALUE(kIOMessageSystemWillNotSleep, 0xe0000290);
POWER_VALUE(kIOMessageSystemHasPoweredOn, 0xe0000300);
POWER_VALUE(DISPATCH_MEMORYPRESSURE_NORMAL, 1);
POWER_VALUE(DISPATCH_MEMORYPRESSURE_WARN, 2);
POWER_VALUE(DISPATCH_MEMORYPRESSURE_CRITICAL, 4);
POWER_VALUE(NOTIFY_STATUS_OK, 0);
POWER_VALUE(MACH_PORT_NULL, 0);
_Static_assert(sizeof(io_connect_t) == 4 && sizeof(io_object_t) == 4, "ports have not 4 bytes");
POWER_TYPE(IORegisterForSystemPower, io_connect_t (*)(void *, IONotificationPortRef *, IOServiceInterestCallback, io_object_t *));
POWER_TYPE(IODeregisterForSystemPower, IOReturn (*)(io_object_t *));
POWER_TYPE(IOAllowPowerChange, IOReturn (*)(io_connect_t, intptr_t));
POWER_TYPE(IOServiceClose, kern_return_t (*)(io_connect_t));
POWER_TYPE(notify_register_file_descriptor, uint32_t (*)(const char *, int *, int, int *));
POWER_TYPE(notify_get_state, uint32_t (*)(int, uint64_t *));
POWER_TYPE(notify_cancel, uint32_t (*)(int));

enum {
  POWER_WILL_SLEEP = 1,
  POWER_WILL_NOT_SLEEP,
  POWER_HAS_POWERED_ON,

  POWER_MEMORY_NORMAL = DISPATCH_MEMORYPRESSURE_NORMAL,
  POWER_MEMORY_WARN = DISPATCH_MEMORYPRESSURE_WARN,
  POWER_MEMORY_CRITICAL = DISPATCH_MEMORYPRESSURE_CRITICAL,
};

struct power;

// power_watch has powerMessage and powerMemory called with id until power_end, from one thread at a time. NULL: the
// system refuses.
struct power *power_watch(uintptr_t id);

// power_end returns when no call is under way and none will come. It must not be called from one.
void power_end(struct power *p);
