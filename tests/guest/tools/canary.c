// SPDX-License-Identifier: MIT
/*
 * canary MIB | huge: fills MIB of memory, or all free huge pages, with known bytes, and prints a line when it is ready.
 * For each line of its input it prints the number of bytes that have changed since.
 * For the line "where" it prints the address of the first of them.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)sysconf(_SC_PAGESIZE) / 8 * (size_t)sysconf(_SC_PAGESIZE))

static size_t free_huge_pages(void)
{
	char line[128];
	size_t count = 0;
	FILE *file = fopen("/proc/meminfo", "re");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "HugePages_Free: %zu", &count) == 1)
			break;
	if (file)
		fclose(file);
	return count;
}

static uint64_t word(size_t index)
{
	return (index + 1) * 0x9e3779b97f4a7c15;
}

static size_t changed(const uint64_t *memory, size_t words)
{
	size_t bytes = 0, i, byte;
	uint64_t difference;

	for (i = 0; i < words; i++) {
		difference = memory[i] ^ word(i);
		for (byte = 0; difference && byte < sizeof(difference); byte++)
			bytes += (difference >> 8 * byte & 0xff) != 0;
	}
	return bytes;
}

/* NULL when there is none. */
static const char *first_changed(const uint64_t *memory, size_t words)
{
	size_t i, byte = 0;

	for (i = 0; i < words && memory[i] == word(i); i++)
		;
	if (i == words)
		return NULL;
	while (!((memory[i] ^ word(i)) >> 8 * byte & 0xff))
		byte++;
	return (const char *)&memory[i] + byte;
}

int main(int argc, char **argv)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
	size_t size, words, i;
	uint64_t *memory;
	char line[16];

	if (argc != 2)
		return 2;
	if (!strcmp(argv[1], "huge")) {
		flags |= MAP_HUGETLB;
		size = free_huge_pages() * HUGE_PAGE;
	} else {
		size = strtoul(argv[1], NULL, 10) << 20;
	}
	memory = size ? mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0) : MAP_FAILED;
	if (memory == MAP_FAILED) {
		fprintf(stderr, "canary: no memory\n");
		return 1;
	}
	words = size / sizeof(*memory);
	for (i = 0; i < words; i++)
		memory[i] = word(i);
	printf("holds %zu MiB at %p\n", size >> 20, (void *)memory);
	while (fflush(stdout) == 0 && fgets(line, sizeof(line), stdin)) {
		if (strcmp(line, "where\n"))
			printf("%zu bytes changed\n", changed(memory, words));
		else
			printf("%p\n", (const void *)first_changed(memory, words));
	}
	return 0;
}
