#pragma once
#include <os/base.h>
void *os_retain(void *object);
void os_release(void *object);
