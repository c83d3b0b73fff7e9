/* What the tests of package userland need of a program, chosen by argv[1]. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int hello(void)
{
	char *p = malloc(1 << 20); /* by mmap */
	memset(p, 'x', 1 << 20);
	printf("hello %c %.3f %d\n", p[4711], 355.0 / 113, getpid());
	fprintf(stderr, "and an error\n");
	return 7;
}

static int trap(void)
{
	__asm__ volatile(".inst 0");
	return 0;
}

static int limits(void)
{
	printf("%d", write(5, "x", 1) == -1 && errno == EBADF);
	printf("%d", write(1, (void *)-1, 1) == -1 && errno == EFAULT);
	printf("%d", mmap(0, 1ul << 40, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
	printf("%d", mmap(0, 4096, 3, MAP_PRIVATE, 0, 0) == MAP_FAILED);
	printf("%d", sbrk(1l << 40) == (void *)-1);
	printf("%d\n", getchar() == EOF);
	return 0;
}

static int flood(void)
{
	static char b[1 << 20];
	for (;;)
		write(1, b, sizeof b);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (!strcmp(what, "hello"))
		return hello();
	if (!strcmp(what, "trap"))
		return trap();
	if (!strcmp(what, "limits"))
		return limits();
	return flood();
}
