// What a test makes of the system.
#pragma once
#include "../../../../darwin/standin/standin.h"

// vmnetsim_refuse has the next start fail: with a status, or at once with 0.
void vmnetsim_refuse(unsigned status);

// vmnetsim_live is how many interfaces there are.
int vmnetsim_live(void);
