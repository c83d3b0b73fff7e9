#pragma once
#include <dispatch/dispatch.h>
#include <mach/mach_types.h>

typedef kern_return_t IOReturn;
typedef mach_port_t io_object_t;
typedef io_object_t io_connect_t;
typedef io_object_t io_service_t;
typedef struct IONotificationPort *IONotificationPortRef;
typedef void (*IOServiceInterestCallback)(void *refcon, io_service_t service, uint32_t messageType, void *messageArgument);

#define kIOReturnSuccess KERN_SUCCESS

void IONotificationPortSetDispatchQueue(IONotificationPortRef notify, dispatch_queue_t queue);
void IONotificationPortDestroy(IONotificationPortRef notify);
kern_return_t IOServiceClose(io_connect_t connect);
