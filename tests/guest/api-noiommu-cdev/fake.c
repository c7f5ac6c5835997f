// SPDX-License-Identifier: MIT
#include "fake.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../../../lib/iommufd_abi.h"
#include "devnode.h"
#include "mem.h"

#define NODES "/dev/vfio/devices/"
#define PREFIX "noiommu-"

#define WRAP(type, name, ...)				\
	type __real_##name(__VA_ARGS__);		\
	type __wrap_##name(__VA_ARGS__);		\
	type __wrap_##name(__VA_ARGS__)

static int flat = -1;
static const char *function;
static enum answer answer;
static unsigned int calls;
static DIR *vfio_dev;

void fake_begin(int declared, const char *bdf)
{
	flat = declared;
	function = bdf;
	fake_answer(ANSWER_ALL);
}

void fake_end(void)
{
	flat = -1;
}

void fake_answer(enum answer next)
{
	answer = next;
	calls = 0;
}

unsigned int fake_calls(void)
{
	return calls;
}

WRAP(ssize_t, readlink, const char *path, char *text, size_t size)
{
	if (flat >= 0 && strstr(path, "/iommu_group")) {
		errno = ENOENT;
		return -1;
	}
	return __real_readlink(path, text, size);
}

WRAP(DIR *, opendir, const char *path)
{
	DIR *dir = __real_opendir(path);

	if (flat >= 0 && strstr(path, "/vfio-dev"))
		vfio_dev = dir;
	return dir;
}

WRAP(struct dirent *, readdir, DIR *dir)
{
	static struct dirent renamed;
	struct dirent *entry = __real_readdir(dir);

	if (flat < 0 || dir != vfio_dev || !entry || entry->d_name[0] == '.')
		return entry;
	snprintf(renamed.d_name, sizeof(renamed.d_name), PREFIX "%.200s", entry->d_name);
	return &renamed;
}

WRAP(int, open, const char *path, int flags, mode_t mode)
{
	const size_t skip = strlen(NODES PREFIX);
	char real[64];

	if (flat < 0 || strncmp(path, NODES, strlen(NODES)))
		return __real_open(path, flags, mode);
	/* It has one name only. */
	if (strncmp(path, NODES PREFIX, skip)) {
		errno = ENOENT;
		return -1;
	}
	snprintf(real, sizeof(real), NODES "%s", path + skip);
	return __real_open(real, flags, mode);
}

/* It has one name only in sysfs, too. */
WRAP(int, access, const char *path, int mode)
{
	const char *at = strstr(path, "/vfio-dev/" PREFIX);
	char real[128];

	if (flat < 0 || !at)
		return __real_access(path, mode);
	snprintf(real, sizeof(real), "%.*s/vfio-dev/%s", (int)(at - path), path,
		 at + strlen("/vfio-dev/" PREFIX));
	return __real_access(real, mode);
}

/* @length: at most that much, and not 0; set to how much is consecutive from @out_phys on. */
static int get_pa(struct ioas_get_pa *arg)
{
	struct flatiommu_segment segment;
	struct flatiommu_lookup lookup = {
		.size = sizeof(lookup),
		.function = flat_function(function),
		.nr_segments = 1,
		.start = arg->iova,
		.length = arg->length,
		.segments = (uintptr_t)&segment,
	};
	uint64_t asked = lookup.length;
	int ret;

	calls++;
	if (arg->size != sizeof(*arg) || arg->flags || arg->reserved)
		return -EOPNOTSUPP;
	if (!arg->length)
		return -EINVAL;
	if (answer == ANSWER_NO_CALL)
		return -ENOTTY;
	if (answer == ANSWER_HOLE && calls > 1)
		return -ENOENT;
	ret = flat_call(flat, FLATIOMMU_LOOKUP, &lookup);
	if (ret)
		return ret;
	arg->out_phys = segment.address;
	arg->length = segment.length;
	if (answer == ANSWER_BYTES && arg->length > 1000)
		arg->length = 1000;
	if (answer == ANSWER_HOLE && arg->length > PAGE)
		arg->length = PAGE;
	if (answer == ANSWER_NOTHING)
		arg->length = 0;
	if (answer == ANSWER_TOO_MUCH)
		arg->length = asked + 1;
	return 0;
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;
	int ret;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (flat < 0 || request != IOAS_NOIOMMU_GET_PA)
		return __real_ioctl(fd, request, arg);
	ret = get_pa(arg);
	errno = -ret;
	return ret ? -1 : 0;
}
