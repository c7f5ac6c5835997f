// SPDX-License-Identifier: MIT
/*
 * What the command parses: all files are what is fed to it, all links lead there, and the names that it
 * is given are that, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../tools/flatiommu/faults.h"
#include "../../tools/flatiommu/pci.h"
#include "../../tools/flatiommu/record.h"
#include "../../tools/flatiommu/sysfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __wrap_open(const char *path, int flags, ...);
FILE *__wrap_fopen(const char *path, const char *mode);
ssize_t __wrap_readlink(const char *path, char *target, size_t size);
int __wrap_access(const char *path, int mode);
char *__wrap_realpath(const char *path, char *real);

static const uint8_t *bytes;
static size_t nr_bytes;

int __wrap_open(const char *path, int flags, ...)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	(void)path;
	(void)flags;
	if (fd < 0 || write(fd, bytes, nr_bytes) != (ssize_t)nr_bytes || lseek(fd, 0, SEEK_SET))
		abort();
	return fd;
}

FILE *__wrap_fopen(const char *path, const char *mode)
{
	return fdopen(__wrap_open(path, O_RDONLY), mode);
}

ssize_t __wrap_readlink(const char *path, char *target, size_t size)
{
	(void)path;
	if (size > nr_bytes)
		size = nr_bytes;
	memcpy(target, bytes, size);
	return (ssize_t)size;
}

int __wrap_access(const char *path, int mode)
{
	(void)path;
	(void)mode;
	return 0;
}

char *__wrap_realpath(const char *path, char *real)
{
	(void)path;
	snprintf(real, 4096, "%.*s", (int)nr_bytes, (const char *)bytes);
	return real;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct functions functions = { 0 };
	struct tool tool = { 0 };
	struct function f;
	struct record record;
	struct fault fault;
	struct near near;
	char *name = malloc(size + 1), address[PCI_ADDRESS_SIZE], text[300];

	if (!name)
		abort();
	memcpy(name, data, size);
	name[size] = '\0';
	bytes = data;
	nr_bytes = size;
	function_read(&f, name);
	record_load(&record, name);
	functions_resolve(&tool, &functions, name);
	functions_free(&functions);
	function_above(address, sizeof(address), name);
	file_has_word("word", "%s", name);
	file_number(0, "%s", name);
	fault_parse_record(&fault, name);
	near_find(&near, name, 0x12345000);
	if (near.found)
		near_text(text, sizeof(text), &near, 0x12345000);
	free(name);
	return 0;
}
