// What mach assumes of XPC's headers, held at compile time: against the stub SDK on Linux, and against
// Apple's on a Mac, where a wrong stub shows.
#pragma once
#include <Block.h>
#include <xpc/xpc.h>

#define SVC_TYPE(name, ...) \
  _Static_assert(__builtin_types_compatible_p(__typeof__(&name), __VA_ARGS__), #name " has another prototype")

_Static_assert(XPC_CONNECTION_MACH_SERVICE_LISTENER == 1, "XPC_CONNECTION_MACH_SERVICE_LISTENER is not 1");
_Static_assert(sizeof(pid_t) == 4 && sizeof(uid_t) == 4, "a pid or a uid has not 4 bytes");
_Static_assert(__builtin_types_compatible_p(xpc_object_t, void *), "xpc_object_t is not void *");
_Static_assert(__builtin_types_compatible_p(xpc_type_t, const struct _xpc_type_s *), "xpc_type_t is another type");
_Static_assert(__builtin_types_compatible_p(xpc_connection_t, struct _xpc_connection_s *), "xpc_connection_t is another type");
_Static_assert(__builtin_types_compatible_p(xpc_handler_t, void (^)(xpc_object_t)), "xpc_handler_t is another type");
_Static_assert(__builtin_types_compatible_p(dispatch_block_t, void (^)(void)), "dispatch_block_t is another type");
_Static_assert(__builtin_types_compatible_p(__typeof__(XPC_TYPE_DICTIONARY), xpc_type_t), "XPC_TYPE_DICTIONARY is no xpc_type_t");
_Static_assert(__builtin_types_compatible_p(__typeof__(_xpc_error_connection_invalid), const struct _xpc_dictionary_s),
               "XPC_ERROR_CONNECTION_INVALID is no dictionary");

SVC_TYPE(xpc_get_type, xpc_type_t (*)(xpc_object_t));
SVC_TYPE(xpc_retain, xpc_object_t (*)(xpc_object_t));
SVC_TYPE(xpc_release, void (*)(xpc_object_t));
SVC_TYPE(xpc_array_create, xpc_object_t (*)(const xpc_object_t *, size_t));
SVC_TYPE(xpc_array_append_value, void (*)(xpc_object_t, xpc_object_t));
SVC_TYPE(xpc_array_get_count, size_t (*)(xpc_object_t));
SVC_TYPE(xpc_array_get_value, xpc_object_t (*)(xpc_object_t, size_t));
SVC_TYPE(xpc_fd_create, xpc_object_t (*)(int));
SVC_TYPE(xpc_fd_dup, int (*)(xpc_object_t));
SVC_TYPE(xpc_dictionary_create, xpc_object_t (*)(const char *const *, const xpc_object_t *, size_t));
SVC_TYPE(xpc_dictionary_create_reply, xpc_object_t (*)(xpc_object_t));
SVC_TYPE(xpc_dictionary_set_value, void (*)(xpc_object_t, const char *, xpc_object_t));
SVC_TYPE(xpc_dictionary_get_value, xpc_object_t (*)(xpc_object_t, const char *));
SVC_TYPE(xpc_dictionary_set_bool, void (*)(xpc_object_t, const char *, bool));
SVC_TYPE(xpc_dictionary_get_bool, bool (*)(xpc_object_t, const char *));
SVC_TYPE(xpc_dictionary_set_uint64, void (*)(xpc_object_t, const char *, uint64_t));
SVC_TYPE(xpc_dictionary_get_uint64, uint64_t (*)(xpc_object_t, const char *));
SVC_TYPE(xpc_dictionary_set_data, void (*)(xpc_object_t, const char *, const void *, size_t));
SVC_TYPE(xpc_dictionary_get_data, const void *(*)(xpc_object_t, const char *, size_t *));
SVC_TYPE(xpc_connection_create_mach_service, xpc_connection_t (*)(const char *, dispatch_queue_t, uint64_t));
SVC_TYPE(xpc_connection_set_event_handler, void (*)(xpc_connection_t, xpc_handler_t));
SVC_TYPE(xpc_connection_activate, void (*)(xpc_connection_t));
SVC_TYPE(xpc_connection_cancel, void (*)(xpc_connection_t));
SVC_TYPE(xpc_connection_get_pid, pid_t (*)(xpc_connection_t));
SVC_TYPE(xpc_connection_get_euid, uid_t (*)(xpc_connection_t));
SVC_TYPE(xpc_connection_send_message, void (*)(xpc_connection_t, xpc_object_t));
SVC_TYPE(xpc_connection_send_message_with_reply, void (*)(xpc_connection_t, xpc_object_t, dispatch_queue_t, xpc_handler_t));
SVC_TYPE(xpc_connection_send_barrier, void (*)(xpc_connection_t, dispatch_block_t));

// Types of functions that older systems lack are looked at without being used.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunguarded-availability-new"
SVC_TYPE(xpc_connection_set_peer_code_signing_requirement, int (*)(xpc_connection_t, const char *));
#pragma clang diagnostic pop
