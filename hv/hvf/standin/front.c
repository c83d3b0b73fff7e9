//go:build macshim && !darwin

// The C face of the stand-in: what needs no Go.
#include "front.h"

#include <libkern/OSCacheControl.h>
#include <mach/mach_time.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "_cgo_export.h"

static __thread char me; // its address names the thread
static __thread bool busy; // the thread has a vCPU

// vcpus by id. The lock is for making and ending one, and for those who are not its
// owner; an owner's own vCPU cannot go away under it.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct vcpu *vcpus[STANDIN_VCPUS];
static uint32_t made;

// fail_in counts down to the call that fails; 0 fails none. failed names it.
static int fail_in;
static const char *volatile failed;

void standin_fail_call(int n) {
  failed = NULL;
  __atomic_store_n(&fail_in, n, __ATOMIC_SEQ_CST);
}

const char *standin_failed_call(void) { return failed; }

static bool fault(const char *name) {
  if (__atomic_load_n(&fail_in, __ATOMIC_RELAXED) == 0 || __atomic_sub_fetch(&fail_in, 1, __ATOMIC_SEQ_CST) != 0) {
    return false;
  }
  failed = name;
  return true;
}

#define FAULT()           \
  if (fault(__func__)) {  \
    return HV_ERROR;      \
  }
#define FAULT_NULL()      \
  if (fault(__func__)) {  \
    return NULL;          \
  }

// told is an exit that the next run reports instead of running.
static hv_vcpu_exit_t told;
static bool is_told;

void standin_tell(uint32_t reason, uint64_t syndrome, uint64_t ipa) {
  told = (hv_vcpu_exit_t){(hv_exit_reason_t)reason, {syndrome, ipa, ipa}};
  __atomic_store_n(&is_told, true, __ATOMIC_SEQ_CST);
}

static uint32_t macos; // 0: not asked yet

void standin_set_macos(uint32_t major) { __atomic_store_n(&macos, major, __ATOMIC_SEQ_CST); }

static uint32_t version(void) {
  uint32_t v = __atomic_load_n(&macos, __ATOMIC_SEQ_CST);
  if (v == 0) {
    const char *env = getenv("ARCBOX_STANDIN_MACOS");
    v = env != NULL ? (uint32_t)atoi(env) : 15;
  }
  return v;
}

bool standin_has(const char *symbol) { return strncmp(symbol, "hv_gic_", 7) != 0 || version() >= 15; }

// absent ends the process where the loader would have left a null pointer.
static void absent(const char *symbol) {
  if (!standin_has(symbol)) {
    fprintf(stderr, "standin: %s was called, which macOS %u does not have\n", symbol, version());
    abort();
  }
}

bool standin_vcpus_made(void) {
  pthread_mutex_lock(&lock);
  bool any = made != 0;
  pthread_mutex_unlock(&lock);
  return any;
}

// own finds a vCPU of this thread.
static struct vcpu *own(hv_vcpu_t id) {
  struct vcpu *v = id < STANDIN_VCPUS ? __atomic_load_n(&vcpus[id], __ATOMIC_ACQUIRE) : NULL;
  return v != NULL && v->owner == &me ? v : NULL;
}

static void *object(uint32_t kind, size_t size) {
  struct object *o = calloc(1, size);
  if (o != NULL) {
    o->kind = kind;
  }
  return o;
}

static bool is(const void *o, uint32_t kind) { return o != NULL && ((const struct object *)o)->kind == kind; }

void os_release(void *o) {
  if (o == NULL) {
    abort(); // Apple's would fault
  }
  ((struct object *)o)->kind = 0;
  free(o);
}

// The VM.
hv_return_t hv_vm_get_max_vcpu_count(uint32_t *n) {
  FAULT();
  *n = STANDIN_VCPUS;
  return HV_SUCCESS;
}

hv_vm_config_t hv_vm_config_create(void) {
  FAULT_NULL();
  hv_vm_config_t c = object(KIND_VM_CONFIG, sizeof *c);
  if (c != NULL) {
    c->ipa_bits = 36;
  }
  return c;
}

hv_return_t hv_vm_config_get_max_ipa_size(uint32_t *bits) {
  FAULT();
  *bits = 40;
  return HV_SUCCESS;
}

hv_return_t hv_vm_config_get_default_ipa_size(uint32_t *bits) {
  FAULT();
  *bits = 36;
  return HV_SUCCESS;
}

hv_return_t hv_vm_config_set_ipa_size(hv_vm_config_t c, uint32_t bits) {
  FAULT();
  if (!is(c, KIND_VM_CONFIG) || bits < 32 || bits > 40) {
    return HV_BAD_ARGUMENT;
  }
  c->ipa_bits = bits;
  return HV_SUCCESS;
}

hv_return_t hv_vm_create(hv_vm_config_t c) {
  FAULT();
  if (c != NULL && !is(c, KIND_VM_CONFIG)) {
    return HV_BAD_ARGUMENT;
  }
  return standin_vm_create(c == NULL ? 36 : c->ipa_bits);
}

hv_return_t hv_vm_destroy(void) {
  FAULT();
  return standin_vcpus_made() ? HV_BUSY : standin_vm_destroy();
}

static bool page_aligned(uint64_t v) { return v % (16 << 10) == 0; }

hv_return_t hv_vm_map(void *addr, hv_ipa_t ipa, size_t size, hv_memory_flags_t flags) {
  FAULT();
  if (addr == NULL || !page_aligned((uintptr_t)addr) || !page_aligned(ipa) || !page_aligned(size) || flags > 7) {
    return HV_BAD_ARGUMENT;
  }
  return standin_vm_map(addr, ipa, size, flags);
}

hv_return_t hv_vm_unmap(hv_ipa_t ipa, size_t size) {
  FAULT();
  return page_aligned(ipa) && page_aligned(size) ? standin_vm_unmap(ipa, size) : HV_BAD_ARGUMENT;
}

hv_return_t hv_vm_protect(hv_ipa_t ipa, size_t size, hv_memory_flags_t flags) {
  FAULT();
  return page_aligned(ipa) && page_aligned(size) && flags <= 7 ? standin_vm_protect(ipa, size, flags) : HV_BAD_ARGUMENT;
}

// vCPUs.
hv_vcpu_config_t hv_vcpu_config_create(void) {
  FAULT_NULL();
  return object(KIND_VCPU_CONFIG, sizeof(struct hv_vcpu_config_s));
}

hv_return_t hv_vcpu_config_get_feature_reg(hv_vcpu_config_t c, hv_feature_reg_t reg, uint64_t *value) {
  FAULT();
  return is(c, KIND_VCPU_CONFIG) ? standin_feature_reg(reg, value) : HV_BAD_ARGUMENT;
}

static hv_return_t create(struct vcpu *v) {
  while (v->slot < STANDIN_VCPUS && vcpus[v->slot] != NULL) {
    v->slot++;
  }
  if (busy || v->slot == STANDIN_VCPUS) {
    return busy ? HV_BUSY : HV_NO_RESOURCES;
  }
  hv_return_t err = standin_vcpu_create(v);
  if (err == HV_SUCCESS) {
    __atomic_store_n(&vcpus[v->slot], v, __ATOMIC_RELEASE);
    made++;
    busy = true;
  }
  return err;
}

hv_return_t hv_vcpu_create(hv_vcpu_t *id, hv_vcpu_exit_t **exit, hv_vcpu_config_t config) {
  FAULT();
  if (config != NULL && !is(config, KIND_VCPU_CONFIG)) {
    return HV_BAD_ARGUMENT;
  }
  struct vcpu *v = calloc(1, sizeof *v);
  if (v == NULL) {
    return HV_NO_RESOURCES;
  }
  v->owner = &me;
  // What a new vCPU holds is nowhere promised: let nobody rely on zeroes.
  for (int i = 0; i < STANDIN_REGS; i++) {
    v->regs[i] = i == HV_REG_CPSR || i == HV_REG_FPCR || i == HV_REG_FPSR ? 0 : 0xdecafbad00000000 + (uint64_t)i;
  }
  v->dirty = ~0ull;
  pthread_mutex_lock(&lock);
  hv_return_t err = create(v);
  pthread_mutex_unlock(&lock);
  if (err != HV_SUCCESS) {
    free(v);
    return err;
  }
  *id = v->slot;
  *exit = &v->exit;
  return HV_SUCCESS;
}

hv_return_t hv_vcpu_destroy(hv_vcpu_t id) {
  FAULT();
  struct vcpu *v = own(id);
  if (v == NULL) {
    return HV_BAD_ARGUMENT;
  }
  pthread_mutex_lock(&lock);
  __atomic_store_n(&vcpus[id], NULL, __ATOMIC_RELEASE);
  made--;
  standin_vcpu_destroy(v->slot);
  pthread_mutex_unlock(&lock);
  busy = false;
  free(v);
  return HV_SUCCESS;
}

hv_return_t hv_vcpu_run(hv_vcpu_t id) {
  FAULT();
  struct vcpu *v = own(id);
  if (v != NULL && __atomic_exchange_n(&is_told, false, __ATOMIC_SEQ_CST)) {
    v->exit = told;
    return HV_SUCCESS;
  }
  return v != NULL ? standin_vcpu_run(v) : HV_BAD_ARGUMENT;
}

hv_return_t hv_vcpus_exit(hv_vcpu_t *ids, uint32_t n) {
  FAULT();
  hv_return_t err = HV_SUCCESS;
  pthread_mutex_lock(&lock);
  for (uint32_t i = 0; i < n; i++) { // none: nothing happens
    if (ids[i] < STANDIN_VCPUS && vcpus[ids[i]] != NULL) {
      standin_vcpu_exit(ids[i]);
    } else {
      err = HV_BAD_ARGUMENT;
    }
  }
  pthread_mutex_unlock(&lock);
  return err;
}

hv_return_t hv_vcpu_get_reg(hv_vcpu_t id, hv_reg_t reg, uint64_t *value) {
  FAULT();
  struct vcpu *v = own(id);
  if (v == NULL || reg >= STANDIN_REGS) {
    return HV_BAD_ARGUMENT;
  }
  *value = v->regs[reg];
  return HV_SUCCESS;
}

hv_return_t hv_vcpu_set_reg(hv_vcpu_t id, hv_reg_t reg, uint64_t value) {
  FAULT();
  struct vcpu *v = own(id);
  if (v == NULL || reg >= STANDIN_REGS) {
    return HV_BAD_ARGUMENT;
  }
  v->regs[reg] = value;
  v->dirty |= 1ull << reg;
  return HV_SUCCESS;
}

hv_return_t hv_vcpu_get_simd_fp_reg(hv_vcpu_t id, hv_simd_fp_reg_t reg, hv_simd_fp_uchar16_t *value) {
  FAULT();
  return own(id) != NULL && reg < 32 ? standin_get_simd(id, reg, value) : HV_BAD_ARGUMENT;
}

hv_return_t hv_vcpu_set_simd_fp_reg(hv_vcpu_t id, hv_simd_fp_reg_t reg, hv_simd_fp_uchar16_t value) {
  FAULT();
  return own(id) != NULL && reg < 32 ? standin_set_simd(id, reg, &value) : HV_BAD_ARGUMENT;
}

// The registers that the framework has, without those of newer systems.
static bool known(hv_sys_reg_t reg) {
  switch ((uint32_t)reg) {
  case HV_SYS_REG_MDCCINT_EL1: case HV_SYS_REG_MDSCR_EL1: case HV_SYS_REG_MIDR_EL1: case HV_SYS_REG_MPIDR_EL1:
  case HV_SYS_REG_ID_AA64PFR0_EL1: case HV_SYS_REG_ID_AA64PFR1_EL1: case HV_SYS_REG_ID_AA64DFR0_EL1:
  case HV_SYS_REG_ID_AA64DFR1_EL1: case HV_SYS_REG_ID_AA64ISAR0_EL1: case HV_SYS_REG_ID_AA64ISAR1_EL1:
  case HV_SYS_REG_ID_AA64MMFR0_EL1: case HV_SYS_REG_ID_AA64MMFR1_EL1: case HV_SYS_REG_ID_AA64MMFR2_EL1:
  case HV_SYS_REG_SCTLR_EL1: case HV_SYS_REG_CPACR_EL1: case HV_SYS_REG_TTBR0_EL1: case HV_SYS_REG_TTBR1_EL1:
  case HV_SYS_REG_TCR_EL1: case HV_SYS_REG_APIAKEYLO_EL1: case HV_SYS_REG_APIAKEYHI_EL1: case HV_SYS_REG_APIBKEYLO_EL1:
  case HV_SYS_REG_APIBKEYHI_EL1: case HV_SYS_REG_APDAKEYLO_EL1: case HV_SYS_REG_APDAKEYHI_EL1: case HV_SYS_REG_APDBKEYLO_EL1:
  case HV_SYS_REG_APDBKEYHI_EL1: case HV_SYS_REG_APGAKEYLO_EL1: case HV_SYS_REG_APGAKEYHI_EL1: case HV_SYS_REG_SPSR_EL1:
  case HV_SYS_REG_ELR_EL1: case HV_SYS_REG_SP_EL0: case HV_SYS_REG_AFSR0_EL1: case HV_SYS_REG_AFSR1_EL1:
  case HV_SYS_REG_ESR_EL1: case HV_SYS_REG_FAR_EL1: case HV_SYS_REG_PAR_EL1: case HV_SYS_REG_MAIR_EL1:
  case HV_SYS_REG_AMAIR_EL1: case HV_SYS_REG_VBAR_EL1: case HV_SYS_REG_CONTEXTIDR_EL1: case HV_SYS_REG_TPIDR_EL1:
  case HV_SYS_REG_CNTKCTL_EL1: case HV_SYS_REG_CSSELR_EL1: case HV_SYS_REG_TPIDR_EL0: case HV_SYS_REG_TPIDRRO_EL0:
  case HV_SYS_REG_CNTV_CTL_EL0: case HV_SYS_REG_CNTV_CVAL_EL0: case HV_SYS_REG_SP_EL1:
    return true;
  }
  return reg >= HV_SYS_REG_DBGBVR0_EL1 && reg <= HV_SYS_REG_DBGWCR15_EL1 && (reg & 7) >= 4;
}

hv_return_t hv_vcpu_get_sys_reg(hv_vcpu_t id, hv_sys_reg_t reg, uint64_t *value) {
  FAULT();
  return own(id) != NULL && known(reg) ? standin_get_sys(id, reg, value) : HV_BAD_ARGUMENT;
}

hv_return_t hv_vcpu_set_sys_reg(hv_vcpu_t id, hv_sys_reg_t reg, uint64_t value) {
  FAULT();
  return own(id) != NULL && known(reg) ? standin_set_sys(id, reg, value) : HV_BAD_ARGUMENT;
}

hv_return_t hv_vcpu_set_pending_interrupt(hv_vcpu_t id, hv_interrupt_type_t type, bool pending) {
  FAULT();
  struct vcpu *v = own(id);
  if (v == NULL || type > HV_INTERRUPT_TYPE_FIQ) {
    return HV_BAD_ARGUMENT;
  }
  *(type == HV_INTERRUPT_TYPE_IRQ ? &v->irq : &v->fiq) = pending;
  return HV_SUCCESS;
}

hv_return_t hv_vcpu_get_vtimer_mask(hv_vcpu_t id, bool *masked) {
  FAULT();
  return own(id) != NULL ? standin_get_vtimer(id, masked, NULL) : HV_BAD_ARGUMENT;
}

hv_return_t hv_vcpu_set_vtimer_mask(hv_vcpu_t id, bool masked) {
  FAULT();
  return own(id) != NULL ? standin_set_vtimer_mask(id, masked) : HV_BAD_ARGUMENT;
}

hv_return_t hv_vcpu_get_vtimer_offset(hv_vcpu_t id, uint64_t *offset) {
  FAULT();
  return own(id) != NULL ? standin_get_vtimer(id, NULL, offset) : HV_BAD_ARGUMENT;
}

hv_return_t hv_vcpu_set_vtimer_offset(hv_vcpu_t id, uint64_t offset) {
  FAULT();
  return own(id) != NULL ? standin_set_vtimer_offset(id, offset) : HV_BAD_ARGUMENT;
}

// The GIC.
hv_gic_config_t hv_gic_config_create(void) {
  FAULT_NULL();
  absent(__func__);
  return object(KIND_GIC_CONFIG, sizeof(struct hv_gic_config_s));
}

hv_return_t hv_gic_config_set_distributor_base(hv_gic_config_t c, hv_ipa_t base) {
  FAULT();
  absent(__func__);
  if (!is(c, KIND_GIC_CONFIG) || base % 0x10000 != 0) {
    return HV_BAD_ARGUMENT;
  }
  c->has_distributor = true;
  c->distributor = base;
  return HV_SUCCESS;
}

hv_return_t hv_gic_config_set_redistributor_base(hv_gic_config_t c, hv_ipa_t base) {
  FAULT();
  absent(__func__);
  if (!is(c, KIND_GIC_CONFIG) || base % 0x10000 != 0) {
    return HV_BAD_ARGUMENT;
  }
  c->has_redistributor = true;
  c->redistributor = base;
  return HV_SUCCESS;
}

hv_return_t hv_gic_create(hv_gic_config_t c) {
  FAULT();
  absent(__func__);
  if (!is(c, KIND_GIC_CONFIG) || !c->has_distributor || !c->has_redistributor) {
    return HV_BAD_ARGUMENT;
  }
  return standin_vcpus_made() ? HV_BUSY : standin_gic_create(c->distributor, c->redistributor);
}

hv_return_t hv_gic_set_spi(uint32_t intid, bool level) {
  FAULT();
  absent(__func__);
  return standin_gic_set_spi(intid, level);
}

hv_return_t hv_gic_reset(void) {
  FAULT();
  absent(__func__);
  return standin_gic_reset();
}

hv_gic_state_t hv_gic_state_create(void) {
  FAULT_NULL();
  absent(__func__);
  size_t size = standin_gic_state(NULL, 0);
  hv_gic_state_t s = size != 0 ? object(KIND_GIC_STATE, sizeof *s + size) : NULL;
  if (s != NULL) {
    s->size = standin_gic_state(s->data, size);
  }
  return s;
}

hv_return_t hv_gic_state_get_size(hv_gic_state_t s, size_t *size) {
  FAULT();
  absent(__func__);
  if (!is(s, KIND_GIC_STATE)) {
    return HV_BAD_ARGUMENT;
  }
  *size = s->size;
  return HV_SUCCESS;
}

hv_return_t hv_gic_state_get_data(hv_gic_state_t s, void *data) {
  FAULT();
  absent(__func__);
  if (!is(s, KIND_GIC_STATE)) {
    return HV_BAD_ARGUMENT;
  }
  memcpy(data, s->data, s->size);
  return HV_SUCCESS;
}

hv_return_t hv_gic_set_state(const void *data, size_t size) {
  FAULT();
  absent(__func__);
  return standin_gic_set_state((void *)data, size);
}

// What else of the system hvf calls.
uint64_t mach_absolute_time(void) { return standin_now(); }

kern_return_t mach_timebase_info(mach_timebase_info_t base) {
  FAULT();
  *base = (struct mach_timebase_info){standin_tick_ns(), 1};
  return KERN_SUCCESS;
}

void sys_icache_invalidate(void *start, size_t size) { standin_invalidate(start, size); }
