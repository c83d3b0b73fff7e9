#pragma once
#include <Hypervisor/Hypervisor.h>

enum { STANDIN_REGS = HV_REG_CPSR + 1 };

// A vcpu is what C and Go share of one, in C's memory.
struct vcpu {
  uint64_t regs[STANDIN_REGS];
  uint64_t dirty; // bit n: regs[n] was set since the last run
  hv_vcpu_exit_t exit;
  const void *owner; // names a thread
  uint32_t slot;
  bool irq, fiq; // for the next run
};

enum { STANDIN_VCPUS = 32 };

// object is what os_release takes.
struct object {
  uint32_t kind;
};
enum { KIND_VM_CONFIG = 0x766d, KIND_VCPU_CONFIG = 0x7663, KIND_GIC_CONFIG = 0x6763, KIND_GIC_STATE = 0x6773 };

struct hv_vm_config_s {
  struct object object;
  uint32_t ipa_bits;
};
struct hv_vcpu_config_s {
  struct object object;
};
struct hv_gic_config_s {
  struct object object;
  bool has_distributor, has_redistributor;
  hv_ipa_t distributor, redistributor;
};
struct hv_gic_state_s {
  struct object object;
  size_t size;
  char data[];
};

void standin_set_macos(uint32_t major);
bool standin_has(const char *symbol);

void standin_fail_call(int n);
const char *standin_failed_call(void);
void standin_tell(uint32_t reason, uint64_t syndrome, uint64_t ipa);

// standin_vcpus_made says whether the VM has vCPUs.
bool standin_vcpus_made(void);
