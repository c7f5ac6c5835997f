// SPDX-License-Identifier: MIT
/*
 * Memory is pinned for one function, which represents all: pagemap has one answer, so the others
 * must see memory at the same addresses. The end of these pins stops no function
 * (FLATIOMMU_PIN_NO_STOP).
 *
 * Each function that the program uses has a pin of its own, of a page of this library (the anchor).
 * When the file is closed, the kernel stops the function because of that pin, before it unpins any
 * of the program's memory.
 *
 * A child has the parent's node open, too, so the child's end stops no function of a parent that
 * lives. If the parent has ended, as when a program becomes a daemon, the child's own node gets
 * pins for the parent's functions.
 */
#include "node.h"

#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <time.h>

#include "functions.h"
#include "raw.h"
#include "scan.h"
#include "say.h"

#define NODE "/dev/flatiommu"
/* Above the file descriptors that programs choose themselves. */
#define HIGH_FD 500
#define MOST_USED 64
/* Nodes of this process and of those that it was forked from. */
#define MOST_NODES 16

/**
 * struct used - a function that the program has opened
 * @function:	its address
 * @pin:	the pin that stops it, or 0: not yet tried, another program has it, or it has failed
 * @tried:	a pin was tried
 * @parent:	the process that this one was forked from, and that stops the function; or 0
 */
struct used {
	struct flatiommu_function function;
	uint32_t pin;
	bool tried;
	pid_t parent;
};

/* A file of this library. Its number may be another file's by now. */
struct own {
	dev_t device;
	ino_t inode;
};

static struct own own_node, own_map;
static int nodes[MOST_NODES];
static unsigned int nr_nodes;
static int node = -1, map = -1;
static int failure;			/* why there is no node, or no function */
static bool may_try = true;
static struct flatiommu_function told;	/* the function that represents all */
static struct flatiommu_function odd;	/* sees memory elsewhere, if is_odd: no answer then */
static bool has_told, is_odd;
static void *anchor;			/* the page of the pins that stop functions */
static uint64_t anchor_address;
static struct used used[MOST_USED];
static unsigned int nr_used;

unsigned int node_page_shift(void)
{
	static unsigned int shift;

	if (!shift)
		shift = (unsigned int)__builtin_ctzl(getauxval(AT_PAGESZ));
	return shift;
}

static uint64_t page_size(void)
{
	return 1ull << node_page_shift();
}

static int call(unsigned long request, void *arg)
{
	return (int)raw(SYS_ioctl, node, request, arg);
}

/* Moves a file of ours to a high number, out of the program's way. */
static int move_up(int fd)
{
	long high;

	if (fd < 0)
		return fd;
	high = raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH_FD);
	if (high < 0)
		return fd;
	raw_close(fd);
	return (int)high;
}

/* Puts the file's identity into @own. */
static int know(int fd, struct own *own)
{
	struct stat st;

	if (fd >= 0 && !raw(SYS_fstat, fd, &st))
		*own = (struct own){ st.st_dev, st.st_ino };
	return fd;
}

static bool is_own(int fd, const struct own *own)
{
	struct stat st;

	return !raw(SYS_fstat, fd, &st) && st.st_dev == own->device && st.st_ino == own->inode;
}

static int pin_for(const struct flatiommu_function *function, void *memory, uint64_t length,
		   uint32_t flags, struct flatiommu_pin *pin, struct answer *answer)
{
	int ret;

	*pin = (struct flatiommu_pin){
		.size = sizeof(*pin),
		.flags = flags,
		.nr_functions = 1,
		.functions = (uintptr_t)function,
		.vaddr = (uintptr_t)memory,
		.length = length,
		.nr_segments = NODE_SEGMENTS,
		.segments = (uintptr_t)answer->segments,
	};
	ret = call(FLATIOMMU_PIN, pin);
	if (ret)
		return ret;
	answer->pin = pin->out_pin;
	answer->nr = pin->nr_segments;
	answer->pages = pin->out_length >> node_page_shift();
	return 0;
}

/* Pins the anchor for a function. @wait: tries again while the function is being bound (-EBUSY). */
static int pin_anchor(const struct flatiommu_function *function, uint32_t flags, bool wait,
		      struct answer *answer)
{
	const struct timespec moment = { .tv_nsec = 20000000 };
	struct flatiommu_pin pin;
	int ret, i;

	if (!anchor)
		anchor = raw_memory(page_size());
	if (!anchor)
		return -ENOMEM;
	for (i = 0; i < 50; i++) {
		ret = pin_for(function, anchor, page_size(), flags, &pin, answer);
		if (ret != -EBUSY || !wait)
			break;
		raw(SYS_nanosleep, &moment, NULL);
	}
	return ret;
}

static void compare(const struct flatiommu_function *function, uint64_t address)
{
	if (address == anchor_address)
		return;
	odd = *function;
	is_odd = true;
}

static struct answer anchor_answer;

/*
 * The first function for which a pin succeeds represents all. The anchor's address for each other
 * function is compared with that.
 */
static bool try_function(const char *address)
{
	struct flatiommu_info info = { .size = sizeof(info), .flags = FLATIOMMU_INFO_FUNCTION };
	int ret;

	if (!function_of(address, &info.function) || call(FLATIOMMU_INFO, &info) ||
	    !(info.out_state & FLATIOMMU_STATE_BUS_ADDRESSES))
		return true;
	if (!(info.out_state & FLATIOMMU_STATE_CLAIMED) && !function_is_on_uio(address))
		return true;
	ret = pin_anchor(&info.function, FLATIOMMU_PIN_NO_STOP, true, &anchor_answer);
	if (ret) {
		failure = ret;
		return true;
	}
	if (has_told) {
		compare(&info.function, anchor_answer.segments[0].address);
		node_unpin(anchor_answer.pin);
		return true;
	}
	/* Keep this pin, so that the module knows the function. */
	told = info.function;
	anchor_address = anchor_answer.segments[0].address;
	has_told = true;
	return true;
}

static int look_up(const struct flatiommu_function *function, uint64_t offset, uint64_t pages,
		   unsigned int most, struct answer *answer)
{
	struct flatiommu_lookup lookup = {
		.size = sizeof(lookup),
		.flags = FLATIOMMU_LOOKUP_PIN,
		.function = *function,
		.pin = answer->pin,
		.nr_segments = most,
		.start = offset << node_page_shift(),
		.length = pages << node_page_shift(),
		.segments = (uintptr_t)answer->segments,
	};
	int ret = call(FLATIOMMU_LOOKUP, &lookup);

	answer->nr = lookup.nr_segments;
	answer->pages = lookup.length >> node_page_shift();
	return ret;
}

/* Does a pin stop the function? A pin for an unplugged one does not stop the next one there. */
static bool is_guarded(const struct used *u)
{
	anchor_answer.pin = u->pin;
	return u->pin && !look_up(&u->function, 0, 1, 1, &anchor_answer);
}

/* Does a process live? Returns true, too, if another process has got its ID. */
static bool is_alive(pid_t pid)
{
	return raw(SYS_kill, pid, 0) != -ESRCH;
}

/* Pins the anchor for a function, to stop it. If another program has it, that program stops it. */
static void guard(struct used *u)
{
	int ret;

	if (!has_told || (u->parent && is_alive(u->parent)) || is_guarded(u))
		return;
	u->parent = 0;
	if (u->pin)
		node_unpin(u->pin);
	u->pin = 0;
	ret = pin_anchor(&u->function, 0, !u->tried, &anchor_answer);
	u->tried = true;
	if (!ret) {
		compare(&u->function, anchor_answer.segments[0].address);
		u->pin = anchor_answer.pin;
	} else if (ret != -EPERM && ret != -EALREADY) {
		say("%04x:%02x:%02x.%x is not stopped when this program dies: %s", u->function.segment,
		    u->function.bus, u->function.devfn >> 3, u->function.devfn & 7, strerrordesc_np(-ret));
	}
}

/* Pins the anchor for the functions of a parent that has ended. */
static void guard_left(void)
{
	unsigned int i;

	for (i = 0; i < nr_used; i++)
		if (used[i].parent)
			guard(&used[i]);
}

static void find_function(void)
{
	unsigned int i;

	has_told = false;
	is_odd = false;
	failure = -ENODEV;
	functions_each(try_function);
	for (i = 0; i < nr_used; i++)
		guard(&used[i]);
}

/* Opens the node and finds a function. After a failure it tries again when a pagemap is opened. */
static int begin(void)
{
	if (node < 0) {
		if (!may_try)
			return failure;
		may_try = false;
		if (nr_nodes == MOST_NODES)
			return failure = -EMFILE;
		node = know(move_up(raw_open(NODE, O_RDWR)), &own_node);
		if (node < 0)
			return failure = node;
		nodes[nr_nodes] = node;
		/* Another thread may fork between these two stores. */
		__atomic_store_n(&nr_nodes, nr_nodes + 1, __ATOMIC_RELEASE);
		find_function();
	} else if (!has_told && may_try) {
		may_try = false;
		find_function();
	}
	if (is_odd)
		return -EXDEV;
	return has_told ? 0 : failure;
}

/* Opens pagemap if it is not open. Returns 0 or -errno. */
static int open_map(void)
{
	if (map < 0)
		map = know(move_up(raw_open("/proc/self/pagemap", O_RDONLY)), &own_map);
	return map < 0 ? map : 0;
}

static int pin_with(uint64_t page, uint64_t pages, struct answer *answer)
{
	void *memory = (void *)(uintptr_t)(page << node_page_shift());
	uint64_t length = pages << node_page_shift();
	struct flatiommu_pin pin;
	int ret;

	ret = pin_for(&told, memory, length, FLATIOMMU_PIN_NO_STOP, &pin, answer);
	/* Memory that the program cannot write to is pinned read-only. */
	if (ret == -EFAULT)
		ret = pin_for(&told, memory, length, FLATIOMMU_PIN_NO_STOP | FLATIOMMU_PIN_READ_ONLY, &pin,
			      answer);
	return ret;
}

int node_pin(uint64_t page, uint64_t pages, struct answer *answer)
{
	int ret = begin();

	if (ret)
		return ret;
	guard_left();
	/* Before a child of vfork() opens it, which has this memory, but files of its own. */
	open_map();
	ret = pin_with(page, pages, answer);
	if (ret != -ENODEV)
		return ret;
	/* The function was unplugged: find another one. */
	find_function();
	return has_told && !is_odd ? pin_with(page, pages, answer) : ret;
}

int node_look_up(uint64_t offset, uint64_t pages, unsigned int most, struct answer *answer)
{
	return look_up(&told, offset, pages, most, answer);
}

void node_unpin(uint32_t pin)
{
	struct flatiommu_unpin unpin = { .size = sizeof(unpin), .pin = pin };

	call(FLATIOMMU_UNPIN, &unpin);
}

int node_are_present(uint64_t page, uint64_t pages, bool *shared)
{
	uint64_t start = page << node_page_shift(), end = (page + pages) << node_page_shift();
	int ret = open_map();

	return ret ? ret : scan_present(map, start, end, shared);
}

int node_read(uint64_t page, uint64_t *entries, size_t n)
{
	long ret = open_map();

	if (ret)
		return (int)ret;
	ret = raw(SYS_pread64, map, entries, n * sizeof(*entries), page * sizeof(*entries));
	if (ret < 0)
		return (int)ret;
	/* Entries after the end of the address space are 0. */
	memset((char *)entries + ret, 0, n * sizeof(*entries) - (size_t)ret);
	return 0;
}

uint64_t node_count_there(uint64_t page, uint64_t n, bool *there)
{
	/* What mincore() does not write for pages after one that is not mapped at all. */
	enum { UNKNOWN = 2 };
	static unsigned char states[512];
	uint64_t i;

	if (n > sizeof(states))
		n = sizeof(states);
	memset(states, UNKNOWN, n);
	raw(SYS_mincore, page << node_page_shift(), n << node_page_shift(), states);
	*there = states[0] != UNKNOWN && states[0] & 1;
	for (i = 1; i < n && states[i] == states[0] && states[i] != UNKNOWN; i++)
		;
	return i;
}

/* Does @path belong to a function? Opens the node if only the node knows it: for a group. */
static bool is_function(const char *path, struct flatiommu_function *function)
{
	const char *group = group_behind(path);
	int asked;
	bool is;

	if (!group)
		return function_behind(path, function);
	if (node >= 0)
		return function_of_group(group, node, function);
	asked = raw_open(NODE, O_RDWR);
	if (asked < 0)
		return false;
	is = function_of_group(group, asked, function);
	raw_close(asked);
	return is;
}

void node_uses(const char *path)
{
	struct flatiommu_function function;
	unsigned int i;

	if (!is_function(path, &function))
		return;
	for (i = 0; i < nr_used; i++)
		if (!memcmp(&used[i].function, &function, sizeof(function)))
			break;
	if (i == MOST_USED) {
		say("more than %d functions are open: the others are not stopped when this program dies",
		    MOST_USED);
		return;
	}
	if (i == nr_used)
		used[nr_used++] = (struct used){ .function = function };
	used[i].parent = 0;
	if (node >= 0)
		guard(&used[i]);
}

/* Returns the lowest number from @fd on that a file of this library had at first, or -1. */
static int next_of(int fd)
{
	int next = map >= fd ? map : -1;
	unsigned int i;

	for (i = 0; i < nr_nodes; i++)
		if (nodes[i] >= fd && (next < 0 || nodes[i] < next))
			next = nodes[i];
	return next;
}

bool node_has(int fd)
{
	return fd >= 0 && next_of(fd) == fd && (is_own(fd, &own_node) || is_own(fd, &own_map));
}

int node_next(int fd)
{
	int next;

	while ((next = next_of(fd)) >= 0 && !node_has(next))
		fd = next + 1;
	return next;
}

bool node_is_lost(void)
{
	unsigned int i, left = 0;

	if (node < 0 || is_own(node, &own_node))
		return false;
	if (!is_own(map, &own_map))
		map = -1;
	node = -1;
	/* A parent's may still be open. */
	for (i = 0; i < nr_nodes; i++)
		if (is_own(nodes[i], &own_node))
			nodes[left++] = nodes[i];
	nr_nodes = left;
	has_told = false;
	may_try = true;
	for (i = 0; i < nr_used; i++) {
		used[i].pin = 0;
		used[i].tried = false;
	}
	return true;
}

int node_make_way(int fd)
{
	int to = (int)raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH_FD);
	unsigned int i;

	/* RLIMIT_NOFILE may be lower. Leave 0 to 2 to the program. */
	if (to < 0)
		to = (int)raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (to < 0)
		return to;
	for (i = 0; i < nr_nodes; i++)
		if (nodes[i] == fd)
			nodes[i] = to;
	if (node == fd)
		node = to;
	if (map == fd)
		map = to;
	/* The program's call closes @fd. */
	return 0;
}

void node_forget(pid_t parent)
{
	unsigned int i;

	node = -1;
	if (map >= 0 && is_own(map, &own_map))
		raw_close(map);
	map = -1;
	has_told = false;
	is_odd = false;
	may_try = true;
	for (i = 0; i < nr_used; i++) {
		if (used[i].pin)
			used[i].parent = parent;
		used[i].pin = 0;
		used[i].tried = false;
	}
}

void node_retry(void)
{
	may_try = true;
}

void node_say(int err, uint64_t page, uint64_t pages)
{
	unsigned long long addr = page << node_page_shift(), length = pages << node_page_shift();
	const char *error = strerrordesc_np(-err);

	if (!has_told && err == -EPERM)
		say(NODE ": %s: no address is told. Cure: CAP_SYS_RAWIO, and a cgroup that allows the node", error);
	else if (!has_told && (err == -ENOENT || err == -ENXIO))
		say(NODE ": %s: no address is told. Cure: modprobe flatiommu; for a container, --device " NODE,
		    error);
	else if (!has_told && err == -ENODEV)
		say("no function is claimed or on a uio driver: no address is told. Cure: flatiommu bind DEVICE");
	else if (!has_told && err == -EOPNOTSUPP)
		say("flatiommu.ko is older than this library: no address is told. Cure: load the one of its version");
	else if (!has_told && err != -ENOMEM)
		say(NODE ": %s: no address is told", error);
	else if (err == -EXDEV)
		say("%04x:%02x:%02x.%x sees memory at other addresses than another function, and pagemap has one: none is told. Cure: bind one of them alone",
		    odd.segment, odd.bus, odd.devfn >> 3, odd.devfn & 7);
	else if (err == -ENOMEM)
		say("%#llx: %llu bytes cannot be pinned: RLIMIT_MEMLOCK, or no memory that stays. Cure: ulimit -l unlimited, or CAP_IPC_LOCK",
		    addr, length);
	else if (err == -EPERM)
		say("%#llx: %llu bytes cannot be pinned: CAP_SYS_RAWIO was dropped. Cure: keep it as long as pagemap is read",
		    addr, length);
	else if (err == -EFAULT)
		say("%#llx: %llu bytes cannot be pinned: it is a device's, or a file's on a disk. Cure: hugetlbfs, shared or anonymous memory",
		    addr, length);
	else
		say("%#llx: %llu bytes cannot be pinned: %s", addr, length, error);
}
