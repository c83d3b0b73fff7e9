// What a test makes of the system.
#pragma once
#include <stdint.h>

#include "../../../darwin/standin/standin.h"

// standin_message posts an IOKit message to all who are registered and waits for timeout_ms until it has been delivered
// and, where it can be held back, allowed. It returns how many have not done so.
int standin_message(uint32_t type, int held_back, int timeout_ms);

// standin_note sets the state of a notification and posts it.
void standin_note(const char *name, uint64_t state);

// standin_refuse makes the next IORegisterForSystemPower fail.
void standin_refuse(void);

// standin_live is how many queues, sources and registrations there are.
int standin_live(void);
