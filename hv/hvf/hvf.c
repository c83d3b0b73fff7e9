//go:build (darwin && arm64 && cgo) || macshim

#include "hvf.h"

#include <libkern/OSCacheControl.h>
#include <mach/mach_time.h>
#include <os/object.h>
#include <string.h>

#include "asserts.h"

hvf_u64 hvf_max_vcpus(void) {
  uint32_t n = 0;
  hv_return_t err = hv_vm_get_max_vcpu_count(&n);
  return (hvf_u64){n, err};
}

hvf_u64 hvf_max_ipa_bits(void) {
  uint32_t n = 0;
  hv_return_t err = hv_vm_config_get_max_ipa_size(&n);
  return (hvf_u64){n, err};
}

hvf_u64 hvf_default_ipa_bits(void) {
  uint32_t n = 0;
  hv_return_t err = hv_vm_config_get_default_ipa_size(&n);
  return (hvf_u64){n, err};
}

hvf_u64 hvf_feature_reg(hv_feature_reg_t reg) {
  hvf_u64 r = {0, HV_NO_RESOURCES};
  hv_vcpu_config_t config = hv_vcpu_config_create();
  if (config != NULL) {
    r.err = hv_vcpu_config_get_feature_reg(config, reg, &r.value);
    os_release(config);
  }
  return r;
}

uint64_t hvf_counter(void) { return mach_absolute_time(); }

uint64_t hvf_counter_freq(void) {
  mach_timebase_info_data_t base = {0, 0};
  if (mach_timebase_info(&base) != KERN_SUCCESS || base.numer == 0) {
    return 0;
  }
  return 1000000000ull * base.denom / base.numer;
}

hv_return_t hvf_vm_create(uint32_t ipa_bits) {
  hv_vm_config_t config = hv_vm_config_create();
  if (config == NULL) {
    return HV_NO_RESOURCES;
  }
  hv_return_t err = hv_vm_config_set_ipa_size(config, ipa_bits);
  if (err == HV_SUCCESS) {
    err = hv_vm_create(config);
  }
  os_release(config);
  return err;
}

void hvf_invalidate_code(void *start, size_t size) { sys_icache_invalidate(start, size); }

hvf_vcpu hvf_vcpu_create(void) {
  hvf_vcpu r = {0, NULL, HV_SUCCESS};
  r.err = hv_vcpu_create(&r.vcpu, &r.exit, NULL);
  return r;
}

// hvf_raise sets the lines for the coming run; the last one has lowered them.
static hv_return_t hvf_raise(hv_vcpu_t vcpu, uint32_t pending) {
  if (pending & 1) {
    hv_return_t err = hv_vcpu_set_pending_interrupt(vcpu, HV_INTERRUPT_TYPE_IRQ, true);
    if (err != HV_SUCCESS) {
      return err;
    }
  }
  return pending & 2 ? hv_vcpu_set_pending_interrupt(vcpu, HV_INTERRUPT_TYPE_FIQ, true) : HV_SUCCESS;
}

hvf_exit hvf_run(hv_vcpu_t vcpu, const hv_vcpu_exit_t *exit, uint32_t pending) {
  hvf_exit r = {0, 0, 0, HV_EXIT_REASON_UNKNOWN, HV_SUCCESS};
  r.err = hvf_raise(vcpu, pending);
  if (r.err == HV_SUCCESS) {
    r.err = hv_vcpu_run(vcpu);
  }
  if (r.err == HV_SUCCESS) {
    r.reason = exit->reason;
    r.syndrome = exit->exception.syndrome;
    r.virtual_address = exit->exception.virtual_address;
    r.physical_address = exit->exception.physical_address;
  }
  return r;
}

// Never without a list: hv_vcpus_exit(NULL, 0) does nothing on Apple silicon.
hv_return_t hvf_cancel(hv_vcpu_t vcpu) { return hv_vcpus_exit(&vcpu, 1); }

hvf_u64 hvf_pass(hv_vcpu_t vcpu, uint32_t reg) {
  uint64_t pc = 0;
  hvf_u64 r = {0, hv_vcpu_get_reg(vcpu, HV_REG_PC, &pc)};
  if (r.err == HV_SUCCESS) {
    r.err = hv_vcpu_set_reg(vcpu, HV_REG_PC, pc + 4);
  }
  if (r.err == HV_SUCCESS && reg < 31) { // 31 would be PC
    r.err = hv_vcpu_get_reg(vcpu, HV_REG_X0 + reg, &r.value);
  }
  return r;
}

hvf_u64 hvf_get_reg(hv_vcpu_t vcpu, uint32_t reg) {
  uint64_t v = 0;
  hv_return_t err = hv_vcpu_get_reg(vcpu, (hv_reg_t)reg, &v);
  return (hvf_u64){v, err};
}

hvf_u64 hvf_get_sys_reg(hv_vcpu_t vcpu, uint16_t reg) {
  uint64_t v = 0;
  hv_return_t err = hv_vcpu_get_sys_reg(vcpu, (hv_sys_reg_t)reg, &v);
  return (hvf_u64){v, err};
}

hvf_u128 hvf_get_simd_reg(hv_vcpu_t vcpu, uint32_t reg) {
  hvf_u128 r = {0, 0, HV_SUCCESS};
  hv_simd_fp_uchar16_t v = {0};
  r.err = hv_vcpu_get_simd_fp_reg(vcpu, (hv_simd_fp_reg_t)reg, &v);
  memcpy(&r.low, (char *)&v, 8);
  memcpy(&r.high, (char *)&v + 8, 8);
  return r;
}

hv_return_t hvf_set_simd_reg(hv_vcpu_t vcpu, uint32_t reg, uint64_t low, uint64_t high) {
  hv_simd_fp_uchar16_t v;
  memcpy((char *)&v, &low, 8);
  memcpy((char *)&v + 8, &high, 8);
  return hv_vcpu_set_simd_fp_reg(vcpu, (hv_simd_fp_reg_t)reg, v);
}

hvf_u64 hvf_get_vtimer_mask(hv_vcpu_t vcpu) {
  bool masked = false;
  hv_return_t err = hv_vcpu_get_vtimer_mask(vcpu, &masked);
  return (hvf_u64){masked, err};
}

hvf_u64 hvf_get_vtimer_offset(hv_vcpu_t vcpu) {
  uint64_t v = 0;
  hv_return_t err = hv_vcpu_get_vtimer_offset(vcpu, &v);
  return (hvf_u64){v, err};
}

// What follows is macOS 15's. The symbols are weak, and every caller has asked
// hvf_has_gic.
#ifdef __APPLE__
#pragma clang diagnostic ignored "-Wunguarded-availability-new"
bool hvf_has_gic(void) { return &hv_gic_create != NULL; }
#else
bool standin_has(const char *symbol); // as the loader says of a weak symbol
bool hvf_has_gic(void) { return standin_has("hv_gic_create"); }
#endif

hv_return_t hvf_gic_create(uint64_t distributor, uint64_t redistributor) {
  hv_gic_config_t config = hv_gic_config_create();
  if (config == NULL) {
    return HV_NO_RESOURCES;
  }
  hv_return_t err = hv_gic_config_set_distributor_base(config, distributor);
  if (err == HV_SUCCESS) {
    err = hv_gic_config_set_redistributor_base(config, redistributor);
  }
  if (err == HV_SUCCESS) {
    err = hv_gic_create(config);
  }
  os_release(config);
  return err;
}

hv_return_t hvf_gic_set_spi(uint32_t intid, bool level) { return hv_gic_set_spi(intid, level); }
hv_return_t hvf_gic_reset(void) { return hv_gic_reset(); }

void *hvf_gic_state(size_t *size) {
  hv_gic_state_t state = hv_gic_state_create();
  if (state != NULL && hv_gic_state_get_size(state, size) != HV_SUCCESS) {
    os_release(state);
    state = NULL;
  }
  return state;
}

hv_return_t hvf_gic_state_data(void *state, void *data) { return hv_gic_state_get_data(state, data); }
hv_return_t hvf_gic_set_state(const void *data, size_t size) { return hv_gic_set_state(data, size); }
