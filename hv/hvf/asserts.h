// What hvf assumes of the framework's headers, held at compile time: against the
// stub SDK on Linux, and against Apple's on a Mac, where a wrong stub shows.
#pragma once
#include <Hypervisor/Hypervisor.h>
#include <libkern/OSCacheControl.h>
#include <mach/mach_time.h>
#include <os/object.h>
#include <stddef.h>

#define HVF_VALUE(name, value) _Static_assert((name) == (value), #name " is not " #value)
#define HVF_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " has not " #size " bytes")
#define HVF_FIELD(type, field, offset) _Static_assert(offsetof(type, field) == (offset), #field " is not at " #offset)
#define HVF_TYPE(name, ...) \
  _Static_assert(__builtin_types_compatible_p(__typeof__(&name), __VA_ARGS__), #name " has another prototype")

// Values that Go passes through, or knows from package hv and hv/arm64.
HVF_VALUE(HV_SUCCESS, 0);
HVF_VALUE(HV_ERROR, (int)0xfae94001);
HVF_VALUE(HV_BUSY, (int)0xfae94002);
HVF_VALUE(HV_BAD_ARGUMENT, (int)0xfae94003);
HVF_VALUE(HV_ILLEGAL_GUEST_STATE, (int)0xfae94004);
HVF_VALUE(HV_NO_RESOURCES, (int)0xfae94005);
HVF_VALUE(HV_NO_DEVICE, (int)0xfae94006);
HVF_VALUE(HV_DENIED, (int)0xfae94007);
HVF_VALUE(HV_UNSUPPORTED, (int)0xfae9400f);
HVF_VALUE(HV_MEMORY_READ, 1);
HVF_VALUE(HV_MEMORY_WRITE, 2);
HVF_VALUE(HV_MEMORY_EXEC, 4);
HVF_VALUE(HV_EXIT_REASON_CANCELED, 0);
HVF_VALUE(HV_EXIT_REASON_EXCEPTION, 1);
HVF_VALUE(HV_EXIT_REASON_VTIMER_ACTIVATED, 2);
HVF_VALUE(HV_EXIT_REASON_UNKNOWN, 3);
HVF_VALUE(HV_REG_X0, 0);
HVF_VALUE(HV_REG_X30, 30);
HVF_VALUE(HV_REG_PC, 31);
HVF_VALUE(HV_REG_FPCR, 32);
HVF_VALUE(HV_REG_FPSR, 33);
HVF_VALUE(HV_REG_CPSR, 34);
HVF_VALUE(HV_SIMD_FP_REG_Q0, 0);
HVF_VALUE(HV_SIMD_FP_REG_Q31, 31);
HVF_VALUE(HV_INTERRUPT_TYPE_IRQ, 0);
HVF_VALUE(HV_INTERRUPT_TYPE_FIQ, 1);
HVF_VALUE(HV_FEATURE_REG_ID_AA64DFR0_EL1, 0);
HVF_VALUE(HV_FEATURE_REG_ID_AA64DFR1_EL1, 1);
HVF_VALUE(HV_FEATURE_REG_ID_AA64ISAR0_EL1, 2);
HVF_VALUE(HV_FEATURE_REG_ID_AA64ISAR1_EL1, 3);
HVF_VALUE(HV_FEATURE_REG_ID_AA64MMFR0_EL1, 4);
HVF_VALUE(HV_FEATURE_REG_ID_AA64MMFR1_EL1, 5);
HVF_VALUE(HV_FEATURE_REG_ID_AA64MMFR2_EL1, 6);
HVF_VALUE(HV_FEATURE_REG_ID_AA64PFR0_EL1, 7);
HVF_VALUE(HV_FEATURE_REG_ID_AA64PFR1_EL1, 8);
HVF_VALUE(HV_FEATURE_REG_CTR_EL0, 9);
HVF_VALUE(HV_FEATURE_REG_CLIDR_EL1, 10);
HVF_VALUE(HV_FEATURE_REG_DCZID_EL0, 11);
// System registers are numbered as MSR and MRS encode them.
HVF_VALUE(HV_SYS_REG_MDSCR_EL1, 2 << 14 | 0 << 11 | 0 << 7 | 2 << 3 | 2);
HVF_VALUE(HV_SYS_REG_DBGBVR0_EL1, 2 << 14 | 0 << 11 | 0 << 7 | 0 << 3 | 4);
HVF_VALUE(HV_SYS_REG_DBGWCR15_EL1, 2 << 14 | 0 << 11 | 0 << 7 | 15 << 3 | 7);
HVF_VALUE(HV_SYS_REG_MIDR_EL1, 3 << 14);
HVF_VALUE(HV_SYS_REG_MPIDR_EL1, 3 << 14 | 5);
HVF_VALUE(HV_SYS_REG_SCTLR_EL1, 3 << 14 | 0 << 11 | 1 << 7);
HVF_VALUE(HV_SYS_REG_TTBR1_EL1, 3 << 14 | 0 << 11 | 2 << 7 | 0 << 3 | 1);
HVF_VALUE(HV_SYS_REG_APGAKEYHI_EL1, 3 << 14 | 0 << 11 | 2 << 7 | 3 << 3 | 1);
HVF_VALUE(HV_SYS_REG_CSSELR_EL1, 3 << 14 | 2 << 11);
HVF_VALUE(HV_SYS_REG_TPIDRRO_EL0, 3 << 14 | 3 << 11 | 13 << 7 | 0 << 3 | 3);
HVF_VALUE(HV_SYS_REG_CNTV_CTL_EL0, 3 << 14 | 3 << 11 | 14 << 7 | 3 << 3 | 1);
HVF_VALUE(HV_SYS_REG_CNTV_CVAL_EL0, 3 << 14 | 3 << 11 | 14 << 7 | 3 << 3 | 2);
HVF_VALUE(HV_SYS_REG_SP_EL1, 3 << 14 | 4 << 11 | 4 << 7 | 1 << 3);

HVF_SIZE(hv_return_t, 4);
HVF_SIZE(hv_ipa_t, 8);
HVF_SIZE(hv_memory_flags_t, 8);
HVF_SIZE(hv_vcpu_t, 8);
HVF_SIZE(hv_reg_t, 4);
HVF_SIZE(hv_simd_fp_reg_t, 4);
HVF_SIZE(hv_sys_reg_t, 2);
HVF_SIZE(hv_feature_reg_t, 4);
HVF_SIZE(hv_interrupt_type_t, 4);
HVF_SIZE(hv_exit_reason_t, 4);
HVF_SIZE(hv_simd_fp_uchar16_t, 16);
HVF_SIZE(hv_vcpu_exit_t, 32);
HVF_FIELD(hv_vcpu_exit_t, reason, 0);
HVF_FIELD(hv_vcpu_exit_t, exception.syndrome, 8);
HVF_FIELD(hv_vcpu_exit_t, exception.virtual_address, 16);
HVF_FIELD(hv_vcpu_exit_t, exception.physical_address, 24);

HVF_TYPE(hv_vm_get_max_vcpu_count, hv_return_t (*)(uint32_t *));
HVF_TYPE(hv_vm_config_create, hv_vm_config_t (*)(void));
HVF_TYPE(hv_vm_config_get_max_ipa_size, hv_return_t (*)(uint32_t *));
HVF_TYPE(hv_vm_config_get_default_ipa_size, hv_return_t (*)(uint32_t *));
HVF_TYPE(hv_vm_config_set_ipa_size, hv_return_t (*)(hv_vm_config_t, uint32_t));
HVF_TYPE(hv_vm_create, hv_return_t (*)(hv_vm_config_t));
HVF_TYPE(hv_vm_destroy, hv_return_t (*)(void));
HVF_TYPE(hv_vm_map, hv_return_t (*)(void *, hv_ipa_t, size_t, hv_memory_flags_t));
HVF_TYPE(hv_vm_unmap, hv_return_t (*)(hv_ipa_t, size_t));
HVF_TYPE(hv_vm_protect, hv_return_t (*)(hv_ipa_t, size_t, hv_memory_flags_t));
HVF_TYPE(hv_vcpu_config_create, hv_vcpu_config_t (*)(void));
HVF_TYPE(hv_vcpu_config_get_feature_reg, hv_return_t (*)(hv_vcpu_config_t, hv_feature_reg_t, uint64_t *));
HVF_TYPE(hv_vcpu_create, hv_return_t (*)(hv_vcpu_t *, hv_vcpu_exit_t **, hv_vcpu_config_t));
HVF_TYPE(hv_vcpu_destroy, hv_return_t (*)(hv_vcpu_t));
HVF_TYPE(hv_vcpu_run, hv_return_t (*)(hv_vcpu_t));
HVF_TYPE(hv_vcpus_exit, hv_return_t (*)(hv_vcpu_t *, uint32_t));
HVF_TYPE(hv_vcpu_get_reg, hv_return_t (*)(hv_vcpu_t, hv_reg_t, uint64_t *));
HVF_TYPE(hv_vcpu_set_reg, hv_return_t (*)(hv_vcpu_t, hv_reg_t, uint64_t));
HVF_TYPE(hv_vcpu_get_simd_fp_reg, hv_return_t (*)(hv_vcpu_t, hv_simd_fp_reg_t, hv_simd_fp_uchar16_t *));
HVF_TYPE(hv_vcpu_set_simd_fp_reg, hv_return_t (*)(hv_vcpu_t, hv_simd_fp_reg_t, hv_simd_fp_uchar16_t));
HVF_TYPE(hv_vcpu_get_sys_reg, hv_return_t (*)(hv_vcpu_t, hv_sys_reg_t, uint64_t *));
HVF_TYPE(hv_vcpu_set_sys_reg, hv_return_t (*)(hv_vcpu_t, hv_sys_reg_t, uint64_t));
HVF_TYPE(hv_vcpu_set_pending_interrupt, hv_return_t (*)(hv_vcpu_t, hv_interrupt_type_t, bool));
HVF_TYPE(hv_vcpu_get_vtimer_mask, hv_return_t (*)(hv_vcpu_t, bool *));
HVF_TYPE(hv_vcpu_set_vtimer_mask, hv_return_t (*)(hv_vcpu_t, bool));
HVF_TYPE(hv_vcpu_get_vtimer_offset, hv_return_t (*)(hv_vcpu_t, uint64_t *));
HVF_TYPE(hv_vcpu_set_vtimer_offset, hv_return_t (*)(hv_vcpu_t, uint64_t));
HVF_TYPE(mach_absolute_time, uint64_t (*)(void));
HVF_TYPE(mach_timebase_info, kern_return_t (*)(mach_timebase_info_t));
HVF_TYPE(sys_icache_invalidate, void (*)(void *, size_t));

// Types of functions that older systems lack are looked at without being used.
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wunguarded-availability-new"
#endif
HVF_TYPE(hv_gic_config_create, hv_gic_config_t (*)(void));
HVF_TYPE(hv_gic_config_set_distributor_base, hv_return_t (*)(hv_gic_config_t, hv_ipa_t));
HVF_TYPE(hv_gic_config_set_redistributor_base, hv_return_t (*)(hv_gic_config_t, hv_ipa_t));
HVF_TYPE(hv_gic_create, hv_return_t (*)(hv_gic_config_t));
HVF_TYPE(hv_gic_set_spi, hv_return_t (*)(uint32_t, bool));
HVF_TYPE(hv_gic_reset, hv_return_t (*)(void));
HVF_TYPE(hv_gic_state_create, hv_gic_state_t (*)(void));
HVF_TYPE(hv_gic_state_get_size, hv_return_t (*)(hv_gic_state_t, size_t *));
HVF_TYPE(hv_gic_state_get_data, hv_return_t (*)(hv_gic_state_t, void *));
HVF_TYPE(hv_gic_set_state, hv_return_t (*)(const void *, size_t));
#ifdef __clang__
#pragma clang diagnostic pop
#endif
