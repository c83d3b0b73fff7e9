#pragma once
#include <dispatch/dispatch.h>
#include <os/base.h>
#include <sys/types.h>

typedef const struct _xpc_type_s *xpc_type_t;
typedef void *xpc_object_t;
typedef struct _xpc_connection_s *xpc_connection_t;

extern const struct _xpc_type_s _xpc_type_connection;
extern const struct _xpc_type_s _xpc_type_dictionary;
extern const struct _xpc_type_s _xpc_type_error;
extern const struct _xpc_type_s _xpc_type_array;
extern const struct _xpc_type_s _xpc_type_fd;
#define XPC_TYPE_CONNECTION (&_xpc_type_connection)
#define XPC_TYPE_DICTIONARY (&_xpc_type_dictionary)
#define XPC_TYPE_ERROR (&_xpc_type_error)
#define XPC_TYPE_ARRAY (&_xpc_type_array)
#define XPC_TYPE_FD (&_xpc_type_fd)

extern const struct _xpc_dictionary_s _xpc_error_connection_interrupted;
extern const struct _xpc_dictionary_s _xpc_error_connection_invalid;
extern const struct _xpc_dictionary_s _xpc_error_termination_imminent;
#define XPC_ERROR_CONNECTION_INTERRUPTED (&_xpc_error_connection_interrupted)
#define XPC_ERROR_CONNECTION_INVALID (&_xpc_error_connection_invalid)
#define XPC_ERROR_TERMINATION_IMMINENT (&_xpc_error_termination_imminent)

#define XPC_CONNECTION_MACH_SERVICE_LISTENER (1 << 0)

xpc_type_t xpc_get_type(xpc_object_t object);
xpc_object_t xpc_retain(xpc_object_t object);
void xpc_release(xpc_object_t object);

xpc_object_t xpc_array_create(const xpc_object_t *objects, size_t count);
void xpc_array_append_value(xpc_object_t array, xpc_object_t value);
size_t xpc_array_get_count(xpc_object_t array);
xpc_object_t xpc_array_get_value(xpc_object_t array, size_t index);
xpc_object_t xpc_fd_create(int fd);
int xpc_fd_dup(xpc_object_t object);

xpc_object_t xpc_dictionary_create(const char *const *keys, const xpc_object_t *values, size_t count);
xpc_object_t xpc_dictionary_create_reply(xpc_object_t original);
void xpc_dictionary_set_value(xpc_object_t dictionary, const char *key, xpc_object_t value);
xpc_object_t xpc_dictionary_get_value(xpc_object_t dictionary, const char *key);
void xpc_dictionary_set_bool(xpc_object_t dictionary, const char *key, bool value);
bool xpc_dictionary_get_bool(xpc_object_t dictionary, const char *key);
void xpc_dictionary_set_uint64(xpc_object_t dictionary, const char *key, uint64_t value);
uint64_t xpc_dictionary_get_uint64(xpc_object_t dictionary, const char *key);
void xpc_dictionary_set_data(xpc_object_t dictionary, const char *key, const void *bytes, size_t length);
const void *xpc_dictionary_get_data(xpc_object_t dictionary, const char *key, size_t *length);
void xpc_dictionary_set_string(xpc_object_t dictionary, const char *key, const char *string);
const char *xpc_dictionary_get_string(xpc_object_t dictionary, const char *key);
void xpc_dictionary_set_uuid(xpc_object_t dictionary, const char *key, const unsigned char uuid[16]);
const unsigned char *xpc_dictionary_get_uuid(xpc_object_t dictionary, const char *key);

xpc_connection_t xpc_connection_create_mach_service(const char *name, dispatch_queue_t queue, uint64_t flags);
void xpc_connection_activate(xpc_connection_t connection);
void xpc_connection_cancel(xpc_connection_t connection);
pid_t xpc_connection_get_pid(xpc_connection_t connection);
uid_t xpc_connection_get_euid(xpc_connection_t connection);
int xpc_connection_set_peer_code_signing_requirement(xpc_connection_t connection, const char *requirement) API_AVAILABLE(macos(12.0));
void xpc_connection_send_message(xpc_connection_t connection, xpc_object_t message);
#ifdef __BLOCKS__
typedef void (^xpc_handler_t)(xpc_object_t object);
void xpc_connection_set_event_handler(xpc_connection_t connection, xpc_handler_t handler);
void xpc_connection_send_message_with_reply(xpc_connection_t connection, xpc_object_t message, dispatch_queue_t queue, xpc_handler_t handler);
void xpc_connection_send_barrier(xpc_connection_t connection, dispatch_block_t barrier);
#endif
