// What card.go calls. Constants have our names, so that Go sees them whatever kind of macro Apple's are.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <vmnet/vmnet.h>

#define VMN_TYPE(name, ...) \
  _Static_assert(__builtin_types_compatible_p(__typeof__(&name), __VA_ARGS__), #name " has another prototype")

_Static_assert(VMNET_SUCCESS == 1000, "VMNET_SUCCESS is not 1000");
_Static_assert(VMNET_NOT_AUTHORIZED == 1010, "VMNET_NOT_AUTHORIZED is not 1010");
_Static_assert(VMNET_HOST_MODE == 1000, "VMNET_HOST_MODE is not 1000");
_Static_assert(VMNET_INTERFACE_PACKETS_AVAILABLE == 1, "VMNET_INTERFACE_PACKETS_AVAILABLE is not 1");
_Static_assert(sizeof(struct vmpktdesc) == 24 && offsetof(struct vmpktdesc, vm_pkt_iovcnt) == 16, "a packet is described otherwise");
VMN_TYPE(vmnet_read, vmnet_return_t (*)(interface_ref, struct vmpktdesc *, int *));
VMN_TYPE(vmnet_write, vmnet_return_t (*)(interface_ref, struct vmpktdesc *, int *));
VMN_TYPE(xpc_dictionary_set_string, void (*)(xpc_object_t, const char *, const char *));
VMN_TYPE(xpc_dictionary_set_uuid, void (*)(xpc_object_t, const char *, const unsigned char *));

enum {
  VMN_SUCCESS = VMNET_SUCCESS,
  VMN_NOT_AUTHORIZED = VMNET_NOT_AUTHORIZED,
};

struct vmn;

// vmn_start makes an interface in a network of its own, called uuid, in which the host has an address with a mask. goVmnStarted is told
// how that went, and goVmnPackets from then on whenever there are packets to read. NULL: vmnet takes no such description.
struct vmn *vmn_start(uintptr_t id, const char *host, const char *mask, const unsigned char uuid[16]);

// vmn_listen begins to tell of packets. It is false when vmnet refuses.
int vmn_listen(struct vmn *v);

// vmn_read reads a packet, and gives its size; 0 when there is none or the interface is broken. vmn_write writes one; it may be lost.
size_t vmn_read(struct vmn *v, void *packet, size_t room);
void vmn_write(struct vmn *v, void *packet, size_t size);

// vmn_stop ends the interface, of which goVmnStopped is told, or it is false and nobody is.
int vmn_stop(struct vmn *v);

// vmn_free forgets an interface that was stopped, or did not start. It must not be called from one of those Go functions.
void vmn_free(struct vmn *v);
