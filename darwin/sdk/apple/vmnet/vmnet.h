// Interfaces of the Mac's own: the part of vmnet.framework that we use.
#pragma once
#include <dispatch/dispatch.h>
#include <os/base.h>
#include <stdint.h>
#include <sys/uio.h>
#include <xpc/xpc.h>

OS_ENUM(vmnet_return, uint32_t, VMNET_SUCCESS = 1000, VMNET_FAILURE = 1001, VMNET_MEM_FAILURE = 1002, VMNET_INVALID_ARGUMENT = 1003,
        VMNET_SETUP_INCOMPLETE = 1004, VMNET_INVALID_ACCESS = 1005, VMNET_PACKET_TOO_BIG = 1006, VMNET_BUFFER_EXHAUSTED = 1007,
        VMNET_TOO_MANY_PACKETS = 1008, VMNET_SHARING_SERVICE_BUSY = 1009, VMNET_NOT_AUTHORIZED = 1010);
OS_ENUM(operating_modes, uint32_t, VMNET_HOST_MODE = 1000, VMNET_SHARED_MODE = 1001, VMNET_BRIDGED_MODE = 1002);
OS_ENUM(interface_event, uint32_t, VMNET_INTERFACE_PACKETS_AVAILABLE = 1 << 0);

typedef struct vmnet_interface *interface_ref;
struct vmpktdesc {
  size_t vm_pkt_size;
  struct iovec *vm_pkt_iov;
  uint32_t vm_pkt_iovcnt;
  uint32_t vm_flags;
};

extern const char *vmnet_operation_mode_key;
extern const char *vmnet_network_identifier_key;
extern const char *vmnet_host_ip_address_key;
extern const char *vmnet_host_subnet_mask_key;
extern const char *vmnet_allocate_mac_address_key;
extern const char *vmnet_max_packet_size_key;

#ifdef __BLOCKS__
typedef void (^vmnet_start_interface_completion_handler_t)(vmnet_return_t status, xpc_object_t parameters);
typedef void (^vmnet_interface_event_callback_t)(interface_event_t events, xpc_object_t event);
typedef void (^vmnet_interface_completion_handler_t)(vmnet_return_t status);
interface_ref vmnet_start_interface(xpc_object_t description, dispatch_queue_t queue, vmnet_start_interface_completion_handler_t handler);
vmnet_return_t vmnet_interface_set_event_callback(interface_ref interface, interface_event_t events, dispatch_queue_t queue, vmnet_interface_event_callback_t callback);
vmnet_return_t vmnet_stop_interface(interface_ref interface, dispatch_queue_t queue, vmnet_interface_completion_handler_t handler);
#endif
vmnet_return_t vmnet_read(interface_ref interface, struct vmpktdesc *packets, int *count);
vmnet_return_t vmnet_write(interface_ref interface, struct vmpktdesc *packets, int *count);
