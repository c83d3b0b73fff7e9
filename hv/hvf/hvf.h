// The framework's calls as Go wants them: arguments and results by value, so that
// no Go pointer crosses, and what always comes together in one call.
#pragma once
#include <Hypervisor/Hypervisor.h>
#include <os/object.h>

typedef struct {
  uint64_t value;
  hv_return_t err;
} hvf_u64;

typedef struct {
  hv_vcpu_t vcpu;
  hv_vcpu_exit_t *exit; // the framework's memory
  hv_return_t err;
} hvf_vcpu;

typedef struct {
  uint64_t syndrome, virtual_address, physical_address;
  uint32_t reason;
  hv_return_t err;
} hvf_exit;

typedef struct {
  uint64_t low, high;
  hv_return_t err;
} hvf_u128;

// hvf_max_vcpus and hvf_max_ipa_bits are what this Mac offers.
hvf_u64 hvf_max_vcpus(void);
hvf_u64 hvf_max_ipa_bits(void);
hvf_u64 hvf_default_ipa_bits(void);
hvf_u64 hvf_feature_reg(hv_feature_reg_t reg);

// The clock that guests see, in ticks, and its frequency in Hz.
uint64_t hvf_counter(void);
uint64_t hvf_counter_freq(void);

hv_return_t hvf_vm_create(uint32_t ipa_bits);
void hvf_invalidate_code(void *start, size_t size);

hvf_vcpu hvf_vcpu_create(void);
// hvf_run raises the lines in pending (1 IRQ, 2 FIQ) and enters the guest.
hvf_exit hvf_run(hv_vcpu_t vcpu, const hv_vcpu_exit_t *exit, uint32_t pending);
hv_return_t hvf_cancel(hv_vcpu_t vcpu);
// hvf_pass moves PC past the instruction and gives X[reg]; 31 is XZR.
hvf_u64 hvf_pass(hv_vcpu_t vcpu, uint32_t reg);
hvf_u64 hvf_get_reg(hv_vcpu_t vcpu, uint32_t reg);
hvf_u64 hvf_get_sys_reg(hv_vcpu_t vcpu, uint16_t reg);
hvf_u128 hvf_get_simd_reg(hv_vcpu_t vcpu, uint32_t reg);
hv_return_t hvf_set_simd_reg(hv_vcpu_t vcpu, uint32_t reg, uint64_t low, uint64_t high);
hvf_u64 hvf_get_vtimer_mask(hv_vcpu_t vcpu);
hvf_u64 hvf_get_vtimer_offset(hv_vcpu_t vcpu);

// The framework's GIC, where the system has it: macOS 15.
bool hvf_has_gic(void);
hv_return_t hvf_gic_create(uint64_t distributor, uint64_t redistributor);
hv_return_t hvf_gic_set_spi(uint32_t intid, bool level);
hv_return_t hvf_gic_reset(void);
// hvf_gic_state gives an object to release, and its size; a null one is an error.
void *hvf_gic_state(size_t *size);
hv_return_t hvf_gic_state_data(void *state, void *data);
hv_return_t hvf_gic_set_state(const void *data, size_t size);
