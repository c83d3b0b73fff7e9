#pragma once
extern int *__error(void);
#define errno (*__error())
#define EPERM 1
#define ENOENT 2
#define ESRCH 3
#define EINTR 4
#define EBADF 9
#define ENOMEM 12
#define EBUSY 16
#define EINVAL 22
#define EAGAIN 35
#define ENOTSUP 45
