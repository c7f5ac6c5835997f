// SPDX-License-Identifier: MIT
/* huge N [FILE]: maps N huge pages of 2 MiB, private or of a file in hugetlbfs, prints a line, and waits. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) << 21 : 0;
	int fd = argc > 2 ? open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	void *memory;

	if (argc > 2 && (fd < 0 || ftruncate(fd, (off_t)size)))
		return EXIT_FAILURE;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB : MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return EXIT_FAILURE;
	memset(memory, 1, size);
	close(fd);
	puts("ready");
	fflush(stdout);
	pause();
	return EXIT_SUCCESS;
}
