/*
 * The oracle's other side: runs test vectors on the CPU it is executed by,
 * meant to be qemu-aarch64. Reads a count and vectors from stdin, writes one
 * result each to stdout. Layouts are those of vector.go.
 *
 * A vector is entered by returning from a signal handler whose context was
 * filled with the vector's state, and left by the signal that its last
 * instruction (BRK), or a fault before it, raises: so the handler sees and
 * sets every register, PSTATE and FP state without a line of assembly.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define SCRATCH 0x50000000ul
#define SCRATCH_SIZE 8192
#define WINDOW 0xf80
#define WINDOW_SIZE 256
#define CODE 0x50800000ul
#define CODE_STRIDE 256
#define MAX_WORDS 16
#define MAX_VECTORS 4096

struct input {
	uint64_t x[31], sp, nzcv, fpcr, fpsr, v[64];
	uint32_t count, words[MAX_WORDS], pad;
	uint8_t mem[WINDOW_SIZE];
};

struct output {
	uint64_t x[31], sp, pc, nzcv, fpcr, fpsr, v[64];
	uint64_t signal, address, hash;
	uint8_t mem[WINDOW_SIZE];
};

static struct input in[MAX_VECTORS];
static struct output out[MAX_VECTORS];
static unsigned long n, at;
static int running;
static sigjmp_buf done;
static uint8_t altstack[1 << 16];

static struct fpsimd_context *fpsimd(ucontext_t *uc)
{
	struct _aarch64_ctx *c = (void *)uc->uc_mcontext.__reserved;
	while (c->magic != FPSIMD_MAGIC) {
		if (!c->magic)
			abort();
		c = (void *)((char *)c + c->size);
	}
	return (void *)c;
}

static void fill_scratch(const struct input *v)
{
	uint8_t *s = (uint8_t *)SCRATCH;
	for (int i = 0; i < SCRATCH_SIZE; i++)
		s[i] = i * 7 + (i >> 8) * 13;
	memcpy(s + WINDOW, v->mem, WINDOW_SIZE);
}

static uint64_t hash_scratch(void)
{
	const uint64_t *s = (uint64_t *)SCRATCH;
	uint64_t h = 0xcbf29ce484222325;
	for (int i = 0; i < SCRATCH_SIZE / 8; i++)
		h = (h ^ s[i]) * 0x100000001b3;
	return h;
}

static void take(int sig, siginfo_t *si, ucontext_t *uc)
{
	struct output *o = &out[at];
	struct fpsimd_context *f = fpsimd(uc);
	memcpy(o->x, uc->uc_mcontext.regs, sizeof o->x);
	o->sp = uc->uc_mcontext.sp;
	o->pc = uc->uc_mcontext.pc;
	o->nzcv = uc->uc_mcontext.pstate & 0xf0000000;
	o->fpcr = f->fpcr;
	o->fpsr = f->fpsr;
	memcpy(o->v, f->vregs, sizeof o->v);
	o->signal = sig;
	o->address = (uint64_t)si->si_addr;
	o->hash = hash_scratch();
	memcpy(o->mem, (uint8_t *)SCRATCH + WINDOW, WINDOW_SIZE);
}

static void give(ucontext_t *uc)
{
	const struct input *v = &in[at];
	struct fpsimd_context *f = fpsimd(uc);
	fill_scratch(v);
	memcpy(uc->uc_mcontext.regs, v->x, sizeof v->x);
	uc->uc_mcontext.sp = v->sp;
	uc->uc_mcontext.pc = CODE + at * CODE_STRIDE;
	uc->uc_mcontext.pstate = v->nzcv;
	f->fpcr = v->fpcr;
	f->fpsr = v->fpsr;
	memcpy(f->vregs, v->v, sizeof v->v);
}

static void handler(int sig, siginfo_t *si, void *ctx)
{
	if (running) {
		take(sig, si, ctx);
		at++;
	}
	running = 1;
	if (at == n)
		siglongjmp(done, 1);
	give(ctx);
}

static void place(void)
{
	for (unsigned long i = 0; i < n; i++) {
		uint32_t *c = (uint32_t *)(CODE + i * CODE_STRIDE);
		uint32_t k = in[i].count;
		if (k > MAX_WORDS)
			abort();
		memcpy(c, in[i].words, k * 4);
		for (; k < CODE_STRIDE / 4; k++)
			c[k] = 0xd4200000; /* BRK #0 */
	}
	__builtin___clear_cache((char *)CODE, (char *)CODE + n * CODE_STRIDE);
}

static void map(unsigned long at, unsigned long size, int prot)
{
	if (mmap((void *)at, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		abort();
}

int main(void)
{
	const int sigs[] = {SIGILL, SIGTRAP, SIGBUS, SIGSEGV, SIGFPE};
	stack_t st = {.ss_sp = altstack, .ss_size = sizeof altstack};
	struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

	if (fread(&n, sizeof n, 1, stdin) != 1 || n > MAX_VECTORS || fread(in, sizeof in[0], n, stdin) != n)
		return 2;
	map(SCRATCH, SCRATCH_SIZE, PROT_READ | PROT_WRITE);
	map(CODE, MAX_VECTORS * CODE_STRIDE, PROT_READ | PROT_WRITE | PROT_EXEC);
	place();
	sigaltstack(&st, NULL);
	for (unsigned i = 0; i < sizeof sigs / sizeof *sigs; i++)
		sigaction(sigs[i], &sa, NULL);
	if (!sigsetjmp(done, 0))
		__asm__ volatile("brk #0");
	return fwrite(out, sizeof out[0], n, stdout) != n || fflush(stdout);
}
