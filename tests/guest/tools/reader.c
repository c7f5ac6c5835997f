// SPDX-License-Identifier: MIT
/*
 * reader WHAT: reads pagemap as drivers do, only with functions of libc, and compares the answers with the kernel's, which it
 * reads with system calls. Prints ok, or the difference.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mempolicy.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul
#define HUGE (2ul << 20)
#define PRESENT (1ull << 63)
#define FRAME ((1ull << 55) - 1)

#define CHECK(is_so) do { if (!(is_so)) die("line %d: not so: %s", __LINE__, #is_so); } while (0)

static void die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	exit(1);
}

static long number_of(const char *file, const char *name)
{
	char line[256];
	FILE *f = fopen(file, "r");
	long n = -1;

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			n = strtol(line + strlen(name), NULL, 10);
	if (f)
		fclose(f);
	return n;
}

static long pinned(void)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY);

	if (fd < 0 || write(fd, "1", 1) != 1)
		die("stat_refresh");
	close(fd);
	return number_of("/proc/vmstat", "nr_foll_pin_acquired") -
	       number_of("/proc/vmstat", "nr_foll_pin_released");
}

/* What the kernel has, as CAP_SYS_ADMIN sees it. */
static void truth(const void *addr, uint64_t *entries, size_t n)
{
	long fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY);

	if (syscall(SYS_pread64, fd, entries, n * 8, (uintptr_t)addr / PAGE * 8) != (long)n * 8)
		die("pagemap itself: %s", strerror(errno));
	syscall(SYS_close, fd);
}

static uint64_t frame(const void *addr)
{
	uint64_t entry;

	truth(addr, &entry, 1);
	return entry & FRAME;
}

static void *map(size_t size, int flags)
{
	char *addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);

	if (addr == MAP_FAILED || madvise(addr, size, MADV_POPULATE_WRITE))
		die("mmap: %s", strerror(errno));
	return addr;
}

/* Each of the readers: open once, a page each; all at once; open for each; stdio; a thread's own file. */
static void read_each(const char *addr, uint64_t *entries, size_t n)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	size_t i;

	for (i = 0; i < n; i++)
		CHECK(pread(fd, &entries[i], 8, (off_t)(((uintptr_t)addr / PAGE + i) * 8)) == 8);
	close(fd);
}

static void read_bulk(const char *addr, uint64_t *entries, size_t n)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);

	CHECK(lseek(fd, (off_t)((uintptr_t)addr / PAGE * 8), SEEK_SET) > 0);
	CHECK(read(fd, entries, n * 8) == (ssize_t)n * 8);
	close(fd);
}

static void read_anew(const char *addr, uint64_t *entries, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		read_bulk(addr + i * PAGE, &entries[i], 1);
}

static void read_stdio(const char *addr, uint64_t *entries, size_t n)
{
	FILE *f = fopen("/proc/self/pagemap", "rb");

	CHECK(f && !fseek(f, (long)((uintptr_t)addr / PAGE * 8), SEEK_SET));
	CHECK(fread(entries, 8, n, f) == n);
	fclose(f);
}

struct part {
	const char *addr;
	uint64_t *entries;
	size_t n;
};

static void *read_own(void *arg)
{
	const struct part *part = arg;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", gettid());
	fd = open(path, O_RDONLY);
	CHECK(pread(fd, part->entries, part->n * 8, (off_t)((uintptr_t)part->addr / PAGE * 8)) ==
	      (ssize_t)part->n * 8);
	close(fd);
	return NULL;
}

static void read_in_thread(const char *addr, uint64_t *entries, size_t n)
{
	struct part part = { addr, entries, n };
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, read_own, &part) && !pthread_join(thread, NULL));
}

static void (*const readers[])(const char *addr, uint64_t *entries, size_t n) = {
	read_in_thread, read_each, read_bulk, read_anew, read_stdio
};

/* Asks for the page on one node and on the other. Is it somewhere else then? */
static bool moves(char *addr)
{
	uint64_t before = frame(addr);
	void *page = addr;
	int node, status;

	for (node = 0; node < 2; node++) {
		syscall(SYS_move_pages, 0, 1, &page, &node, &status, MPOL_MF_MOVE);
		if (frame(addr) != before)
			return true;
	}
	return false;
}

/* It would, if it were not pinned: a machine of one node has nowhere to move it. */
static bool can_move(char *addr)
{
	return moves(addr) || access("/sys/devices/system/node/node1", F_OK);
}

static void is_told_and_pinned(char *addr, size_t size, bool may_move)
{
	const size_t n = size / PAGE;
	uint64_t *told = calloc(n, 8), *true_ones = calloc(n, 8);
	size_t reader, i;

	for (reader = 0; reader < sizeof(readers) / sizeof(*readers); reader++) {
		readers[reader](addr, told, n);
		truth(addr, true_ones, n);
		for (i = 0; i < n; i++)
			if (!(told[i] & PRESENT) || (told[i] & FRAME) != (true_ones[i] & FRAME))
				die("reader %zu, page %zu of %zu: told %#llx, and it is at %#llx", reader, i, n,
				    (unsigned long long)told[i], (unsigned long long)true_ones[i]);
		for (i = 0; may_move && i < n; i += n / 4 + 1)
			if (moves(addr + i * PAGE))
				die("reader %zu: page %zu has moved", reader, i);
	}
	free(told);
	free(true_ones);
}

static void kinds(void)
{
	char *page = map(32 * PAGE, MAP_PRIVATE), *huge;
	long before;

	CHECK(can_move(page));
	is_told_and_pinned(page, 32 * PAGE, true);
	is_told_and_pinned(map(32 * PAGE, MAP_SHARED), 32 * PAGE, true);
	huge = map(2 * HUGE, MAP_PRIVATE | MAP_HUGETLB);
	CHECK(can_move(huge));
	before = pinned();
	is_told_and_pinned(huge, 2 * HUGE, true);
	CHECK(pinned() == before + 2);
	is_told_and_pinned(map(2 * HUGE, MAP_SHARED | MAP_HUGETLB), 2 * HUGE, true);
	page = malloc(3 << 20);
	memset(page, 1, 3 << 20);
	is_told_and_pinned(page + 100 * PAGE, 200 * PAGE, true);
}

/* A program that closes all files without libc closes those of the library, too, and has their numbers then. */
static void lost(void)
{
	char *page = map(4 * PAGE, MAP_PRIVATE);
	uint64_t entries[4];
	int fd;

	read_bulk(page, entries, 4);
	CHECK(!syscall(SYS_close_range, 3, ~0u, 0));
	fd = fcntl(0, F_DUPFD, 500);
	CHECK(fcntl(0, F_DUPFD, 500) > fd);
	memset(entries, 0, sizeof(entries));
	read_bulk(page, entries, 4);
	CHECK(frame(page) == (entries[0] & FRAME) && !moves(page));
	CHECK(!close(fd));
}

/* What ends a mapping lets go. */
static void ends(void)
{
	uint64_t entries[64];
	char *page, *to, path[64];
	long before;
	int fd, id;

	page = map(64 * PAGE, MAP_PRIVATE);
	read_each(page, entries, 1);
	before = pinned();
	read_each(page, entries, 64);
	CHECK(pinned() >= before + 63);
	before = pinned() - 63;
	CHECK(!munmap(page + PAGE, 10 * PAGE));
	CHECK(pinned() <= before + 53);
	CHECK(!madvise(page + 20 * PAGE, 10 * PAGE, MADV_DONTNEED));
	CHECK(pinned() <= before + 43);
	CHECK(frame(page + 40 * PAGE) == (entries[40] & FRAME) && !moves(page + 40 * PAGE));
	CHECK(mmap(page + 40 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
	      MAP_FAILED);
	to = mremap(page + 41 * PAGE, 10 * PAGE, 10 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		    map(10 * PAGE, MAP_PRIVATE));
	CHECK(to != MAP_FAILED && frame(to) == (entries[41] & FRAME) && !moves(to));
	CHECK(!munmap(to, 10 * PAGE));
	CHECK(!munmap(page, 64 * PAGE));
	CHECK(pinned() < before + 1);

	before = pinned();
	fd = memfd_create("reader", 0);
	CHECK(!ftruncate(fd, 64 * PAGE));
	page = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	read_bulk(page, entries, 64);
	CHECK(pinned() == before + 64);
	/* the kernel unmaps pages before it finds that they are pinned, and a sweep comes then */
	CHECK(!madvise(page, 64 * PAGE, MADV_PAGEOUT));
	CHECK(!ftruncate(fd, 128 * PAGE) && !ftruncate(fd, 64 * PAGE));
	CHECK(pinned() == before + 64);
	CHECK(!madvise(page, 64 * PAGE, MADV_PAGEOUT));
	read_bulk(page, entries, 64);
	CHECK(pinned() == before + 64 && frame(page + 5 * PAGE) == (entries[5] & FRAME));
	CHECK(!ftruncate(fd, 32 * PAGE));
	CHECK(pinned() == before + 32);
	CHECK(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 32 * PAGE));
	CHECK(!ftruncate(fd, 64 * PAGE));
	CHECK(pinned() == before);
	memset(page, 1, 64 * PAGE);
	read_bulk(page, entries, 64);
	CHECK(pinned() == before + 64);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(open(path, O_RDWR | O_TRUNC) >= 0);
	CHECK(pinned() == before);
	page = map(4 * PAGE, MAP_PRIVATE);
	read_bulk(page, entries, 4);
	CHECK(pinned() == before + 4);
	id = shmget(IPC_PRIVATE, 4 * PAGE, 0600);
	CHECK(shmat(id, page, SHM_REMAP) == page && !shmctl(id, IPC_RMID, NULL));
	CHECK(pinned() == before);
	CHECK(!shmdt(page));
	mallopt(M_MMAP_THRESHOLD, 65536);
	/* of libc's own unmapping nothing is seen, but it does not pile up, and nothing wrong is told */
	for (fd = 0; fd < 2000; fd++) {
		page = malloc(64 * PAGE + 8000);
		memset(page, 1, 64 * PAGE + 8000);
		read_bulk(page + PAGE, entries, 64);
		CHECK((entries[5] & FRAME) == frame(page + 6 * PAGE));
		free(page);
	}
	CHECK(pinned() < before + 20000);
}

static void forks(void)
{
	char *private = map(4 * PAGE, MAP_PRIVATE), *shared = map(4 * PAGE, MAP_SHARED);
	int fd = open("/proc/self/pagemap", O_RDONLY), status;
	uint64_t entry, told, told_shared;

	read_each(private, &told, 1);
	read_each(shared, &told_shared, 1);
	if (!fork()) {
		*private = 1;
		/* shared memory is found as it is touched */
		*shared = 1;
		/* the parent's file tells the parent's addresses to nobody else */
		CHECK(pread(fd, &entry, 8, (off_t)((uintptr_t)private / PAGE * 8)) == 8 && !entry);
		is_told_and_pinned(private, 4 * PAGE, true);
		read_each(shared, &entry, 1);
		CHECK((entry & FRAME) == (told_shared & FRAME));
		exit(0);
	}
	*private = 2;
	CHECK(wait(&status) > 0 && !status);
	CHECK(frame(private) == (told & FRAME) && !moves(private));
	CHECK(frame(shared) == (told_shared & FRAME) && !moves(shared));
	/* all files are closed, as daemons do */
	for (fd = 3; fd < 1024; fd++)
		close(fd);
	closefrom(3);
	CHECK(dup2(1, 500) == 500 && dup2(1, 501) == 501 && dup2(1, 502) == 502);
	CHECK(!moves(private));
	is_told_and_pinned(private, 4 * PAGE, true);
}

static bool is_told(uint64_t entry)
{
	return entry & (PRESENT | FRAME);
}

/* Of what nobody has written to nothing is told, nor of what cannot be pinned: memory that the kernel does not see. */
static void refusals(void)
{
	char *none = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *secret;
	int fd = (int)syscall(447 /* memfd_secret */, 0);
	uint64_t entries[4];

	read_bulk(none, entries, 4);
	CHECK(!is_told(entries[0]) && !is_told(entries[3]));
	CHECK(!munmap(none, 4 * PAGE));
	read_bulk(none, entries, 4);
	CHECK(!is_told(entries[0]));
	if (fd < 0)
		return;
	CHECK(!ftruncate(fd, 4 * PAGE));
	secret = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(secret != MAP_FAILED);
	memset(secret, 1, 3 * PAGE);
	read_bulk(secret, entries, 4);
	CHECK(!is_told(entries[0]) && !is_told(entries[2]));
}

/* At the limit the memory cannot be compared, and stays pinned. */
static void again(void)
{
	char *page = map(PAGE, MAP_SHARED);
	uint64_t entry;

	read_each(page, &entry, 1);
	CHECK(is_told(entry));
	read_each(page, &entry, 1);
	CHECK(!is_told(entry) && !moves(page));
}

/* A daemon may drop its capabilities when it has begun. */
static void drops(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[2] = { 0 };
	char *page = map(2 * PAGE, MAP_SHARED);
	uint64_t entry;

	read_each(page, &entry, 1);
	CHECK(is_told(entry));
	CHECK(!syscall(SYS_capset, &header, none));
	read_each(page + PAGE, &entry, 1);
	CHECK(!is_told(entry));
}

/* Says where its memory is, and waits. */
static void hold(void)
{
	char *addr = map(HUGE, MAP_PRIVATE | MAP_HUGETLB);
	uint64_t entry;

	read_each(addr, &entry, 1);
	printf("%p %#llx\n", (void *)addr, (unsigned long long)((entry & FRAME) * PAGE));
	fflush(stdout);
	pause();
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* A number of huge pages: pagemap itself, by system calls of its own, and the library. */
static void speed(size_t pages)
{
	const size_t n = pages * (HUGE / PAGE);
	char *addr = map(pages * HUGE, MAP_SHARED | MAP_HUGETLB);
	uint64_t *entries = malloc(n * 8), entry;
	double kernel[2], library[2], at;
	int fd = open("/proc/self/pagemap", O_RDONLY);
	size_t i;

	memset(entries, 1, n * 8);
	/* the module is found and asked what there is, once */
	read_bulk((char *)entries, &entry, 1);
	at = now();
	truth(addr, entries, n);
	kernel[0] = now() - at;
	at = now();
	for (i = 0; i < pages; i++)
		syscall(SYS_pread64, fd, &entry, 8, ((uintptr_t)addr / PAGE + i * (HUGE / PAGE)) * 8);
	kernel[1] = now() - at;
	at = now();
	read_bulk(addr, entries, n);
	library[0] = now() - at;
	munmap(addr, pages * HUGE);
	addr = map(pages * HUGE, MAP_SHARED | MAP_HUGETLB);
	at = now();
	for (i = 0; i < pages; i++)
		CHECK(pread(fd, &entry, 8, (off_t)(((uintptr_t)addr / PAGE + i * (HUGE / PAGE)) * 8)) == 8);
	library[1] = now() - at;
	printf("%zu MiB at once: pagemap %.2f ms, from pins %.2f ms, ratio %.2f; a read for each huge page: %.2f ms, %.2f ms, ratio %.2f\n",
	       pages * HUGE >> 20, kernel[0] * 1e3, library[0] * 1e3, library[0] / kernel[0], kernel[1] * 1e3,
	       library[1] * 1e3, library[1] / kernel[1]);
}

/*
 * QEMU's edu on uio_pci_generic, as drivers are written that know mlock() and pagemap alone; it goes on with DMA until
 * it is killed.
 */
static void drive(const char *bdf)
{
	char path[128], *memory = map(2 * PAGE, MAP_PRIVATE);
	uint64_t entry[2];
	volatile uint64_t *regs;
	uint16_t command = 6;
	int fd, config, status;

	mlock(memory, 2 * PAGE);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	config = open(path, O_RDWR);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource0", bdf);
	fd = open(path, O_RDWR);
	regs = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(regs != MAP_FAILED && pwrite(config, &command, 2, 4) == 2);
	read_each(memory, entry, 2);
	if (!(entry[0] & FRAME))
		die("no address");
	/* A child that does something else does not stop its parent's device. */
	if (!fork()) {
		read_each(map(PAGE, MAP_PRIVATE), entry, 1);
		exit(!(entry[0] & FRAME));
	}
	CHECK(wait(&status) > 0 && !status);
	memset(memory, 0xa5, PAGE);
	printf("%s\n", moves(memory) || moves(memory + PAGE) ? "moved" : "pinned");
	fflush(stdout);
	/* A copy that a killed program has begun: until it ends the device ignores others. */
	while (regs[0x98 / 8] & 1)
		usleep(100);
	for (fd = 0; ; fd++) {
		/* docs/specs/edu.txt of QEMU */
		regs[0x80 / 8] = fd & 1 ? 0x40000 : (entry[0] & FRAME) * PAGE;
		regs[0x88 / 8] = fd & 1 ? (entry[1] & FRAME) * PAGE : 0x40000;
		regs[0x90 / 8] = 2048;
		regs[0x98 / 8] = fd & 1 ? 3 : 1;
		while (regs[0x98 / 8] & 1)
			usleep(100);
		if (fd == 1) {
			printf("%s\n", memcmp(memory, memory + PAGE, 2048) ? "copied elsewhere" : "copied");
			fflush(stdout);
		}
	}
}

/* As a secondary process of DPDK: it looks at the registers of a device that another process runs. */
static void look(const char *bdf)
{
	uint64_t entry;
	char path[128];

	read_each(map(PAGE, MAP_PRIVATE), &entry, 1);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource0", bdf);
	CHECK(entry & FRAME && open(path, O_RDWR) >= 0);
}

/* The device is unplugged and comes back, before there is a line to read. Then it may do DMA, until the program is killed. */
static void go_on(const char *bdf)
{
	char path[128], line[16];
	uint16_t command = 6;
	uint64_t entry;
	int i, config;

	read_each(map(PAGE, MAP_PRIVATE), &entry, 1);
	CHECK(entry & FRAME);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	for (i = 0; i < 2; i++) {
		config = open(path, O_RDWR);
		CHECK(pwrite(config, &command, 2, 4) == 2);
		close(config);
		puts("started");
		fflush(stdout);
		if (!fgets(line, sizeof(line), stdin))
			die("no line");
	}
}

/* As a daemon: the process that has opened the device ends, and its child runs it with memory of its own. */
static void daemonize(const char *bdf)
{
	uint16_t command = 6;
	char path[128];
	uint64_t entry;
	int config;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	config = open(path, O_RDWR);
	CHECK(config >= 0);
	if (fork())
		exit(0);
	read_each(map(PAGE, MAP_PRIVATE), &entry, 1);
	CHECK(entry & FRAME && pwrite(config, &command, 2, 4) == 2);
	puts("started");
	fflush(stdout);
	pause();
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "kinds"))
		kinds();
	else if (!strcmp(what, "lost"))
		lost();
	else if (!strcmp(what, "ends"))
		ends();
	else if (!strcmp(what, "forks"))
		forks();
	else if (!strcmp(what, "refusals"))
		refusals();
	else if (!strcmp(what, "again"))
		again();
	else if (!strcmp(what, "drops"))
		drops();
	else if (!strcmp(what, "hold"))
		hold();
	else if (!strcmp(what, "speed") && argc == 3)
		return speed(strtoul(argv[2], NULL, 10)), 0;
	else if (!strcmp(what, "drive") && argc == 3)
		drive(argv[2]);
	else if (!strcmp(what, "look") && argc == 3)
		look(argv[2]);
	else if (!strcmp(what, "daemon") && argc == 3)
		daemonize(argv[2]);
	else if (!strcmp(what, "go-on") && argc == 3)
		go_on(argv[2]);
	else
		return 2;
	puts("ok");
	return 0;
}
