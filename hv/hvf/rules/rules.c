//go:build (darwin && arm64 && cgo) || macshim

#include "rules.h"

#include <Hypervisor/Hypervisor.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <mach/mach_time.h>

enum { PAGE = 16 << 10, PAGES = 4, RAM = 0x40000000, DEVICE = 0x09000000 };

// Instructions.
enum {
  NOP = 0xd503201f,
  WFI = 0xd503207f,
  B_SELF = 0x14000000,
  HVC_1 = 0xd4000022,
  SMC_2 = 0xd4000043,
  LDR_X1_X0 = 0xf9400001,
  STR_X1_X0 = 0xf9000001,
  STRB_W1_X0_3 = 0x39000c01,
  MRS_X1_ISR = 0xd538c101,
  MRS_X1_CNTVCT = 0xd53be041,
  MRS_X1_CNTFRQ = 0xd53be001,
  MRS_X1_MIDR = 0xd5380001,
  MRS_X1_PFR0 = 0xd5380401,
  MRS_X1_OSDLR = 0xd5301381,
};

static char said[256];

// MUST ends a rule that does not hold.
#define MUST(cond, ...)                                                                                                \
  do {                                                                                                                 \
    if (!(cond)) {                                                                                                     \
      snprintf(said, sizeof said, __VA_ARGS__);                                                                        \
      return said;                                                                                                     \
    }                                                                                                                  \
  } while (0)
#define WANT(call, want)                                                                                               \
  do {                                                                                                                 \
    hv_return_t got_ = (call);                                                                                         \
    MUST(got_ == (want), #call " gives %#x, want " #want, (unsigned)got_);                                             \
  } while (0)
#define OK(call) WANT(call, HV_SUCCESS)

// The guest of a rule: RAM, and one vCPU whose id and exit record are here.
static char *ram;
static hv_vcpu_t cpu;
static hv_vcpu_exit_t *left;

static void program(const uint32_t *ops, int n) { memcpy(ram, ops, 4 * (size_t)n); }
#define PROGRAM(...)                                                                                                   \
  do {                                                                                                                 \
    const uint32_t ops_[] = {__VA_ARGS__};                                                                             \
    program(ops_, sizeof ops_ / 4);                                                                                    \
  } while (0)

static const char *make_vm(void) {
  OK(hv_vm_create(NULL));
  ram = mmap(NULL, (PAGES + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
  MUST(ram != MAP_FAILED, "no memory");
  ram += -(uintptr_t)ram % PAGE;
  OK(hv_vm_map(ram, RAM, PAGES * PAGE, HV_MEMORY_READ | HV_MEMORY_WRITE | HV_MEMORY_EXEC));
  return NULL;
}

static const char *make_cpu(void) {
  OK(hv_vcpu_create(&cpu, &left, NULL));
  OK(hv_vcpu_set_sys_reg(cpu, HV_SYS_REG_MPIDR_EL1, 1u << 31));
  OK(hv_vcpu_set_reg(cpu, HV_REG_CPSR, 0x3c5));
  OK(hv_vcpu_set_reg(cpu, HV_REG_PC, RAM));
  return NULL;
}

static uint64_t reg(hv_reg_t r) {
  uint64_t v = 0;
  return hv_vcpu_get_reg(cpu, r, &v) == HV_SUCCESS ? v : ~0ull;
}

static unsigned class(void) { return left->exception.syndrome >> 26 & 0x3f; }

// trapped runs to an exception of a class, with PC at an instruction.
static const char *trapped(unsigned ec, int at) {
  OK(hv_vcpu_run(cpu));
  MUST(left->reason == HV_EXIT_REASON_EXCEPTION && class() == ec, "exit %u, class %#x, want an exception of class %#x", left->reason,
       class(), ec);
  MUST(reg(HV_REG_PC) == RAM + 4 * (uint64_t)at, "PC is %#llx, want %#x", (unsigned long long)reg(HV_REG_PC), RAM + 4 * at);
  return NULL;
}
#define TRAPPED(ec, at)                                                                                                \
  do {                                                                                                                 \
    const char *bad_ = trapped(ec, at);                                                                                \
    if (bad_ != NULL) {                                                                                                \
      return bad_;                                                                                                     \
    }                                                                                                                  \
  } while (0)

static const char *one_vm(void) {
  WANT(hv_vm_create(NULL), HV_BUSY);
  return NULL;
}

static const char *vm_outlives_cpus(void) {
  MUST(hv_vm_destroy() != HV_SUCCESS, "hv_vm_destroy succeeds while there is a vCPU");
  return NULL;
}

static hv_return_t elsewhere;
static void *read_elsewhere(void *unused) {
  (void)unused;
  uint64_t v;
  elsewhere = hv_vcpu_get_reg(cpu, HV_REG_X0, &v);
  return NULL;
}

static const char *own_thread(void) {
  pthread_t t;
  MUST(pthread_create(&t, NULL, read_elsewhere, NULL) == 0 && pthread_join(t, NULL) == 0, "no thread");
  MUST(elsewhere != HV_SUCCESS, "another thread reads a register");
  return NULL;
}

static const char *one_cpu_a_thread(void) {
  hv_vcpu_t second;
  hv_vcpu_exit_t *exit;
  hv_return_t err = hv_vcpu_create(&second, &exit, NULL);
  if (err == HV_SUCCESS) {
    hv_vcpu_destroy(second);
  }
  MUST(err != HV_SUCCESS, "a thread has two vCPUs");
  return NULL;
}

static const char *alignment(void) {
  const hv_memory_flags_t rw = HV_MEMORY_READ | HV_MEMORY_WRITE;
  WANT(hv_vm_map(ram, RAM + 0x10001000, PAGE, rw), HV_BAD_ARGUMENT);
  WANT(hv_vm_map(ram + 4096, RAM + 0x10000000, PAGE, rw), HV_BAD_ARGUMENT);
  WANT(hv_vm_map(ram, RAM + 0x10000000, 4096, rw), HV_BAD_ARGUMENT);
  WANT(hv_vm_unmap(RAM, 4096), HV_BAD_ARGUMENT);
  WANT(hv_vm_protect(RAM + 4096, PAGE, rw), HV_BAD_ARGUMENT);
  return NULL;
}

static const char *parts_of_a_mapping(void) {
  OK(hv_vm_protect(RAM + PAGE, PAGE, HV_MEMORY_READ));
  OK(hv_vm_unmap(RAM + 2 * PAGE, PAGE));
  PROGRAM(STR_X1_X0, HVC_1);
  OK(hv_vcpu_set_reg(cpu, HV_REG_X0, RAM + 2 * PAGE));
  TRAPPED(0x24, 0);
  OK(hv_vcpu_set_reg(cpu, HV_REG_X0, RAM + PAGE));
  TRAPPED(0x24, 0);
  OK(hv_vcpu_set_reg(cpu, HV_REG_X0, RAM + 3 * PAGE));
  TRAPPED(0x16, 2);
  return NULL;
}

static const char *protected_store_has_its_address(void) {
  PROGRAM(STR_X1_X0, HVC_1);
  OK(hv_vm_protect(RAM + PAGE, PAGE, HV_MEMORY_READ));
  OK(hv_vcpu_set_reg(cpu, HV_REG_X0, RAM + PAGE + 0x128));
  TRAPPED(0x24, 0);
  MUST(left->exception.physical_address == RAM + PAGE + 0x128, "IPA is %#llx", (unsigned long long)left->exception.physical_address);
  MUST(left->exception.syndrome >> 6 & 1, "the syndrome %#llx is no store's", (unsigned long long)left->exception.syndrome);
  OK(hv_vm_protect(RAM + PAGE, PAGE, HV_MEMORY_READ | HV_MEMORY_WRITE));
  TRAPPED(0x16, 2);
  return NULL;
}

static const char *fresh_pages(void) {
  PROGRAM(LDR_X1_X0, HVC_1);
  ram[PAGE] = 1;
  OK(hv_vm_unmap(RAM + PAGE, PAGE));
  MUST(mmap(ram + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1, 0) != MAP_FAILED, "no memory");
  OK(hv_vm_map(ram + PAGE, RAM + PAGE, PAGE, HV_MEMORY_READ | HV_MEMORY_WRITE));
  OK(hv_vcpu_set_reg(cpu, HV_REG_X0, RAM + PAGE));
  TRAPPED(0x16, 2);
  MUST(reg(HV_REG_X1) == 0, "the guest reads %#llx", (unsigned long long)reg(HV_REG_X1));
  return NULL;
}

static const char *pc_after_calls(void) {
  PROGRAM(HVC_1, SMC_2, WFI, MRS_X1_OSDLR);
  TRAPPED(0x16, 1);
  MUST((left->exception.syndrome & 0xffff) == 1, "immediate %#llx", (unsigned long long)left->exception.syndrome);
  TRAPPED(0x17, 1);
  OK(hv_vcpu_set_reg(cpu, HV_REG_PC, RAM + 8));
  TRAPPED(0x01, 2);
  return NULL;
}

static const char *mmio_syndrome(void) {
  PROGRAM(LDR_X1_X0, STRB_W1_X0_3);
  OK(hv_vcpu_set_reg(cpu, HV_REG_X0, DEVICE + 8));
  TRAPPED(0x24, 0);
  uint64_t s = left->exception.syndrome;
  MUST((s >> 24 & 1) && (s >> 22 & 3) == 3 && (s >> 16 & 31) == 1 && !(s >> 6 & 1), "a load of X1: syndrome %#llx", (unsigned long long)s);
  MUST(left->exception.physical_address == DEVICE + 8, "IPA is %#llx", (unsigned long long)left->exception.physical_address);
  OK(hv_vcpu_set_reg(cpu, HV_REG_PC, RAM + 4));
  TRAPPED(0x24, 1);
  s = left->exception.syndrome;
  MUST((s >> 24 & 1) && (s >> 22 & 3) == 0 && (s >> 16 & 31) == 1 && (s >> 6 & 1), "a store of W1: syndrome %#llx", (unsigned long long)s);
  MUST(left->exception.physical_address == DEVICE + 11, "IPA is %#llx", (unsigned long long)left->exception.physical_address);
  return NULL;
}

static const char *cancel_before_run(void) {
  PROGRAM(HVC_1);
  OK(hv_vcpus_exit(&cpu, 1));
  OK(hv_vcpu_run(cpu));
  MUST(left->reason == HV_EXIT_REASON_CANCELED, "exit %u, want canceled", left->reason);
  TRAPPED(0x16, 1);
  return NULL;
}

static const char *cancel_of_nothing(void) {
  PROGRAM(HVC_1);
  OK(hv_vcpus_exit(NULL, 0));
  TRAPPED(0x16, 1);
  return NULL;
}

static const char *pending_lasts_one_run(void) {
  PROGRAM(MRS_X1_ISR, HVC_1, MRS_X1_ISR, HVC_1);
  OK(hv_vcpu_set_pending_interrupt(cpu, HV_INTERRUPT_TYPE_IRQ, true));
  TRAPPED(0x16, 2);
  MUST(reg(HV_REG_X1) == 1 << 7, "ISR_EL1 is %#llx with IRQ pending", (unsigned long long)reg(HV_REG_X1));
  TRAPPED(0x16, 4);
  MUST(reg(HV_REG_X1) == 0, "ISR_EL1 is %#llx in the next run", (unsigned long long)reg(HV_REG_X1));
  return NULL;
}

static const char *vtimer_masks_itself(void) {
  PROGRAM(B_SELF);
  OK(hv_vcpu_set_vtimer_mask(cpu, false));
  OK(hv_vcpu_set_sys_reg(cpu, HV_SYS_REG_CNTV_CVAL_EL0, 0));
  OK(hv_vcpu_set_sys_reg(cpu, HV_SYS_REG_CNTV_CTL_EL0, 1));
  OK(hv_vcpu_run(cpu));
  MUST(left->reason == HV_EXIT_REASON_VTIMER_ACTIVATED, "exit %u, want the timer", left->reason);
  bool masked = false;
  OK(hv_vcpu_get_vtimer_mask(cpu, &masked));
  MUST(masked, "the timer is not masked");
  return NULL;
}

static const char *counter_is_mach_time(void) {
  PROGRAM(MRS_X1_CNTVCT, HVC_1);
  const uint64_t offset = 1 << 20;
  OK(hv_vcpu_set_vtimer_offset(cpu, offset));
  uint64_t before = mach_absolute_time();
  TRAPPED(0x16, 2);
  uint64_t after = mach_absolute_time(), seen = reg(HV_REG_X1) + offset;
  MUST(before <= seen && seen <= after, "the guest reads %llu, the host %llu to %llu", (unsigned long long)seen,
       (unsigned long long)before, (unsigned long long)after);
  return NULL;
}

static const char *frequency_is_timebase(void) {
  PROGRAM(MRS_X1_CNTFRQ, HVC_1);
  TRAPPED(0x16, 2);
  mach_timebase_info_data_t base = {0, 0};
  MUST(mach_timebase_info(&base) == KERN_SUCCESS && base.numer != 0, "no timebase");
  uint64_t want = 1000000000ull * base.denom / base.numer;
  MUST(reg(HV_REG_X1) == want, "CNTFRQ_EL0 is %llu, the timebase %llu", (unsigned long long)reg(HV_REG_X1), (unsigned long long)want);
  return NULL;
}

static const char *id_registers_can_be_set(void) {
  const struct {
    hv_sys_reg_t reg;
    uint64_t flip;
    uint32_t read;
  } regs[] = {{HV_SYS_REG_MIDR_EL1, 0xf, MRS_X1_MIDR}, {HV_SYS_REG_ID_AA64PFR0_EL1, 1ull << 24, MRS_X1_PFR0}};
  for (int i = 0; i < 2; i++) { // before the first run
    uint64_t v = 0;
    OK(hv_vcpu_get_sys_reg(cpu, regs[i].reg, &v));
    OK(hv_vcpu_set_sys_reg(cpu, regs[i].reg, v ^ regs[i].flip));
    uint64_t got = 0;
    OK(hv_vcpu_get_sys_reg(cpu, regs[i].reg, &got));
    MUST(got == (v ^ regs[i].flip), "register %#x reads %#llx after %#llx was written", regs[i].reg, (unsigned long long)got,
         (unsigned long long)(v ^ regs[i].flip));
  }
  PROGRAM(MRS_X1_MIDR, HVC_1);
  TRAPPED(0x16, 2);
  uint64_t midr = 0;
  OK(hv_vcpu_get_sys_reg(cpu, HV_SYS_REG_MIDR_EL1, &midr));
  MUST(reg(HV_REG_X1) == midr, "the guest reads MIDR_EL1 as %#llx", (unsigned long long)reg(HV_REG_X1));
  return NULL;
}

static const char *unknown_registers(void) {
  uint64_t v;
  WANT(hv_vcpu_get_sys_reg(cpu, (hv_sys_reg_t)0, &v), HV_BAD_ARGUMENT);
  WANT(hv_vcpu_set_sys_reg(cpu, (hv_sys_reg_t)0, 0), HV_BAD_ARGUMENT);
  return NULL;
}

static const char *code_is_fetched_anew(void) {
  PROGRAM(NOP, HVC_1);
  TRAPPED(0x16, 2);
  return NULL;
}

// What follows is macOS 15's; callers have asked whether it is there.
#ifdef __clang__
#pragma clang diagnostic ignored "-Wunguarded-availability-new"
#endif

static const char *gic_needs_a_config(void) {
  WANT(hv_gic_create(NULL), HV_BAD_ARGUMENT);
  return NULL;
}

// rule_gic makes a GIC, before or after the vCPU.
static hv_return_t rule_gic(void) {
  hv_gic_config_t c = hv_gic_config_create();
  hv_return_t err = c == NULL ? HV_ERROR : hv_gic_config_set_distributor_base(c, 0x08000000);
  if (err == HV_SUCCESS) {
    err = hv_gic_config_set_redistributor_base(c, 0x080a0000);
  }
  if (err == HV_SUCCESS) {
    err = hv_gic_create(c);
  }
  if (c != NULL) {
    os_release(c);
  }
  return err;
}

static const char *gic_before_cpus(void) {
  MUST(rule_gic() != HV_SUCCESS, "a GIC is made after a vCPU");
  return NULL;
}

static const char *no_wfi_exit_with_gic(void) {
  PROGRAM(WFI, HVC_1);
  OK(hv_vcpu_set_sys_reg(cpu, HV_SYS_REG_CNTV_CTL_EL0, 0));
  OK(hv_vcpus_exit(&cpu, 1));
  OK(hv_vcpu_run(cpu));
  MUST(left->reason == HV_EXIT_REASON_CANCELED, "exit %u, class %#x, want canceled", left->reason, class());
  return NULL;
}

enum { VM = 1, CPU = 2, GIC = 4, NEEDS_GIC = 8 };

static const struct {
  const char *name;
  int wants;
  const char *(*run)(void);
} rules[] = {
    {"one VM in a process", VM, one_vm},
    {"a VM is destroyed after its vCPUs", VM | CPU, vm_outlives_cpus},
    {"a vCPU answers its own thread only", VM | CPU, own_thread},
    {"a thread has one vCPU", VM | CPU, one_cpu_a_thread},
    {"mappings are aligned to 16 KiB", VM, alignment},
    {"a part of a mapping can be unmapped and protected", VM | CPU, parts_of_a_mapping},
    {"a store to protected memory exits with its address, and succeeds later", VM | CPU, protected_store_has_its_address},
    {"unmapped, renewed and mapped again, pages read as zeroes", VM | CPU, fresh_pages},
    {"PC is past HVC, and on SMC and WFI", VM | CPU, pc_after_calls},
    {"MMIO comes with its whole address and a syndrome", VM | CPU, mmio_syndrome},
    {"hv_vcpus_exit before a run ends that run", VM | CPU, cancel_before_run},
    {"hv_vcpus_exit of no vCPU ends none", VM | CPU, cancel_of_nothing},
    {"a pending interrupt lasts one run", VM | CPU, pending_lasts_one_run},
    {"the virtual timer masks itself when it fires", VM | CPU, vtimer_masks_itself},
    {"CNTVCT_EL0 is mach_absolute_time less the offset", VM | CPU, counter_is_mach_time},
    {"CNTFRQ_EL0 is mach_timebase_info's frequency", VM | CPU, frequency_is_timebase},
    {"identification registers can be set", VM | CPU, id_registers_can_be_set},
    {"an unknown system register is a bad argument", VM | CPU, unknown_registers},
    {"code that the host has written is fetched", VM | CPU, code_is_fetched_anew},
    {"a GIC without a configuration is refused", VM | NEEDS_GIC, gic_needs_a_config},
    {"a GIC comes before the vCPUs", VM | CPU | NEEDS_GIC, gic_before_cpus},
    {"with a GIC, WFI waits in the framework until hv_vcpus_exit", VM | GIC | CPU | NEEDS_GIC, no_wfi_exit_with_gic},
};

enum { RULES = sizeof rules / sizeof rules[0] };

const char *rules_name(int n) { return n >= 0 && n < RULES ? rules[n].name : NULL; }
int rules_needs_gic(int n) { return (rules[n].wants & NEEDS_GIC) != 0; }

static const char *prepare(int wants) {
  const char *bad = make_vm();
  if (bad == NULL && wants & GIC) {
    OK(rule_gic());
  }
  if (bad == NULL && wants & CPU) {
    bad = make_cpu();
  }
  return bad;
}

const char *rules_run(int n) {
  left = NULL;
  const char *bad = prepare(rules[n].wants);
  if (bad == NULL) {
    bad = rules[n].run();
  }
  if (left != NULL) {
    hv_vcpu_destroy(cpu);
  }
  hv_vm_destroy();
  if (ram != NULL) {
    munmap(ram, PAGES * PAGE);
    ram = NULL;
  }
  return bad;
}
