//go:build darwin || macshim

#include "power.h"

#include <stdlib.h>

#include "_cgo_export.h"

// A power is one watch. All its calls come from one serial queue.
struct power {
  uintptr_t id;
  dispatch_queue_t queue;
  io_connect_t root; // to acknowledge with
  IONotificationPortRef port;
  io_object_t notifier;
  dispatch_source_t pressure;
};

// message is told of sleep and wake. What may be held back is, until it is allowed: the argument then says which it was.
static void message(void *context, io_service_t service, uint32_t type, void *argument) {
  struct power *p = context;
  (void)service;
  switch (type) {
  case kIOMessageSystemWillSleep:
    powerMessage(p->id, POWER_WILL_SLEEP);
    IOAllowPowerChange(p->root, (intptr_t)argument);
    break;
  case kIOMessageCanSystemSleep: // whoever is idle may sleep
    IOAllowPowerChange(p->root, (intptr_t)argument);
    break;
  case kIOMessageSystemWillNotSleep:
    powerMessage(p->id, POWER_WILL_NOT_SLEEP);
    break;
  case kIOMessageSystemHasPoweredOn:
    powerMessage(p->id, POWER_HAS_POWERED_ON);
    break;
  }
}

static void pressure(void *context) {
  struct power *p = context;
  powerMemory(p->id, dispatch_source_get_data(p->pressure));
}

static void nothing(void *context) { (void)context; }

struct power *power_watch(uintptr_t id) {
  struct power *p = calloc(1, sizeof *p);
  if (p == NULL) {
    return NULL;
  }
  p->id = id;
  p->queue = dispatch_queue_create("com.arcboxlabs.arcboxd.power", DISPATCH_QUEUE_SERIAL);
  p->root = IORegisterForSystemPower(p, &p->port, message, &p->notifier);
  if (p->root == MACH_PORT_NULL) {
    dispatch_release(p->queue);
    free(p);
    return NULL;
  }
  IONotificationPortSetDispatchQueue(p->port, p->queue);
  p->pressure = dispatch_source_create(DISPATCH_SOURCE_TYPE_MEMORYPRESSURE, 0,
      DISPATCH_MEMORYPRESSURE_NORMAL | DISPATCH_MEMORYPRESSURE_WARN | DISPATCH_MEMORYPRESSURE_CRITICAL, p->queue);
  if (p->pressure != NULL) { // sleep matters more
    dispatch_set_context(p->pressure, p);
    dispatch_source_set_event_handler_f(p->pressure, pressure);
    dispatch_resume(p->pressure);
  }
  return p;
}

void power_end(struct power *p) {
  IODeregisterForSystemPower(&p->notifier);
  IONotificationPortDestroy(p->port);
  if (p->pressure != NULL) {
    dispatch_source_cancel(p->pressure);
  }
  dispatch_sync_f(p->queue, NULL, nothing); // behind what is under way
  IOServiceClose(p->root);
  if (p->pressure != NULL) {
    dispatch_release(p->pressure);
  }
  dispatch_release(p->queue);
  free(p);
}
