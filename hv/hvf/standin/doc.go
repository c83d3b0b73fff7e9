// Package standin is Hypervisor.framework's C interface on Linux: the same
// headers, answered by hv/soft, so that package hvf runs here as it is. It is
// built with the tag macshim alone and is in no program that is shipped.
//
// It is as strict as Apple's documentation: a vCPU answers its own thread only
// and each thread has one; addresses are aligned to 16 KiB; a process has one
// VM, which is destroyed after its vCPUs; a run lowers the interrupt lines;
// the virtual timer masks itself when it fires; hv_vcpus_exit(NULL, 0) does
// nothing; the GIC is made after the VM and before the vCPUs, from a configuration
// with both its bases; a register that the framework does not have is refused.
// Before macOS 15, which SetMacOS or ARCBOX_STANDIN_MACOS say it is, there is
// no hv_gic, and calling one of its functions ends the process, as a jump to a
// symbol that is not there does.
//
// What needs no Go stays in C (front.c): general registers, the exit record, who
// owns a vCPU. Only making, running and destroying one, its system registers and
// the map of memory enter Go.
package standin
