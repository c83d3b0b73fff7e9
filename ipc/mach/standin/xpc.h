#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// launchd's part.
void xpcsim_advertise(const char *name, uintptr_t launch);
void xpcsim_withdraw(const char *name);

// What happens to processes.
void xpcsim_sever(const char *name);
void xpcsim_terminate(const char *name);
void xpcsim_sign(const char *identifier);
void xpcsim_set_macos(int major);
bool xpcsim_has(const char *symbol);

// What goes wrong.
void xpcsim_fail(const char *function);
void xpcsim_stall(bool on);
int xpcsim_live(void);

// A raw peer, which sends what package mach does not.
struct raw;
struct raw *xpcsim_connect(const char *name);
bool xpcsim_cut(struct raw *r);
void xpcsim_send_data(struct raw *r, const char *key, const void *bytes, size_t n, const int *fds, size_t count);
void xpcsim_send_uint64(struct raw *r, const char *key, uint64_t value, bool reply);
void xpcsim_send_end(struct raw *r);
void xpcsim_send_files(struct raw *r, bool array);
void xpcsim_disconnect(struct raw *r);
