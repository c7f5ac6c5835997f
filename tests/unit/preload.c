// SPDX-License-Identifier: MIT
/*
 * preload: the functions that preload/ has in place of libc's, called as programs do. The
 * kernel is tests/unit/pagemap/node.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../preload/say.h"
#include "pagemap/node.h"

/* a macro that reads by getc(), which the library does not see */
#undef fread_unlocked

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define PAGE 4096ul
#define FRAME ((1ull << 55) - 1)
#define NAME "/proc/self/pagemap"

#define CHECK(is_so) do { if (!(is_so)) die(#is_so, __LINE__); } while (0)

int __open64_2(const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);
ssize_t __pread64_chk(int fd, void *buf, size_t n, off_t offset, size_t size);
ssize_t __read_chk(int fd, void *buf, size_t n, size_t size);
size_t __fread_chk(void *buf, size_t room, size_t size, size_t n, FILE *file);
size_t __fread_unlocked_chk(void *buf, size_t room, size_t size, size_t n, FILE *file);

static void die(const char *what, int line)
{
	fprintf(stderr, "preload: line %d: %s (%s)\n", line, what, strerror(errno));
	exit(EXIT_FAILURE);
}

static char *map(size_t pages, int flags)
{
	char *addr = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_POPULATE | flags,
			  -1, 0);

	CHECK(addr != MAP_FAILED);
	return addr;
}

static off_t at(const void *addr)
{
	return (off_t)((uintptr_t)addr / PAGE * 8);
}

static bool is_told(const void *addr, uint64_t entry)
{
	return entry >> 63 && (entry & FRAME) == fake_frame((uintptr_t)addr / PAGE);
}

/* By this number the entries are those that are told. */
static void check_file(int fd, const char *page)
{
	uint64_t e[4];
	struct iovec parts[2] = { { &e[2], 8 }, { &e[0], 16 } };

	CHECK(fd >= 0);
	CHECK(pread(fd, e, 16, at(page)) == 16 && is_told(page, e[0]) && is_told(page + PAGE, e[1]));
	CHECK(__pread64_chk(fd, e, 8, at(page), 8) == 8 && is_told(page, e[0]));
	CHECK(lseek(fd, at(page), SEEK_SET) == at(page));
	CHECK(read(fd, e, 8) == 8 && is_told(page, e[0]));
	CHECK(__read_chk(fd, e, 8, 8) == 8 && is_told(page + PAGE, e[0]));
	CHECK(preadv(fd, parts, 2, at(page)) == 24);
	CHECK(is_told(page, e[2]) && is_told(page + PAGE, e[0]) && is_told(page + 2 * PAGE, e[1]));
	CHECK(lseek(fd, at(page), SEEK_SET) == at(page));
	CHECK(readv(fd, parts, 1) == 8 && is_told(page, e[2]));
	CHECK(preadv64(fd, parts, 1, at(page) + 8) == 8 && is_told(page + PAGE, e[2]));
	CHECK(preadv64v2(fd, parts, 1, at(page), 0) == 8 && is_told(page, e[2]));
	CHECK(preadv2(fd, parts, 1, -1, 0) == 8 && is_told(page + PAGE, e[2]));
	/* a buffer that is not aligned */
	CHECK(pread(fd, (char *)e + 3, 16, at(page)) == 16);
	memcpy(&e[3], (char *)e + 3, 8);
	CHECK(is_told(page, e[3]));
	errno = 0;
	CHECK(pread(fd, e, 7, at(page)) == -1 && errno == EINVAL);
}

/* A constructor of another library may be called before those of preload/. */
static int early;

__attribute__((constructor(200))) static void open_early(void)
{
	early = open(NAME, O_RDONLY);
}

static void files(void)
{
	char *page = map(8, MAP_SHARED), path[64], byte;
	int fd, other, directory;
	uint64_t e[2];
	FILE *file;

	check_file(early, page);
	close(early);
	fd = open(NAME, O_RDONLY);
	check_file(fd, page);
	other = dup(fd);
	check_file(other, page);
	close(fd);
	check_file(other, page);
	CHECK(dup2(other, 99) == 99 && dup3(other, 98, O_CLOEXEC) == 98);
	check_file(99, page);
	check_file(98, page);
	fd = fcntl(other, F_DUPFD_CLOEXEC, 200);
	check_file(fd, page);
	/* another file has its number */
	CHECK(dup2(fake_file(), 99) == 99 && read(99, e, 8) == 0);
	close(other);
	close(fd);
	close(98);
	close(99);
	check_file(fd = open64(NAME, O_RDONLY), page);
	close(fd);
	check_file(fd = __open64_2("/proc/thread-self/pagemap", O_RDONLY), page);
	close(fd);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/pagemap", getpid(), getpid());
	check_file(fd = open(path, O_RDONLY), page);
	close(fd);
	directory = open("/proc/self", O_RDONLY | O_DIRECTORY);
	check_file(fd = openat(directory, "pagemap", O_RDONLY), page);
	close(fd);
	check_file(fd = openat64(directory, "pagemap", O_RDONLY), page);
	close(fd);
	check_file(fd = __openat64_2(directory, "pagemap", O_RDONLY), page);
	close(fd);
	close(directory);
	/* its parent's is not its own */
	snprintf(path, sizeof(path), "/proc/%d/pagemap", getppid());
	fd = open(path, O_RDONLY);
	CHECK(fd < 0 || (pread(fd, e, 8, at(page)) == 8 && !is_told(page, *e)));
	close(fd);

	file = fopen(NAME, "rb");
	CHECK(file && !fseek(file, at(page), SEEK_SET) && fread(e, 8, 2, file) == 2);
	CHECK(is_told(page, e[0]) && is_told(page + PAGE, e[1]));
	CHECK(fread(&byte, 1, 1, file) == 1 && __fread_chk(e, 16, 1, 15, file) == 15);
	memmove((char *)e + 1, e, 15);
	memcpy(e, &byte, 1);
	CHECK(is_told(page + 2 * PAGE, e[0]) && is_told(page + 3 * PAGE, e[1]));
	check_file(fileno(file), page);
	fclose(file);
	file = fdopen(open(NAME, O_RDONLY), "r");
	CHECK(file && !fseeko(file, at(page), SEEK_SET));
	CHECK(fread_unlocked(e, 8, 1, file) == 1 && is_told(page, e[0]));
	CHECK(__fread_unlocked_chk(e, 8, 8, 1, file) == 1 && is_told(page + PAGE, e[0]));
	fclose(file);
	munmap(page, 8 * PAGE);
	CHECK(!fake_pinned());
}

static uint64_t ask(const char *page, size_t n)
{
	uint64_t e[64];
	int fd = open(NAME, O_RDONLY);

	CHECK(pread(fd, e, n * 8, at(page)) == (ssize_t)n * 8 && is_told(page, e[0]));
	close(fd);
	return fake_pinned();
}

static void memory(void)
{
	char *page = map(16, MAP_SHARED), *to;
	int fd;

	CHECK(ask(page, 16) >= 16);
	CHECK(!munmap(page + 15 * PAGE, PAGE) && !munmap(page, PAGE));
	CHECK(!madvise(page + PAGE, PAGE, MADV_DONTNEED));
	CHECK(mmap64(page + 2 * PAGE, PAGE, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
	      MAP_FAILED);
	CHECK(fake_pinned() == 12);
	to = mremap(page + 3 * PAGE, 12 * PAGE, 20 * PAGE, MREMAP_MAYMOVE);
	CHECK(to != MAP_FAILED && fake_pinned() == 12);
	CHECK(mremap(to, 20 * PAGE, 6 * PAGE, 0) == to && fake_pinned() == 6);
	CHECK(!munmap(to, 6 * PAGE) && !fake_pinned());
	page = map(4, MAP_PRIVATE);
	CHECK(ask(page, 4) == 4);
	/* since Linux 6.13 */
	CHECK(madvise(page, 3 * PAGE, MADV_GUARD_INSTALL) || fake_pinned() == 1);
	CHECK(!munmap(page, 4 * PAGE) && !fake_pinned());

	fd = memfd_create("preload", MFD_CLOEXEC);
	CHECK(!ftruncate(fd, 8 * PAGE));
	page = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	CHECK(ask(page, 8) == 8);
	CHECK(!ftruncate(fd, 9 * PAGE) && fake_pinned() == 8);
	CHECK(!ftruncate64(fd, 6 * PAGE) && fake_pinned() == 6);
	CHECK(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 6 * PAGE) && !fake_pinned());
	munmap(page, 8 * PAGE);
	close(fd);
	/* valgrind has a heap of its own, which stays mapped */
	if (getenv("UNDER_VALGRIND"))
		return;
	page = sbrk(3 * PAGE);
	CHECK(page != (void *)-1);
	page += PAGE - (uintptr_t)page % PAGE;
	memset(page, 1, PAGE);
	CHECK(ask(page, 1) == 1 && sbrk(-3 * (long)PAGE) != (void *)-1);
	CHECK(!fake_pinned());
}

static void ours(void)
{
	char *page = map(1, MAP_SHARED);
	int fd, n;

	ask(page, 1);
	n = fake_file();
	for (fd = 3; fd < 1024; fd++)
		close(fd);
	CHECK(close(n) == -1 && errno == EBADF && fcntl(n, F_GETFD) >= 0);
	closefrom(3);
	CHECK(!close_range((unsigned int)n, ~0u, 0) && !close_range(3, (unsigned int)n, 0));
	CHECK(fcntl(n, F_GETFD) >= 0);
	CHECK(dup2(0, n) == n && fake_file() != n && fcntl(fake_file(), F_GETFD) >= 0);
	munmap(page, PAGE);
}

/* A handler may do what the program does, at any time. */
static char *in_handler;

static void handler(int signal)
{
	(void)signal;
	CHECK(ask(in_handler, 1) >= 1);
	munmap(map(1, MAP_SHARED), PAGE);
}

static void *hammer(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg, i;

	for (i = 0; i < 300; i++) {
		size_t n = 1 + (unsigned int)rand_r(&seed) % 32;
		char *page = map(n, rand_r(&seed) & 1 ? MAP_SHARED : MAP_PRIVATE);

		ask(page, n);
		if (!(rand_r(&seed) % 16) && !fork()) {
			*page = 1;
			CHECK(!fake_pinned() && ask(page, 1) >= 1);
			_exit(0);
		}
		munmap(page, n * PAGE);
	}
	return NULL;
}

static void threads(void)
{
	pthread_t thread[4];
	int i, status;

	in_handler = map(1, MAP_SHARED);
	signal(SIGUSR1, handler);
	for (i = 0; i < 4; i++)
		CHECK(!pthread_create(&thread[i], NULL, hammer, (void *)(uintptr_t)(i + 1)));
	for (i = 0; i < 300; i++) {
		pthread_kill(thread[i % 4], SIGUSR1);
		usleep(200);
	}
	for (i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	munmap(in_handler, PAGE);
	/* what lies beside is read ahead: stacks, and what malloc has */
	CHECK(fake_pinned() < 4 * 512);
	while (wait(&status) > 0)
		CHECK(!status);
}

static void forks(void)
{
	char *page = map(4, MAP_SHARED);
	int fd = open(NAME, O_RDONLY), status;
	uint64_t e;

	ask(page, 1);
	if (!fork()) {
		CHECK(!fake_pinned() && pread(fd, &e, 8, at(page)) == 8 && !e);
		/* a child finds shared memory as it touches it */
		*page = 1;
		CHECK(ask(page, 1) >= 1);
		exit(0);
	}
	CHECK(wait(&status) > 0 && !status && fake_pinned());
	check_file(fd, page);
	close(fd);
	munmap(page, 4 * PAGE);
}

/* The first process of a PID namespace forks that of another one: both have the ID 1. */
static void first_processes(void)
{
	char *page = map(4, MAP_SHARED);
	int fd = open(NAME, O_RDONLY), status;
	uint64_t e;

	ask(page, 1);
	CHECK(!unshare(CLONE_NEWPID));
	if (!fork()) {
		CHECK(getpid() == 1 && !fake_pinned() && pread(fd, &e, 8, at(page)) == 8 && !e);
		*page = 1;
		CHECK(ask(page, 1) >= 1);
		exit(0);
	}
	CHECK(wait(&status) > 0 && !status);
	check_file(fd, page);
	exit(0);
}

static void namespaces(void)
{
	int status;

	if (!fork()) {
		/* not everybody may */
		if (unshare(CLONE_NEWPID) && unshare(CLONE_NEWUSER | CLONE_NEWPID))
			exit(0);
		if (!fork())
			first_processes();
		CHECK(wait(&status) > 0 && !status);
		exit(0);
	}
	CHECK(wait(&status) > 0 && !status);
}

static void groups(void)
{
	static const char *const names[] = {
		"/sys/kernel/iommu_groups", "/sys/kernel/iommu_groups/", "//sys/kernel//iommu_groups/."
	};
	struct dirent *entry;
	struct stat st;
	unsigned int i;
	DIR *dir;

	for (i = 0; i < 3; i++) {
		dir = opendir(names[i]);
		CHECK(dir);
		while ((entry = readdir(dir)))
			CHECK(*entry->d_name == '.');
		closedir(dir);
	}
	CHECK(access("/sys/kernel/iommu_groups/0", F_OK) && errno == ENOENT);
	CHECK(stat("/sys/kernel/iommu_groups/0/devices", &st) && errno == ENOENT);
	CHECK(!stat("/sys/kernel/iommu_groups", &st) && S_ISDIR(st.st_mode));
	CHECK(!access("/sys/kernel", F_OK) && access("/sys/kernel/iommu_groupsx", F_OK));
}

/* A line that nobody reads ends no program, and none goes into a file that is at its number. */
static void lines(void)
{
	int pipes[2], before = dup(STDERR_FILENO), file = memfd_create("lines", 0), status;
	struct stat st;

	CHECK(!pipe(pipes) && !close(pipes[0]) && dup2(pipes[1], STDERR_FILENO) == STDERR_FILENO);
	say("nobody reads this");
	CHECK(!close(STDERR_FILENO) && dup(file) == STDERR_FILENO);
	say("this is a file of the program's");
	CHECK(!fstat(file, &st) && !st.st_size);
	CHECK(dup2(before, STDERR_FILENO) == STDERR_FILENO);
	if (!fork()) {
		CHECK(!fclose(stderr) && dup(file) == STDERR_FILENO);
		say("so is this");
		_exit(fstat(file, &st) || st.st_size);
	}
	CHECK(wait(&status) > 0 && !status);
	/* there /proc/self/exe is valgrind */
	if (!getenv("UNDER_VALGRIND") && !fork()) {
		syscall(SYS_close, STDERR_FILENO);
		execl("/proc/self/exe", "preload", "closed", NULL);
	}
	CHECK(getenv("UNDER_VALGRIND") || (wait(&status) > 0 && !status));
	close(pipes[1]);
	close(before);
	close(file);
}

/* A program that was started without standard error. */
static int closed(void)
{
	struct stat st;
	int file;

	syscall(SYS_close, early);
	file = memfd_create("closed", 0);
	say("and this");
	return file != STDERR_FILENO || fstat(file, &st) || st.st_size;
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		return closed();
	lines();
	files();
	memory();
	forks();
	threads();
	namespaces();
	groups();
	ours();
	return EXIT_SUCCESS;
}
