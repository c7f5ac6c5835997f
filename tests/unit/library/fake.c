// SPDX-License-Identifier: MIT
#include "fake.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/flatiommu.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WRAP(type, name, ...)				\
	type __real_##name(__VA_ARGS__);		\
	type __wrap_##name(__VA_ARGS__);		\
	type __wrap_##name(__VA_ARGS__)

#define MAX_FDS		1024
#define MAX_MAPS	70000
#define MAX_PAGES	16
#define REGION(i)	((off_t)(i) << 24)
#define PAGE		4096ul
#define HUGE		(2ul << 20)

enum kind { NONE, CONTAINER, GROUP, DEVICE, FLATIOMMU, PAGEMAP };

static struct sysfs_function {
	const char *bdf;
	unsigned int gone_ms;
	atomic_bool gone;
	int request;
} functions[NR_FUNCTIONS] = {
	{ .bdf = FN0 }, { .bdf = FN1 }, { .bdf = FN2 },
};

/* What each file descriptor is. */
static struct {
	enum kind kind;
	struct sysfs_function *function;
} fds[MAX_FDS];

static struct map {
	uint64_t iova, vaddr, size;
	int container;
	bool is_kept;		/* an unmap of it failed */
} maps[MAX_MAPS];

/* Pages that are elsewhere. */
static struct page {
	uintptr_t vaddr;
	uint64_t address, next;	/* @next: after a map; 0: the same */
	bool restless;
} pages[MAX_PAGES];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* of all of these */
static enum fake_machine machine;
static unsigned int map_ms, failed_maps;
static int map_error, unmap_error;
static rlim_t memlock;
static uint64_t last_iova;
static bool hidden;
static char root[64];

struct fake_calls *fake_calls;
struct flatiommu *flat;

void fake_die(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: not so: %s (%s)\n", file, line, what, flat ? flatiommu_reason(flat) : "");
	_exit(EXIT_FAILURE);
}

/* The files. */

static void put(const char *path, const char *text)
{
	char full[160], *slash;
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		mkdir(full, 0700);
		*slash = '/';
	}
	file = fopen(full, "w");
	CHECK(file && fputs(text, file) >= 0 && !fclose(file));
}

static void put_link(const char *path, const char *target)
{
	char full[160];

	snprintf(full, sizeof(full), "%s%s", root, path);
	CHECK(!symlink(target, full));
}

static void put_function(unsigned int i)
{
	const char *bdf = functions[i].bdf;
	char path[128], target[64];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/numa_node", bdf);
	put(path, "0\n");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver", bdf);
	put_link(path, "../../../bus/pci/drivers/vfio-pci");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	snprintf(target, sizeof(target), "../../../kernel/iommu_groups/%u", i + 1);
	put_link(path, target);
	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%u/%s", i + 1,
		 machine == FAKE_IOMMU ? "type" : "name");
	put(path, "flatiommu\n");
	snprintf(path, sizeof(path), "/dev/vfio/%u", i + 1);
	put(path, "");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

/* The real path. */
static const char *real(const char *path, char *full, size_t size)
{
	static const char *const ours[] = {
		"/sys/bus/pci/", "/sys/kernel/iommu_groups", "/sys/class/vfio", "/sys/class/misc", "/dev/vfio",
		"/dev/flatiommu", "/dev/iommu",
	};
	size_t i;

	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (!strncmp(path, ours[i], strlen(ours[i]))) {
			snprintf(full, size, "%s%s", root, path);
			return full;
		}
	}
	return path;
}

WRAP(int, access, const char *path, int mode)
{
	char full[256];

	return __real_access(real(path, full, sizeof(full)), mode);
}

WRAP(ssize_t, readlink, const char *path, char *text, size_t size)
{
	char full[256];

	return __real_readlink(real(path, full, sizeof(full)), text, size);
}

WRAP(DIR *, opendir, const char *path)
{
	char full[256];

	return __real_opendir(real(path, full, sizeof(full)));
}

static int note_fd(int fd, enum kind kind, struct sysfs_function *function)
{
	if (fd < 0)
		return fd;
	CHECK(fd < MAX_FDS);
	pthread_mutex_lock(&lock);
	fds[fd].kind = kind;
	fds[fd].function = function;
	pthread_mutex_unlock(&lock);
	return fd;
}

WRAP(int, open, const char *path, int flags, mode_t mode)
{
	enum kind kind = NONE;
	struct sysfs_function *function = NULL;
	char full[256];

	if (!strcmp(path, "/dev/vfio/vfio"))
		kind = CONTAINER;
	else if (!strcmp(path, "/dev/flatiommu"))
		kind = FLATIOMMU;
	else if (!strcmp(path, "/proc/self/pagemap"))
		kind = PAGEMAP;
	else if (!strncmp(path, "/dev/vfio/", strlen("/dev/vfio/"))) {
		kind = GROUP;
		function = &functions[atoi(path + strlen("/dev/vfio/")) - 1];
	}
	return note_fd(__real_open(real(path, full, sizeof(full)), flags, mode), kind, function);
}

/* The functions. */

static struct sysfs_function *find_function(const char *bdf)
{
	size_t i;

	for (i = 0; i < NR_FUNCTIONS; i++)
		if (!strcmp(functions[i].bdf, bdf))
			return &functions[i];
	return NULL;
}

static enum kind kind_of(int fd, struct sysfs_function **function)
{
	enum kind kind = NONE;

	pthread_mutex_lock(&lock);
	if (fd >= 0 && fd < MAX_FDS) {
		kind = fds[fd].kind;
		*function = fds[fd].function;
	}
	pthread_mutex_unlock(&lock);
	return kind;
}

/* What could not be unmapped ends with the container. */
static void end_kept(int container)
{
	size_t i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < MAX_MAPS; i++) {
		if (!maps[i].size || !maps[i].is_kept || maps[i].container != container)
			continue;
		atomic_fetch_sub(&fake_calls->mapped, maps[i].size);
		maps[i].size = 0;
	}
	pthread_mutex_unlock(&lock);
}

WRAP(int, close, int fd)
{
	struct sysfs_function *function;
	enum kind kind = kind_of(fd, &function);

	if (kind == DEVICE) {
		atomic_fetch_add(&fake_calls->closes, 1);
		if (function->gone)
			sleep_ms(function->gone_ms);
	}
	if (kind == CONTAINER)
		end_kept(fd);
	if (kind != NONE)
		note_fd(fd, NONE, NULL);
	return __real_close(fd);
}

static struct page *page_at(uintptr_t vaddr)
{
	size_t i;

	for (i = 0; i < MAX_PAGES; i++)
		if (pages[i].vaddr == vaddr)
			return &pages[i];
	return NULL;
}

static void set_page(const void *page, struct page to)
{
	struct page *p;

	pthread_mutex_lock(&lock);
	p = page_at((uintptr_t)page);
	if (!p)
		p = page_at(0);
	CHECK(p);
	to.vaddr = (uintptr_t)page;
	*p = to;
	pthread_mutex_unlock(&lock);
}

void fake_page(const void *page, uint64_t address, bool later)
{
	set_page(page, (struct page){ .address = later ? (uintptr_t)page : address, .next = later ? address : 0 });
}

void fake_hide_pages(void)
{
	hidden = true;
}

void fake_restless(const void *page)
{
	set_page(page, (struct page){ .address = (uintptr_t)page, .restless = true });
}

/* What the kernel says of pages, with another frame: this test sees none. */
static ssize_t read_pagemap(uint64_t *entries, ssize_t size, off_t at)
{
	const struct page *page;
	ssize_t i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < size / (ssize_t)sizeof(*entries); i++) {
		uintptr_t vaddr = (uintptr_t)(at / (off_t)sizeof(*entries) + i) * PAGE;

		page = page_at(vaddr);
		entries[i] = (entries[i] & ~((1ull << 55) - 1)) | (hidden ? 0 : page ? page->address : vaddr) / PAGE;
	}
	pthread_mutex_unlock(&lock);
	return size;
}

static void move_pages(uint64_t vaddr, uint64_t size)
{
	size_t i;

	for (i = 0; i < MAX_PAGES; i++) {
		if (pages[i].vaddr - vaddr >= size)
			continue;
		if (pages[i].restless)
			pages[i].address += PAGE;
		if (pages[i].next)
			pages[i].address = pages[i].next;
	}
}

WRAP(ssize_t, pread, int fd, void *data, size_t size, off_t at)
{
	struct sysfs_function *function;
	enum kind kind = kind_of(fd, &function);

	if (kind == PAGEMAP)
		return read_pagemap(data, __real_pread(fd, data, size, at), at);
	if (kind == DEVICE && function->gone) {
		memset(data, 0xff, size);
		return (ssize_t)size;
	}
	return __real_pread(fd, data, size, at);
}

WRAP(ssize_t, pwrite, int fd, const void *data, size_t size, off_t at)
{
	struct sysfs_function *function;

	if (kind_of(fd, &function) == DEVICE && function->gone)
		return (ssize_t)size;
	return __real_pwrite(fd, data, size, at);
}

static int config[NR_FUNCTIONS];

void fake_gone(const char *bdf, unsigned int milliseconds)
{
	find_function(bdf)->gone_ms = milliseconds;
	find_function(bdf)->gone = true;
}

bool fake_is_master(const char *bdf)
{
	uint16_t command;

	CHECK(__real_pread(config[find_function(bdf) - functions], &command, sizeof(command),
			   REGION(FLATIOMMU_REGION_CONFIG) + PCI_COMMAND) == sizeof(command));
	return command & PCI_COMMAND_MASTER;
}

int fake_request(const char *bdf)
{
	int fd;

	pthread_mutex_lock(&lock);
	fd = find_function(bdf)->request;
	pthread_mutex_unlock(&lock);
	return fd;
}

void fake_maps(unsigned int milliseconds, int error)
{
	pthread_mutex_lock(&lock);
	map_ms = milliseconds;
	map_error = error;
	failed_maps = 0;
	pthread_mutex_unlock(&lock);
}

void fake_unmaps(int error)
{
	pthread_mutex_lock(&lock);
	unmap_error = error;
	pthread_mutex_unlock(&lock);
}

void fake_memlock(rlim_t bytes)
{
	memlock = bytes;
}

unsigned int fake_failed_maps(void)
{
	return failed_maps;
}

/* VFIO. */

static int get_regions(struct vfio_region_info *info)
{
	if (info->index > FLATIOMMU_REGION_CONFIG)
		return -EINVAL;
	info->offset = (uint64_t)REGION(info->index);
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	info->size = info->index == FLATIOMMU_REGION_CONFIG ? 256 : info->index ? 0 : BAR_SIZE;
	if (!info->index)
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	return 0;
}

static int set_irqs(struct sysfs_function *function, const struct vfio_irq_set *set)
{
	atomic_fetch_add(&fake_calls->sets_irqs, 1);
	pthread_mutex_lock(&lock);
	if (set->index == VFIO_PCI_REQ_IRQ_INDEX)
		function->request = set->flags & VFIO_IRQ_SET_DATA_EVENTFD ? *(const int *)set->data : -1;
	pthread_mutex_unlock(&lock);
	return 0;
}

static int on_device(struct sysfs_function *function, unsigned long request, void *arg)
{
	struct vfio_device_info *info = arg;
	struct vfio_irq_info *irq = arg;

	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		info->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
		info->num_regions = 9;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return get_regions(arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		irq->count = irq->index == VFIO_PCI_MSIX_IRQ_INDEX ? 4 : 1;
		irq->flags = VFIO_IRQ_INFO_EVENTFD;
		return 0;
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(function, arg);
	case VFIO_DEVICE_RESET:
		atomic_fetch_add(&fake_calls->resets, 1);
		if (function->gone)
			sleep_ms(function->gone_ms);
		return function->gone ? -ENOTTY : 0;
	default:
		return -ENOTTY;
	}
}

static int get_device(const char *name)
{
	struct sysfs_function *function = find_function(name);

	if (!function)
		return -EINVAL;
	atomic_fetch_add(&fake_calls->opens, 1);
	return note_fd(fcntl(config[function - functions], F_DUPFD_CLOEXEC, 0), DEVICE, function);
}

static int on_group(unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_GROUP_GET_STATUS:
		((struct vfio_group_status *)arg)->flags = VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
	case VFIO_GROUP_UNSET_CONTAINER:
		return 0;
	case VFIO_GROUP_GET_DEVICE_FD:
		return get_device(arg);
	default:
		return -ENOTTY;
	}
}

/* A look-up has no container, and tests that do it one context. */
static struct map *find_map(int container, uint64_t iova)
{
	size_t i;

	for (i = 0; i < MAX_MAPS; i++)
		if (maps[i].size && (container < 0 || maps[i].container == container) &&
		    iova >= maps[i].iova && iova - maps[i].iova < maps[i].size)
			return &maps[i];
	return NULL;
}

static int do_map(int container, const struct vfio_iommu_type1_dma_map *arg)
{
	unsigned int ms;
	int err;
	size_t i;

	/* The kernel's answer to what may not be written to: this writes what is there. */
	if (arg->flags & VFIO_DMA_MAP_FLAG_WRITE && madvise((void *)(uintptr_t)arg->vaddr, arg->size,
							  MADV_POPULATE_WRITE))
		return -EFAULT;
	pthread_mutex_lock(&lock);
	ms = map_ms;
	err = map_error;
	failed_maps += !!err;
	if (!err && find_map(container, arg->iova))
		err = -EEXIST;
	for (i = 0; !err && maps[i].size; i++)
		;
	if (!err && arg->iova + arg->size - 1 > last_iova)
		err = -EINVAL;
	if (!err) {
		maps[i] = (struct map){ arg->iova, arg->vaddr, arg->size, container, false };
		move_pages(arg->vaddr, arg->size);
	}
	pthread_mutex_unlock(&lock);
	if (ms)
		sleep_ms(ms);
	if (err)
		return err;
	atomic_fetch_add(&fake_calls->maps, 1);
	atomic_fetch_add(&fake_calls->mapped, arg->size);
	return 0;
}

static int do_unmap(int container, const struct vfio_iommu_type1_dma_unmap *arg)
{
	struct map *map;
	int err = 0;

	pthread_mutex_lock(&lock);
	map = find_map(container, arg->iova);
	if (!map || map->iova != arg->iova || map->size != arg->size)
		err = -EINVAL;
	else if (unmap_error)
		err = unmap_error;
	else
		map->size = 0;
	if (map)
		map->is_kept = err;
	pthread_mutex_unlock(&lock);
	atomic_fetch_add(&fake_calls->unmaps, 1);
	if (!err)
		atomic_fetch_sub(&fake_calls->mapped, arg->size);
	return err;
}

bool fake_is_mapped(uint64_t address)
{
	bool is;

	pthread_mutex_lock(&lock);
	is = find_map(-1, address);
	pthread_mutex_unlock(&lock);
	return is;
}

void fake_last_iova(uint64_t last)
{
	last_iova = last;
}

/* Kernels before 6.6 do not align the capability to its members of 8 bytes. */
static int get_ranges(struct vfio_iommu_type1_info *info)
{
	const struct vfio_iommu_type1_info_cap_iova_range cap = {
		.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, .nr_iovas = 1,
	};
	const struct vfio_iova_range range = { .start = 0, .end = last_iova };
	size_t at = sizeof(*info) + 4, size = at + sizeof(cap) + sizeof(range);

	if (info->argsz >= size) {
		info->flags = VFIO_IOMMU_INFO_CAPS;
		info->cap_offset = (uint32_t)at;
		memcpy((char *)info + at, &cap, sizeof(cap));
		memcpy((char *)info + at + sizeof(cap), &range, sizeof(range));
	}
	info->argsz = (uint32_t)size;
	return 0;
}

static int on_container(int fd, unsigned long request, void *arg)
{
	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return 1;
	case VFIO_SET_IOMMU:
		return 0;
	case VFIO_IOMMU_GET_INFO:
		return get_ranges(arg);
	case VFIO_IOMMU_MAP_DMA:
		return do_map(fd, arg);
	case VFIO_IOMMU_UNMAP_DMA:
		return do_unmap(fd, arg);
	default:
		return -ENOTTY;
	}
}

static uint64_t bus_of(uint64_t vaddr)
{
	uint64_t unit = machine == FAKE_FLAT_HUGE ? HUGE : PAGE;

	return 2 * (vaddr & ~(unit - 1)) + (vaddr & (unit - 1));
}

static int look_up(struct flatiommu_lookup *arg)
{
	struct flatiommu_segment *segments = (void *)(uintptr_t)arg->segments, *last = NULL;
	uint64_t at = arg->start, end = at + arg->length;
	const struct map *map;
	uint32_t n = 0;

	pthread_mutex_lock(&lock);
	map = find_map(-1, at);
	for (; map && at < end && at - map->iova < map->size; at = (at | (PAGE - 1)) + 1) {
		uint64_t bus = bus_of(map->vaddr + (at - map->iova)), length = PAGE - at % PAGE;

		if (last && last->address + last->length == bus) {
			last->length += length;
			continue;
		}
		if (n == arg->nr_segments)
			break;
		last = &segments[n++];
		*last = (struct flatiommu_segment){ .address = bus, .length = length };
	}
	pthread_mutex_unlock(&lock);
	arg->nr_segments = n;
	return n ? 0 : -ENOENT;
}

static int on_flatiommu(unsigned long request, void *arg)
{
	switch (request) {
	case FLATIOMMU_DECLARE:
	case FLATIOMMU_INFO:
		return 0;
	case FLATIOMMU_LOOKUP:
		return look_up(arg);
	default:
		return -ENOTTY;
	}
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	struct sysfs_function *function;
	va_list args;
	void *arg;
	int ret;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	switch (kind_of(fd, &function)) {
	case CONTAINER:
		ret = on_container(fd, request, arg);
		break;
	case GROUP:
		ret = on_group(request, arg);
		break;
	case DEVICE:
		ret = on_device(function, request, arg);
		break;
	case FLATIOMMU:
		ret = on_flatiommu(request, arg);
		break;
	default:
		return __real_ioctl(fd, request, arg);
	}
	if (ret >= 0)
		return ret;
	errno = -ret;
	return -1;
}

/* glibc declares the first argument as an enum or as an int, by the dialect of C. */
int __real_getrlimit(int resource, struct rlimit *limit);
int __wrap_getrlimit(int resource, struct rlimit *limit);
int __wrap_getrlimit(int resource, struct rlimit *limit)
{
	if (resource != RLIMIT_MEMLOCK)
		return __real_getrlimit(resource, limit);
	*limit = (struct rlimit){ memlock, memlock };
	return 0;
}

/* Begin and end. */

void fake_begin(enum fake_machine kind)
{
	unsigned int i;

	machine = kind;
	strcpy(root, "/tmp/flatiommu-unit.XXXXXX");
	CHECK(mkdtemp(root));
	put("/dev/vfio/vfio", "");
	put("/dev/flatiommu", "");
	put("/sys/class/vfio/x", "");
	fake_calls = mmap(NULL, sizeof(*fake_calls), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(fake_calls != MAP_FAILED);
	for (i = 0; i < NR_FUNCTIONS; i++) {
		functions[i].gone = false;
		functions[i].request = -1;
		config[i] = memfd_create("function", MFD_CLOEXEC);
		CHECK(config[i] >= 0 && !ftruncate(config[i], REGION(FLATIOMMU_REGION_CONFIG) + 4096));
		put_function(i);
	}
	fake_maps(0, 0);
	fake_unmaps(0);
	fake_memlock(RLIM_INFINITY);
	memset(pages, 0, sizeof(pages));
	last_iova = INT64_MAX;
	hidden = false;
	CHECK(!flatiommu_open(&flat));
}

void fake_end(void)
{
	unsigned int i;

	flatiommu_close(flat);
	flat = NULL;
	CHECK(!fake_calls->mapped && fake_calls->opens == fake_calls->closes);
	CHECK(!memcmp(root, "/tmp/", 5) && !nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS));
	for (i = 0; i < NR_FUNCTIONS; i++)
		__real_close(config[i]);
	munmap(fake_calls, sizeof(*fake_calls));
}

struct flatiommu_device *must_open(const char *bdf)
{
	struct flatiommu_device *device = NULL;

	CHECK(!flatiommu_device_open(flat, bdf, &device));
	return device;
}

struct flatiommu_dma *must_alloc(size_t length)
{
	struct flatiommu_dma *dma = NULL;

	CHECK(!flatiommu_dma_alloc(flat, length, NULL, &dma));
	return dma;
}

int in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (!pid)
		_exit(fn());
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void sleep_ms(unsigned int milliseconds)
{
	struct timespec pause = { .tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000l };

	while (nanosleep(&pause, &pause) && errno == EINTR)
		;
}
