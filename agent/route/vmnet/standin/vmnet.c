//go:build macshim && !darwin

#include <vmnet/vmnet.h>

#include <Block.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "front.h"

const char *vmnet_operation_mode_key = "vmnet_operation_mode";
const char *vmnet_network_identifier_key = "vmnet_network_identifier";
const char *vmnet_host_ip_address_key = "vmnet_host_ip_address";
const char *vmnet_host_subnet_mask_key = "vmnet_host_subnet_mask";
const char *vmnet_allocate_mac_address_key = "vmnet_allocate_mac_address";
const char *vmnet_max_packet_size_key = "vmnet_max_packet_size";

enum { ROOM = 1514 };

struct vmnet_interface {
  int tap, wake[2]; // wake ends the watcher, or has it look again
  pthread_t watcher;
  bool watched, stopped;
  dispatch_queue_t queue;                    // of the callback
  vmnet_interface_event_callback_t callback; // NULL for none
  bool armed;                                // a read has found nothing since the last event
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // guards what follows, and interfaces
static int live;
static bool refusing;
static unsigned refusal;

void vmnetsim_refuse(unsigned status) {
  pthread_mutex_lock(&lock);
  refusing = true;
  refusal = status;
  pthread_mutex_unlock(&lock);
}

int vmnetsim_live(void) {
  pthread_mutex_lock(&lock);
  int n = live;
  pthread_mutex_unlock(&lock);
  return n;
}

// address sets one of an interface's addresses.
static int address(int s, struct ifreq *r, unsigned long what, const char *text) {
  struct sockaddr_in *a = (struct sockaddr_in *)&r->ifr_addr;
  memset(a, 0, sizeof *a);
  a->sin_family = AF_INET;
  return inet_pton(AF_INET, text, &a->sin_addr) == 1 ? ioctl(s, what, r) : -1;
}

// open_tap makes the interface as it is described, -1 if it cannot.
static int open_tap(xpc_object_t d) {
  int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq r = {.ifr_name = "bridge%d", .ifr_flags = IFF_TAP | IFF_NO_PI};
  bool well = tap >= 0 && ioctl(tap, TUNSETIFF, &r) == 0 && address(s, &r, SIOCSIFADDR, xpc_dictionary_get_string(d, vmnet_host_ip_address_key)) == 0 &&
              address(s, &r, SIOCSIFNETMASK, xpc_dictionary_get_string(d, vmnet_host_subnet_mask_key)) == 0 && ioctl(s, SIOCGIFFLAGS, &r) == 0;
  r.ifr_flags |= IFF_UP;
  well = well && ioctl(s, SIOCSIFFLAGS, &r) == 0;
  close(s);
  if (!well && tap >= 0) {
    close(tap);
  }
  return well ? tap : -1;
}

// check holds a description to what a network of its own takes.
static void check(xpc_object_t d) {
  if (xpc_dictionary_get_uint64(d, vmnet_operation_mode_key) != VMNET_HOST_MODE || xpc_dictionary_get_uuid(d, vmnet_network_identifier_key) == NULL ||
      xpc_dictionary_get_string(d, vmnet_host_ip_address_key) == NULL || xpc_dictionary_get_string(d, vmnet_host_subnet_mask_key) == NULL) {
    standin_broken("an interface was described otherwise than as one of a network of its own");
  }
}

static void tell_start(dispatch_queue_t queue, vmnet_start_interface_completion_handler_t handler, vmnet_return_t status) {
  handler = Block_copy(handler);
  dispatch_async(queue, ^{
    xpc_object_t parameters = NULL;
    if (status == VMNET_SUCCESS) {
      parameters = xpc_dictionary_create(NULL, NULL, 0);
      xpc_dictionary_set_uint64(parameters, vmnet_max_packet_size_key, ROOM);
    }
    handler(status, parameters);
    if (parameters != NULL) {
      xpc_release(parameters);
    }
    Block_release(handler);
  });
}

interface_ref vmnet_start_interface(xpc_object_t description, dispatch_queue_t queue, vmnet_start_interface_completion_handler_t handler) {
  check(description);
  pthread_mutex_lock(&lock);
  bool refuse = refusing;
  unsigned status = refusal;
  refusing = false;
  pthread_mutex_unlock(&lock);
  if (refuse && status == 0) {
    return NULL;
  }
  interface_ref i = calloc(1, sizeof *i);
  i->tap = refuse ? -1 : open_tap(description);
  if (i->tap < 0) { // a program that is told so has nothing to stop
    tell_start(queue, handler, refuse ? status : VMNET_FAILURE);
    return i;
  }
  if (pipe2(i->wake, O_CLOEXEC) != 0) {
    standin_broken("there is no pipe to be had");
  }
  pthread_mutex_lock(&lock);
  live++;
  pthread_mutex_unlock(&lock);
  tell_start(queue, handler, VMNET_SUCCESS);
  return i;
}

// event tells that there are packets, if anybody wants to hear it.
static void event(interface_ref i) {
  pthread_mutex_lock(&lock);
  vmnet_interface_event_callback_t callback = i->callback;
  bool tell = callback != NULL && i->armed;
  if (tell) {
    i->armed = false;
    callback = Block_copy(callback);
    dispatch_async(i->queue, ^{
      callback(VMNET_INTERFACE_PACKETS_AVAILABLE, NULL);
      Block_release(callback);
    });
  }
  pthread_mutex_unlock(&lock);
}

// watch waits for packets while somebody waits for them.
static void *watch(void *argument) {
  interface_ref i = argument;
  for (;;) {
    pthread_mutex_lock(&lock);
    bool armed = i->armed;
    pthread_mutex_unlock(&lock);
    struct pollfd fds[2] = {{i->wake[0], POLLIN, 0}, {armed ? i->tap : -1, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0) {
      continue;
    }
    char word;
    if (fds[0].revents != 0 && (read(i->wake[0], &word, 1) != 1 || word == 'q')) {
      return NULL;
    }
    if (fds[1].revents != 0) {
      event(i);
    }
  }
}

static void wake(interface_ref i, char word) {
  if (write(i->wake[1], &word, 1) != 1) {
    standin_broken("a pipe is full");
  }
}

vmnet_return_t vmnet_interface_set_event_callback(interface_ref i, interface_event_t events, dispatch_queue_t queue,
                                                  vmnet_interface_event_callback_t callback) {
  (void)events;
  pthread_mutex_lock(&lock);
  if (i->stopped) {
    standin_broken("an interface was used that was stopped");
  }
  if (i->callback != NULL) {
    Block_release(i->callback);
  }
  i->callback = callback == NULL ? NULL : Block_copy(callback);
  i->queue = queue;
  i->armed = true;
  if (!i->watched) {
    i->watched = true;
    pthread_create(&i->watcher, NULL, watch, i);
  }
  pthread_mutex_unlock(&lock);
  return VMNET_SUCCESS;
}

vmnet_return_t vmnet_read(interface_ref i, struct vmpktdesc *packets, int *count) {
  if (i->stopped || *count != 1 || packets->vm_pkt_iovcnt != 1 || packets->vm_pkt_size < ROOM) {
    standin_broken("a packet was read otherwise than one by one, with room for it");
  }
  ssize_t n = read(i->tap, packets->vm_pkt_iov->iov_base, packets->vm_pkt_iov->iov_len);
  *count = n > 0;
  packets->vm_pkt_size = n > 0 ? (size_t)n : 0;
  if (n <= 0) {
    pthread_mutex_lock(&lock);
    i->armed = true;
    pthread_mutex_unlock(&lock);
    wake(i, 'a');
  }
  return VMNET_SUCCESS;
}

vmnet_return_t vmnet_write(interface_ref i, struct vmpktdesc *packets, int *count) {
  if (i->stopped || *count != 1 || packets->vm_pkt_iovcnt != 1) {
    standin_broken("a packet was written otherwise than one by one");
  }
  if (packets->vm_pkt_size > ROOM) {
    *count = 0;
    return VMNET_PACKET_TOO_BIG;
  }
  return write(i->tap, packets->vm_pkt_iov->iov_base, packets->vm_pkt_size) > 0 ? VMNET_SUCCESS : VMNET_FAILURE;
}

vmnet_return_t vmnet_stop_interface(interface_ref i, dispatch_queue_t queue, vmnet_interface_completion_handler_t handler) {
  pthread_mutex_lock(&lock);
  if (i->stopped) {
    standin_broken("an interface was stopped twice");
  }
  i->stopped = true;
  bool watched = i->watched;
  if (i->callback != NULL) {
    Block_release(i->callback);
    i->callback = NULL;
  }
  live--;
  pthread_mutex_unlock(&lock);
  if (watched) {
    wake(i, 'q');
    pthread_join(i->watcher, NULL);
  }
  close(i->tap);
  close(i->wake[0]);
  close(i->wake[1]);
  handler = Block_copy(handler);
  dispatch_async(queue, ^{
    handler(VMNET_SUCCESS);
    Block_release(handler);
    free(i); // whoever uses it now finds nothing
  });
  return VMNET_SUCCESS;
}
