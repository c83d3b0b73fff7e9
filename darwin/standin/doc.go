// Package standin is what Apple's libSystem has and Linux lacks, for code of the Mac that is executed here with the
// headers of darwin/sdk: blocks, dispatch queues, and sources of memory pressure. The stand-ins of XPC (ipc/mach/standin)
// and IOKit (agent/power/standin) stand on it. It is built with the tag macshim alone and is in no program that is shipped.
//
// A serial queue runs what it is given one by one and in order, on whichever of a few threads is free,
// so that what must not rely on its thread is found out. A source delivers once it has been resumed, the levels that
// it has asked for, several as one. Whatever breaks such a rule ends the process and says why.
package standin
