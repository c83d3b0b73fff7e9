#pragma once
#include <stdint.h>

// standin_memory tells memory pressure to the sources that ask for the level.
void standin_memory(uintptr_t level);

// standin_broken ends the process, which has broken a rule.
void standin_broken(const char *rule) __attribute__((noreturn));
extern int standin_objects; // queues and sources; counted atomically

void standin_write_coverage(void);
