//go:build cgo && (darwin || macshim)

#include "vmnet.h"

#include <stdbool.h>
#include <stdlib.h>

#include "_cgo_export.h"

// A vmn is one interface. All that it tells comes from one serial queue.
struct vmn {
  uintptr_t id;
  dispatch_queue_t queue;
  interface_ref interface;
};

// describe says what is wanted: no DHCP is played in a network that has an identifier.
static xpc_object_t describe(const char *host, const char *mask, const unsigned char uuid[16]) {
  xpc_object_t d = xpc_dictionary_create(NULL, NULL, 0);
  xpc_dictionary_set_uint64(d, vmnet_operation_mode_key, VMNET_HOST_MODE);
  xpc_dictionary_set_uuid(d, vmnet_network_identifier_key, uuid);
  xpc_dictionary_set_string(d, vmnet_host_ip_address_key, host);
  xpc_dictionary_set_string(d, vmnet_host_subnet_mask_key, mask);
  xpc_dictionary_set_bool(d, vmnet_allocate_mac_address_key, false);
  return d;
}

struct vmn *vmn_start(uintptr_t id, const char *host, const char *mask, const unsigned char uuid[16]) {
  struct vmn *v = calloc(1, sizeof *v);
  if (v == NULL) {
    return NULL;
  }
  v->id = id;
  v->queue = dispatch_queue_create("com.arcboxlabs.arcbox-routed.vmnet", DISPATCH_QUEUE_SERIAL);
  xpc_object_t description = describe(host, mask, uuid);
  v->interface = vmnet_start_interface(description, v->queue, ^(vmnet_return_t status, xpc_object_t parameters) {
    bool well = status == VMNET_SUCCESS && parameters != NULL;
    goVmnStarted(id, status, well ? xpc_dictionary_get_uint64(parameters, vmnet_max_packet_size_key) : 0);
  });
  xpc_release(description);
  if (v->interface == NULL) {
    vmn_free(v);
    return NULL;
  }
  return v;
}

int vmn_listen(struct vmn *v) {
  uintptr_t id = v->id;
  return vmnet_interface_set_event_callback(v->interface, VMNET_INTERFACE_PACKETS_AVAILABLE, v->queue, ^(interface_event_t events, xpc_object_t event) {
           (void)events;
           (void)event;
           goVmnPackets(id);
         }) == VMNET_SUCCESS;
}

size_t vmn_read(struct vmn *v, void *packet, size_t room) {
  struct iovec iov = {packet, room};
  struct vmpktdesc p = {room, &iov, 1, 0};
  int count = 1;
  return vmnet_read(v->interface, &p, &count) == VMNET_SUCCESS && count == 1 ? p.vm_pkt_size : 0;
}

void vmn_write(struct vmn *v, void *packet, size_t size) {
  struct iovec iov = {packet, size};
  struct vmpktdesc p = {size, &iov, 1, 0};
  int count = 1;
  vmnet_write(v->interface, &p, &count);
}

int vmn_stop(struct vmn *v) {
  uintptr_t id = v->id;
  vmnet_interface_set_event_callback(v->interface, VMNET_INTERFACE_PACKETS_AVAILABLE, NULL, NULL);
  return vmnet_stop_interface(v->interface, v->queue, ^(vmnet_return_t status) {
           (void)status;
           goVmnStopped(id);
         }) == VMNET_SUCCESS;
}

static void nothing(void *context) { (void)context; }

void vmn_free(struct vmn *v) {
  dispatch_sync_f(v->queue, NULL, nothing); // behind what is under way
  dispatch_release(v->queue);
  free(v);
}
