// SPDX-License-Identifier: MIT
/*
 * The calls of /dev/flatiommu, and those of VFIO, of memory and of sysfs around them, in any order
 * with arguments that are right, nearly right or random. A sequence is a process with two threads,
 * which ends or is killed. After it everything must be as before. On the kernel's command line, for
 * FLATIOMMU_APPEND="..." tests/vm/run: fuzz_calls=N, fuzz_seed=S, fuzz_sequence=N calls of a
 * thread. With the same seed each thread makes the same calls; the order between the threads
 * varies.
 *
 * KCOV does not guide it. Lines that 40,000 calls do not reach (tests/coverage, after this test
 * alone) need a lack of memory, a function that sees memory differently, unmaps that VFIO does not
 * make, or another user's processes; failures.c, range.c, parts.c and lookup.c have these.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/udmabuf.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "devices.h"
#include "devnode.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define DEFAULT_CALLS	9000ull
#define SEQUENCE	150
#define THREADS		2
#define SLOTS		8
#define SLOT		HUGE_PAGE
#define FDS		4		/* of a kind */
#define FIRST_NUMBER	100
#define ERRNOS		134
#define LOOKUP_IOVA	FLATIOMMU_LOOKUP_FIRST
#define DMABUF_PAGES	32

static const char *const devices[] = { EDU, FN1, NULL };

/* What a sequence works on; of its threads, which do not mind each other. */
static char *arena;
static int flats[FDS], containers[FDS], groups[FDS], fds[FDS], buffers[FDS], passing[2];
static int *const kinds[] = { flats, containers, groups, fds, buffers };
static int iommu_groups[2];
/* Of udmabuf; -1 on a kernel that has none. */
static int dmabuf = -1;

/*
 * What VFIO does not guard: a map or an unmap of a container, while another thread gives it its address
 * space or takes its last group out of it (vfio_fops_unl_ioctl() reads it without group_lock), as the end of
 * the group's file does.
 */
static pthread_rwlock_t address_spaces = PTHREAD_RWLOCK_INITIALIZER;

struct dice {
	uint64_t state;
};

/* splitmix64 */
static uint64_t any(struct dice *d)
{
	uint64_t z = d->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static unsigned int below(struct dice *d, unsigned int limit)
{
	return (unsigned int)(any(d) % limit);
}

static bool one_in(struct dice *d, unsigned int n)
{
	return !below(d, n);
}

/* A number that something may begin or end at. */
static uint64_t boundary(struct dice *d)
{
	uint64_t n = 1ull << below(d, 64);

	switch (below(d, 5)) {
	case 0: return n - 1;
	case 1: return n;
	case 2: return 0 - n;
	case 3: return below(d, 16);
	default: return any(d);
	}
}

static char *memory(struct dice *d)
{
	return arena + below(d, SLOTS) * SLOT + (one_in(d, 4) ? below(d, 64) * PAGE : 0);
}

static size_t length(struct dice *d)
{
	return (1 + below(d, 32)) * PAGE;
}

static uint64_t iova_of(struct dice *d, const char *addr)
{
	return one_in(d, 8) ? boundary(d) & ~(PAGE - 1) : LOOKUP_IOVA + (uint64_t)(addr - arena);
}

static const char *device(struct dice *d)
{
	return one_in(d, 12) ? TESTDEV : devices[below(d, 2)];
}

/* One of the 32-bit words of a call's argument, or of its array, is something else now and then. */
static void mutate(struct dice *d, void *arg, size_t size)
{
	uint32_t word = (uint32_t)boundary(d);

	if (one_in(d, 5))
		memcpy((char *)arg + below(d, (unsigned int)(size / 4)) * 4, &word, 4);
}

static int result(int ret)
{
	return ret < 0 ? -errno : 0;
}

/* The errors that a step may return, by <linux/flatiommu.h>; those of any call are in general[]. */
#define MAY(...) (const int[]){ __VA_ARGS__, 0 }
/* EBADF: another thread has closed it. */
static const int general[] = { EFAULT, ENOMEM, EINTR, EINVAL, EOPNOTSUPP, E2BIG, EBADF, ENOTTY, 0 };

static bool is_in(int error, const int *list)
{
	while (list && *list)
		if (*list++ == error)
			return true;
	return false;
}

/*
 * To a place in an array of file descriptors, whose old one is closed. Each kind has numbers of its own: a call by a
 * number that was closed meanwhile must not be the last to hold a file of VFIO's.
 */
static int keep(struct dice *d, int *in, int fd)
{
	int *at = &in[below(d, FDS)], old, number = FIRST_NUMBER;
	size_t i;

	if (fd < 0)
		return fd;
	for (i = 0; kinds[i] != in; i++)
		number += FDS * 2;
	number = fcntl(fd, F_DUPFD_CLOEXEC, number);
	close(fd);
	if (number < 0)
		return -errno;
	old = *at;
	*at = number;
	if (old >= 0)
		close(old);
	return 0;
}

static int do_open(struct dice *d)
{
	return keep(d, flats, flat_open());
}

/* Mostly one that is open. */
static int one_of(struct dice *d, const int *in)
{
	int fd = -1, tries;

	for (tries = 0; fd < 0 && tries < 4; tries++)
		fd = in[below(d, FDS)];
	return fd;
}

static int do_info(struct dice *d)
{
	struct flatiommu_info arg = { .size = sizeof(arg), .flags = below(d, 3) };

	arg.function = flat_function(device(d));
	arg.group = iommu_groups[below(d, 2)];
	mutate(d, &arg, sizeof(arg));
	return flat_call(one_of(d, flats), FLATIOMMU_INFO, &arg);
}

static int do_declare(struct dice *d)
{
	struct flatiommu_function functions[2] = { flat_function(EDU), flat_function(FN1) };
	struct flatiommu_declare arg = {
		.size = sizeof(arg),
		.nr_functions = 1 + below(d, 2),
		.functions = (uintptr_t)functions,
	};

	mutate(d, functions, sizeof(functions));
	mutate(d, &arg, sizeof(arg));
	return flat_call(one_of(d, flats), FLATIOMMU_DECLARE, &arg);
}

/* What a LOOKUP says must fit what it was asked. */
static int look_up(struct dice *d, struct flatiommu_lookup *arg)
{
	struct flatiommu_segment segments[8];
	uint64_t asked, sum = 0;
	uint32_t room, i;
	int ret;

	arg->size = sizeof(*arg);
	arg->nr_segments = 1 + below(d, 8);
	arg->length = length(d);
	arg->segments = (uintptr_t)segments;
	mutate(d, arg, sizeof(*arg));
	if (arg->nr_segments > 8 && arg->segments == (uintptr_t)segments)
		arg->segments = (uintptr_t)arena;
	asked = arg->length;
	room = arg->nr_segments;
	ret = flat_call(one_of(d, flats), FLATIOMMU_LOOKUP, arg);
	if (ret)
		return ret;
	if (!arg->nr_segments || arg->nr_segments > room || !arg->length || arg->length > asked)
		return -EPROTO;
	if (arg->segments != (uintptr_t)segments)
		return 0;
	for (i = 0; i < arg->nr_segments; i++)
		sum += segments[i].length;
	return sum == arg->length ? 0 : -EPROTO;
}

static int do_lookup(struct dice *d)
{
	struct flatiommu_lookup arg = { .function = flat_function(device(d)) };

	arg.start = iova_of(d, memory(d)) + (one_in(d, 4) ? below(d, (unsigned int)PAGE) : 0);
	return look_up(d, &arg);
}

static int do_lookup_pin(struct dice *d)
{
	struct flatiommu_lookup arg = {
		.flags = FLATIOMMU_LOOKUP_PIN,
		.function = flat_function(device(d)),
		.pin = 1 + below(d, 6),
		.start = one_in(d, 2) ? 0 : below(d, 1 << 17),
	};

	return look_up(d, &arg);
}

static int do_pin(struct dice *d)
{
	struct flatiommu_function functions[2] = { flat_function(EDU), flat_function(FN1) };
	struct flatiommu_pin arg = {
		.size = sizeof(arg),
		.flags = (one_in(d, 3) ? FLATIOMMU_PIN_READ_ONLY : 0) |
			(one_in(d, 3) ? FLATIOMMU_PIN_VFIO : 0) |
			(one_in(d, 3) ? FLATIOMMU_PIN_NO_STOP : 0),
		.nr_functions = 1 + below(d, 2),
		.functions = (uintptr_t)functions,
		.vaddr = (uintptr_t)memory(d) + below(d, 2) * below(d, (unsigned int)PAGE),
		.length = length(d),
		.nr_segments = below(d, 2) * below(d, 8),
	};
	struct flatiommu_segment segments[8];
	unsigned int room;
	int ret;

	arg.segments = (uintptr_t)segments;
	if (one_in(d, 8))
		functions[0] = flat_function(TESTDEV);
	if (one_in(d, 5)) {
		arg.flags |= FLATIOMMU_PIN_DMABUF;
		arg.vaddr = below(d, DMABUF_PAGES) * below(d, (unsigned int)PAGE);
		arg.dmabuf = dmabuf;
	}
	mutate(d, functions, sizeof(functions));
	mutate(d, &arg, sizeof(arg));
	if (arg.nr_segments > 8 && arg.segments == (uintptr_t)segments)
		arg.segments = (uintptr_t)arena;
	room = arg.nr_segments;
	ret = flat_call(one_of(d, flats), FLATIOMMU_PIN, &arg);
	if (ret)
		return ret;
	if (!arg.out_pin || arg.nr_segments > room)
		return -EPROTO;
	/* An older program's argument has none. */
	return arg.size == sizeof(arg) && arg.out_length > arg.length ? -EPROTO : 0;
}

static int do_unpin(struct dice *d)
{
	struct flatiommu_unpin arg = { .size = sizeof(arg), .pin = 1 + below(d, 6) };

	mutate(d, &arg, sizeof(arg));
	return flat_call(one_of(d, flats), FLATIOMMU_UNPIN, &arg);
}

/* Mapped where the others work on memory, or mapped and closed, or left. */
static int do_alloc(struct dice *d)
{
	static const unsigned int bits[] = { 64, 32, 32, 28, 24 };
	struct flatiommu_alloc arg = {
		.size = sizeof(arg),
		.flags = below(d, 4) ? 0 : below(d, 4),
		.function = flat_function(device(d)),
		.address_bits = bits[below(d, 5)],
		.node = (int)below(d, 3) - 1,
		.length = length(d),
	};
	int ret;

	mutate(d, &arg, sizeof(arg));
	/* The machine has other work to do. */
	if (arg.length > SLOT && arg.length < 1ull << 36)
		arg.length = SLOT;
	ret = flat_call(one_of(d, flats), FLATIOMMU_ALLOC, &arg);
	if (ret)
		return ret;
	/* A part of a huge page cannot be replaced: 6.1 says ENOMEM of that. */
	if (one_in(d, 2) && mmap(arena + below(d, SLOTS) * SLOT, PAGE * (1 + below(d, 4)), PROT_READ | PROT_WRITE,
				 MAP_SHARED | (one_in(d, 8) ? 0 : MAP_FIXED), arg.out_fd,
				 (off_t)(below(d, 4) * PAGE)) == MAP_FAILED && errno != EINVAL && errno != ENOMEM)
		ret = -EPROTO;
	return keep(d, buffers, arg.out_fd) ? -EPROTO : ret;
}

static int do_buffer(struct dice *d)
{
	struct flatiommu_buffer arg = { .size = sizeof(arg) };
	int ret;

	mutate(d, &arg, sizeof(arg));
	ret = flat_call(one_of(d, buffers), FLATIOMMU_BUFFER, &arg);
	return !ret && arg.size == sizeof(arg) && (!arg.out_length || !arg.out_id) ? -EPROTO : ret;
}

/* What it writes must fit what it was asked. */
static int do_history(struct dice *d)
{
	struct flatiommu_event events[8];
	struct flatiommu_history arg = {
		.size = sizeof(arg),
		.function = flat_function(device(d)),
		.nr_events = 1 + below(d, 8),
		.first = below(d, 64),
		.events = (uintptr_t)events,
	};
	uint64_t asked;
	uint32_t room;
	int ret;

	mutate(d, &arg, sizeof(arg));
	if (arg.nr_events > 8 && arg.events == (uintptr_t)events)
		arg.events = (uintptr_t)arena;
	room = arg.nr_events;
	asked = arg.first;
	ret = flat_call(one_of(d, flats), FLATIOMMU_HISTORY, &arg);
	if (ret)
		return ret;
	/* It may be more than are kept at a time: events are recorded while they are read. */
	return arg.nr_events > room || arg.first < asked ? -EPROTO : 0;
}

static int do_who(struct dice *d)
{
	struct flatiommu_event events[8];
	struct flatiommu_who arg = {
		.size = sizeof(arg),
		.nr_events = 1 + below(d, 8),
		.address = one_in(d, 2) ? 0 : boundary(d),
		.length = boundary(d),
		.events = (uintptr_t)events,
	};
	uint32_t room;
	int ret;

	mutate(d, &arg, sizeof(arg));
	if (arg.nr_events > 8 && arg.events == (uintptr_t)events)
		arg.events = (uintptr_t)arena;
	room = arg.nr_events;
	ret = flat_call(one_of(d, flats), FLATIOMMU_WHO, &arg);
	if (ret)
		return ret;
	return arg.nr_events > room || arg.nr_events > arg.out_events ? -EPROTO : 0;
}

static int do_quiet(struct dice *d)
{
	struct flatiommu_function functions[2] = { flat_function(device(d)), flat_function(device(d)) };
	struct flatiommu_quiet arg = {
		.size = sizeof(arg),
		.nr_functions = below(d, 3),
		.functions = (uintptr_t)functions,
	};

	mutate(d, &arg, sizeof(arg));
	return flat_call(one_of(d, flats), FLATIOMMU_QUIET, &arg);
}

/* Each call of the table, as it should be and then changed, on whatever function and memory. */
static int do_call(struct dice *d)
{
	struct flatiommu_function function = flat_function(device(d));
	const struct call *call = &calls[below(d, nr_calls)];
	union call_argument arg;
	int ret;

	arg = call_argument(call->number, &function, memory(d), arena);
	mutate(d, &arg, call->size);
	/* The machine has other work to do. */
	if (call->number == FLATIOMMU_ALLOC && arg.alloc.length < 1ull << 36)
		arg.alloc.length %= SLOT;
	ret = flat_call(one_of(d, flats), call->number, &arg);
	if (!ret && call->number == FLATIOMMU_ALLOC)
		ret = keep(d, buffers, arg.alloc.out_fd) ? -EPROTO : 0;
	if (!ret || is_in(-ret, call->may) || is_in(-ret, general))
		return ret;
	printf("# %s is %s\n", call->name, errno_name(ret));
	return -EPROTO;
}

/* Any size and any content, at the end of a page before a hole or where nothing is. */
static int do_raw(struct dice *d)
{
	uint32_t words[64], i, cmd = _IO(FLATIOMMU_TYPE, 0x80 + below(d, 16));
	void *arg = words;

	for (i = 0; i < 64; i++)
		words[i] = one_in(d, 2) ? 0 : (uint32_t)boundary(d);
	words[0] = one_in(d, 2) ? 4 * below(d, 64) : (uint32_t)boundary(d);
	words[1] = below(d, 4);
	if (one_in(d, 8))
		cmd = (uint32_t)any(d);
	if (one_in(d, 4))
		arg = one_in(d, 2) ? memory(d) + PAGE - 8 : (void *)(uintptr_t)boundary(d);
	/* Not one that may be of another kind of file by now: TIOCSTI and the like. */
	if (_IOC_TYPE(cmd) != FLATIOMMU_TYPE)
		cmd = _IOC(_IOC_DIR(cmd), FLATIOMMU_TYPE, _IOC_NR(cmd), _IOC_SIZE(cmd));
	return flat_call(one_of(d, flats), cmd, arg);
}

static int do_close(struct dice *d)
{
	int *at = &kinds[below(d, ARRAY_SIZE(kinds))][below(d, FDS)], fd = *at;

	*at = -1;
	return result(close(fd));
}

static int do_mmap(struct dice *d)
{
	static const int flags[] = { MAP_PRIVATE, MAP_PRIVATE, MAP_SHARED, MAP_PRIVATE | MAP_HUGETLB };
	int kind = flags[below(d, 4)];
	size_t size = kind & MAP_HUGETLB ? SLOT : length(d);
	char *at = arena + below(d, SLOTS) * SLOT;

	return mmap(at, size, PROT_READ | (one_in(d, 8) ? 0 : PROT_WRITE), MAP_ANONYMOUS | MAP_FIXED | kind,
		    -1, 0) == MAP_FAILED ? -errno : 0;
}

static int do_munmap(struct dice *d)
{
	return result(munmap(memory(d), length(d)));
}

static int do_mremap(struct dice *d)
{
	size_t size = PAGE * (1 + below(d, 2));

	return mremap(memory(d), size, size, MREMAP_MAYMOVE | MREMAP_FIXED, memory(d)) == MAP_FAILED ?
	       -errno : 0;
}

static int do_mprotect(struct dice *d)
{
	return result(mprotect(memory(d), PAGE, one_in(d, 2) ? PROT_READ : PROT_READ | PROT_WRITE));
}

static int do_madvise(struct dice *d)
{
	return result(madvise(memory(d), PAGE, one_in(d, 2) ? MADV_DONTNEED : MADV_POPULATE_WRITE));
}

/*
 * A child that has our files, calls something and is gone after its parent, or before. Its end must not be
 * the end of a group, which nothing here waits for.
 */
static int do_fork(struct dice *d)
{
	int i, done[2], ret;
	char byte;
	pid_t pid;

	if (pipe(done))
		return -errno;
	pid = fork();
	if (pid) {
		close(done[1]);
		ret = pid < 0 || read(done[0], &byte, 1) ? -errno : 0;
		close(done[0]);
		return ret;
	}
	for (i = 0; i < FDS; i++) {
		close(containers[i]);
		close(groups[i]);
		close(fds[i]);
	}
	close(done[1]);
	do_unpin(d);
	do_info(d);
	usleep(below(d, 30000));
	_exit(0);
}

/* The file of a descriptor that is closed on its way. */
static int do_pass(struct dice *d)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int fd = one_of(d, flats);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (sendmsg(passing[0], &message, MSG_DONTWAIT) < 0)
		return -errno;
	/* Else it is left for the end of the process. */
	if (one_in(d, 2) && recvmsg(passing[1], &message, MSG_DONTWAIT) == 1 &&
	    (header = CMSG_FIRSTHDR(&message))) {
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
		keep(d, flats, fd);
	}
	return 0;
}

static int do_container(struct dice *d)
{
	return keep(d, containers, vfio_container());
}

static int do_group(struct dice *d)
{
	return keep(d, groups, vfio_group(devices[below(d, 2)]));
}

static int do_set_container(struct dice *d)
{
	return vfio_set_container(one_of(d, groups), one_of(d, containers));
}

static int do_unset_container(struct dice *d)
{
	return vfio_unset_container(one_of(d, groups));
}

static int do_set_iommu(struct dice *d)
{
	return vfio_set_iommu(one_of(d, containers));
}

static int do_device(struct dice *d)
{
	int fd = ioctl(one_of(d, groups), VFIO_GROUP_GET_DEVICE_FD, devices[below(d, 2)]);

	return keep(d, fds, fd < 0 ? -errno : fd);
}

/* All of the way, as without luck it is long; what has come so far stays where it is in use. */
static int do_open_vfio(struct dice *d)
{
	const char *bdf = devices[below(d, 2)];
	int container = vfio_container(), group, ret, fd = -1;

	if (container < 0)
		return container;
	group = vfio_group(bdf);
	ret = group < 0 ? group : vfio_set_container(group, container);
	if (!ret)
		ret = vfio_set_iommu(container);
	if (!ret) {
		fd = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);
		ret = fd < 0 ? -errno : 0;
	}
	if (ret) {
		close(container);
		close(group);
		return ret;
	}
	keep(d, containers, container);
	keep(d, groups, group);
	return keep(d, fds, fd);
}

static int do_map_at_bus(struct dice *d)
{
	char *addr = memory(d);

	return vfio_map(one_of(d, containers), addr, bus_address(addr), PAGE);
}

static int do_map(struct dice *d)
{
	char *addr = memory(d);
	uint64_t iova = iova_of(d, addr);

	return one_in(d, 4) ? vfio_map_read(one_of(d, containers), addr, iova, length(d)) :
	       vfio_map(one_of(d, containers), addr, iova, length(d));
}

static int do_unmap(struct dice *d)
{
	uint64_t done;
	int container = one_of(d, containers);

	if (one_in(d, 4))
		return vfio_unmap_all(container, &done);
	return vfio_unmap_some(container, iova_of(d, memory(d)), length(d), &done);
}

static int do_master(struct dice *d)
{
	struct vfio_dev v = { .fd = one_of(d, fds), .config = (uint64_t)VFIO_PCI_CONFIG_REGION_INDEX << 40 };

	return vfio_set_bus_master(&v, !one_in(d, 4));
}

static int store(struct dice *d, const char *path, const char *right)
{
	char text[64];
	size_t size = strlen(right);
	unsigned int n = one_in(d, 2) ? 0 : 1 + below(d, 3);

	strcpy(text, right);
	while (n--)
		switch (below(d, 3)) {
		case 0: text[below(d, (unsigned int)size)] = (char)(1 + below(d, 255)); break;
		case 1: text[below(d, (unsigned int)size)] = "0123456789abcdef:./,=+wchold\n "[below(d, 30)]; break;
		case 2: text[1 + below(d, (unsigned int)size)] = '\0'; break;
		}
	return write_text(path, text);
}

static int do_claim(struct dice *d)
{
	static const char *const texts[] = { TESTDEV, TESTDEV "\n", SHM "/wc=2", TESTDEV "/wc=2", TESTDEV "/hold/fence", EDU,
					     BRIDGE };

	return store(d, MISC "claim", texts[below(d, ARRAY_SIZE(texts))]);
}

static int do_release(struct dice *d)
{
	static const char *const texts[] = { TESTDEV, TESTDEV "\n", SHM, EDU };

	return store(d, MISC "release", texts[below(d, ARRAY_SIZE(texts))]);
}

static int do_parameter(struct dice *d)
{
	static const char *const texts[] = {
		"Y", "N", "warn", "fence", "0", "5", "free", "hold", "64K", "256M", "oldest", "fence",
	};
	static const char *const files[] = {
		PARAMETERS "auto", PARAMETERS "on_refusal", PARAMETERS "history", PARAMETERS "on_unmap",
		PARAMETERS "hold_limit", PARAMETERS "on_hold_full",
	};
	unsigned int i = below(d, ARRAY_SIZE(texts));

	return store(d, files[i / 2], texts[i]);
}

static int do_refusals(struct dice *d)
{
	char text[8192];
	int ret = read_text(MISC "refusals", text, 1 + below(d, sizeof(text) - 1));

	return ret < 0 ? ret : 0;
}

enum guard { ANY_TIME, USES, CHANGES };

static const struct step {
	const char *name;
	int (*fn)(struct dice *d);
	unsigned int weight;
	const int *may;
	enum guard guard;
	unsigned long number;		/* whose row in lib/calls.c has the errors */
} steps[] = {
	{ "open", do_open, 5, MAY(EMFILE), CHANGES, 0 },
	{ "INFO", do_info, 6, NULL, ANY_TIME, FLATIOMMU_INFO },
	{ "DECLARE", do_declare, 8, NULL, ANY_TIME, FLATIOMMU_DECLARE },
	{ "LOOKUP", do_lookup, 12, NULL, ANY_TIME, FLATIOMMU_LOOKUP },
	{ "LOOKUP of a pin", do_lookup_pin, 12, NULL, ANY_TIME, FLATIOMMU_LOOKUP },
	{ "PIN", do_pin, 16, NULL, ANY_TIME, FLATIOMMU_PIN },
	{ "UNPIN", do_unpin, 8, NULL, ANY_TIME, FLATIOMMU_UNPIN },
	{ "ALLOC", do_alloc, 8, NULL, ANY_TIME, FLATIOMMU_ALLOC },
	{ "BUFFER", do_buffer, 3, MAY(ENOTTY), ANY_TIME, 0 },
	{ "HISTORY", do_history, 4, NULL, ANY_TIME, FLATIOMMU_HISTORY },
	{ "WHO", do_who, 2, NULL, ANY_TIME, FLATIOMMU_WHO },
	{ "QUIET", do_quiet, 3, NULL, ANY_TIME, FLATIOMMU_QUIET },
	{ "any call", do_call, 8, NULL, ANY_TIME, 0 },
	{ "anything", do_raw, 8, MAY(EPERM, ENODEV, ENOENT, ENODATA), ANY_TIME, 0 },
	{ "close", do_close, 4, NULL, CHANGES, 0 },
	{ "mmap", do_mmap, 8, NULL, ANY_TIME, 0 },
	{ "munmap", do_munmap, 3, NULL, ANY_TIME, 0 },
	{ "mremap", do_mremap, 3, NULL, ANY_TIME, 0 },
	{ "mprotect", do_mprotect, 2, NULL, ANY_TIME, 0 },
	{ "madvise", do_madvise, 2, NULL, ANY_TIME, 0 },
	{ "fork", do_fork, 1, NULL, CHANGES, 0 },
	{ "pass a file", do_pass, 2, NULL, CHANGES, 0 },
	{ "container", do_container, 1, NULL, CHANGES, 0 },
	{ "group", do_group, 2, NULL, CHANGES, 0 },
	{ "SET_CONTAINER", do_set_container, 5, NULL, CHANGES, 0 },
	{ "UNSET_CONTAINER", do_unset_container, 1, NULL, CHANGES, 0 },
	{ "SET_IOMMU", do_set_iommu, 4, NULL, CHANGES, 0 },
	{ "GET_DEVICE_FD", do_device, 4, NULL, CHANGES, 0 },
	{ "all of VFIO's way", do_open_vfio, 4, NULL, CHANGES, 0 },
	{ "MAP_DMA at the bus address", do_map_at_bus, 8, NULL, USES, 0 },
	{ "MAP_DMA", do_map, 12, NULL, USES, 0 },
	{ "UNMAP_DMA", do_unmap, 4, NULL, USES, 0 },
	{ "bus mastering", do_master, 6, NULL, USES, 0 },
	{ "claim", do_claim, 4, MAY(EPERM, ENODEV, EAGAIN, EEXIST, EBUSY, EALREADY, ENXIO, EADDRINUSE), ANY_TIME, 0 },
	{ "release", do_release, 4, MAY(ENODEV, ENOENT, EBUSY), ANY_TIME, 0 },
	{ "parameters", do_parameter, 1, MAY(EPERM), ANY_TIME, 0 },
	{ "refusals", do_refusals, 1, MAY(EPERM), ANY_TIME, 0 },
};

struct counts {
	atomic_ulong of[ARRAY_SIZE(steps)][ERRNOS];
	atomic_ulong wrong;
};

static struct counts *counts;
/* Calls of a thread. */
static unsigned int calls_each;

struct thread {
	pthread_t thread;
	struct dice dice;
};

static void *run_thread(void *arg)
{
	struct thread *t = arg;
	unsigned int i, n, sum = 0;
	const int *may;
	int error;

	for (n = 0; n < ARRAY_SIZE(steps); n++)
		sum += steps[n].weight;
	for (i = 0; i < calls_each; i++) {
		unsigned int at = below(&t->dice, sum);

		for (n = 0; at >= steps[n].weight; n++)
			at -= steps[n].weight;
		if (steps[n].guard == USES)
			pthread_rwlock_rdlock(&address_spaces);
		else if (steps[n].guard == CHANGES)
			pthread_rwlock_wrlock(&address_spaces);
		error = -steps[n].fn(&t->dice);
		if (steps[n].guard != ANY_TIME)
			pthread_rwlock_unlock(&address_spaces);
		atomic_fetch_add(&counts->of[n][error < ERRNOS ? error : ERRNOS - 1], 1);
		may = steps[n].number ? call_of(steps[n].number)->may : steps[n].may;
		/* EPROTO is what a step here says of a wrong answer. */
		if (error == EPROTO || (error && may && !is_in(error, may) && !is_in(error, general))) {
			printf("# call %u: %s is %s\n", i, steps[n].name, errno_name(-error));
			atomic_fetch_add(&counts->wrong, 1);
		}
	}
	return NULL;
}

static int sequence(void *arg)
{
	struct thread threads[THREADS];
	uint64_t seed = *(uint64_t *)arg;
	struct dice dice;
	unsigned int i;

	memset(flats, -1, sizeof(flats));
	memset(containers, -1, sizeof(containers));
	memset(groups, -1, sizeof(groups));
	memset(fds, -1, sizeof(fds));
	memset(buffers, -1, sizeof(buffers));
	signal(SIGCHLD, SIG_IGN);
	arena = mmap(NULL, (SLOTS + 1) * SLOT, PROT_NONE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
	if (arena == MAP_FAILED || socketpair(AF_UNIX, SOCK_DGRAM, 0, passing))
		return -ENOMEM;
	arena = (char *)(((uintptr_t)arena + SLOT - 1) & ~(SLOT - 1));
	for (i = 0; i < SLOTS / 2; i++)
		mmap(arena + i * SLOT, 64 * PAGE, PROT_READ | PROT_WRITE,
		     MAP_ANONYMOUS | MAP_PRIVATE | MAP_FIXED | MAP_POPULATE, -1, 0);
	/* Mostly what the calls work on is there from the start. */
	dice.state = seed;
	for (i = 0; i < FDS; i++)
		do_open(&dice);
	for (i = 0; i < 6 && !one_in(&dice, 8); i++) {
		do_open_vfio(&dice);
		do_declare(&dice);
	}
	for (i = 0; i < THREADS; i++) {
		threads[i].dice.state = seed + 1 + i;
		if (pthread_create(&threads[i].thread, NULL, run_thread, &threads[i]))
			return -ENOMEM;
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i].thread, NULL);
	return 0;
}

static bool is_balanced(void *arg)
{
	return pins() == *(long *)arg && !read_number(MISC "held");
}

/* Of whatever function, as a digit may be another one; 0 when the only claims are those of the devices. */
static int release_others(void)
{
	static const char claims[] = "/sys/class/iommu/flatiommu-";
	glob_t found;
	int ret = 0;
	size_t i;

	if (glob("/sys/class/iommu/flatiommu-*", 0, NULL, &found))
		return -ENOENT;
	for (i = 0; i < found.gl_pathc && !ret; i++) {
		const char *bdf = found.gl_pathv[i] + strlen(claims);

		if (!strcmp(bdf, EDU) || !strcmp(bdf, FN1))
			continue;
		ret = flat_release(bdf);
		if (ret)
			print_message("%s is still claimed: %s\n", bdf, errno_name(ret));
	}
	globfree(&found);
	return ret;
}

static bool groups_are_free(void *arg)
{
	int i, fd;

	(void)arg;
	for (i = 0; i < 2; i++) {
		fd = vfio_group(devices[i]);
		if (fd < 0)
			return false;
		close(fd);
	}
	return true;
}

static uint64_t parameter(const char *name, uint64_t otherwise)
{
	char text[4096], *at;

	if (read_text("/proc/cmdline", text, sizeof(text)) < 0)
		return otherwise;
	at = strstr(text, name);
	return at ? strtoull(at + strlen(name), NULL, 0) : otherwise;
}

/* Of what is not made up of anything, whose success is luck. */
static unsigned int never_succeeded(void)
{
	unsigned int n, never = 0;

	for (n = 0; n < ARRAY_SIZE(steps); n++)
		never += !counts->of[n][0] && steps[n].fn != do_raw;
	return never;
}

static unsigned long calls_made(void)
{
	unsigned long sum = 0;
	unsigned int n, error;

	for (n = 0; n < ARRAY_SIZE(steps); n++)
		for (error = 0; error < ERRNOS; error++)
			sum += counts->of[n][error];
	return sum;
}

static void nothing_is_left(void **state)
{
	uint64_t seed = parameter("fuzz_seed=", 1), at;
	uint64_t wanted = parameter("fuzz_calls=", DEFAULT_CALLS);
	struct dice dice;
	long before = pins();
	const char *left = NULL;
	pid_t pid;

	(void)state;
	print_message("seed: fuzz_seed=%llu\n", (unsigned long long)seed);
	for (at = seed; calls_made() < wanted || (calls_made() < 2 * wanted && never_succeeded());
	     at += calls_each * THREADS) {
		dice.state = ~at;
		pid = expect_good(child_begin(sequence, &at));
		if (one_in(&dice, 4)) {
			usleep(below(&dice, calls_each * 2000));
			kill(pid, SIGKILL);
			child_end(pid);
		} else {
			expect(0, child_end(pid));
		}
		if (atomic_load(&counts->wrong))
			left = "a wrong answer";
		else if (!wait_until(is_balanced, &before))
			left = "memory that is pinned";
		else if (!wait_until(groups_are_free, NULL))
			left = "a group in use";
		else if (release_others())
			left = "a claim";
		if (left) {
			print_error("fuzz_seed=%llu fuzz_sequence=%u fuzz_calls=1 left %s: %ld pins, before %ld\n",
				    (unsigned long long)at, calls_each, left, pins(), before);
			fail();
		}
		expect(0, write_text(PARAMETERS "auto", "Y"));
		expect(0, write_text(PARAMETERS "on_refusal", "warn"));
		expect(0, write_text(PARAMETERS "on_unmap", one_in(&dice, 2) ? "hold" : "free"));
	}
}

static void each_call_has_succeeded(void **state)
{
	unsigned int n;
	int error;

	(void)state;
	for (n = 0; n < ARRAY_SIZE(steps); n++) {
		char line[512];
		int size = snprintf(line, sizeof(line), "%s:", steps[n].name);

		for (error = 0; error < ERRNOS; error++) {
			unsigned long count = counts->of[n][error];

			if (count && (size_t)size < sizeof(line))
				size += snprintf(line + size, sizeof(line) - (size_t)size, " %s %lu",
						 error ? errno_name(-error) : "OK", count);
		}
		print_message("%s\n", line);
	}
	print_message("%lu calls\n", calls_made());
	assert_int_equal(never_succeeded(), 0);
}

static int make_dmabuf(void)
{
	struct udmabuf_create arg = { .flags = UDMABUF_FLAGS_CLOEXEC, .size = DMABUF_PAGES * PAGE };
	int node = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	int file = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING), fd = -1;

	arg.memfd = (uint32_t)file;
	if (node >= 0 && !ftruncate(file, (off_t)(DMABUF_PAGES * PAGE)) &&
	    !fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK))
		fd = ioctl(node, UDMABUF_CREATE, &arg);
	close(node);
	close(file);
	return fd;
}

static int begin(void **state)
{
	const char *const *device;
	int ret = flat_load();

	(void)state;
	if (!ret)
		ret = write_text(PARAMETERS "history", "50");
	for (device = devices; !ret && *device; device++)
		ret = pci_take(*device);
	counts = mem_shared((sizeof(*counts) + PAGE - 1) / PAGE);
	calls_each = (unsigned int)parameter("fuzz_sequence=", SEQUENCE);
	dmabuf = make_dmabuf();
	iommu_groups[0] = pci_group(EDU);
	iommu_groups[1] = pci_group(FN1);
	return ret || !counts ? -1 : huge_pages(8);
}

static int end(void **state)
{
	(void)state;
	release_others();
	huge_pages(0);
	return flat_end(devices);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_left),
		cmocka_unit_test(each_call_has_succeeded),
	};

	return run_group(tests, begin, end);
}
