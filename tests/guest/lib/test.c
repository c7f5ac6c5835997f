// SPDX-License-Identifier: MIT
#include "test.h"

#include <errno.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* test_only=NAME on the kernel's command line: the other tests of a program are left out. */
static void filter(void)
{
	static char pattern[128];
	char text[4096], *name;
	FILE *file = fopen("/proc/cmdline", "re");

	if (!file)
		return;
	if (fgets(text, sizeof(text), file) && (name = strstr(text, " test_only="))) {
		name += strlen(" test_only=");
		snprintf(pattern, sizeof(pattern), "*%.*s*", (int)strcspn(name, " \n"), name);
		cmocka_set_test_filter(pattern);
	}
	fclose(file);
}

void test_begin(void)
{
	filter();
	setenv("CMOCKA_MESSAGE_OUTPUT", "TAP", 1);
	/* A test that hangs must not take along what the ones before it said. */
	setvbuf(stdout, NULL, _IOLBF, 0);
}

void skip_all(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	exit(0);
}

const char *errno_name(int result)
{
	static char number[16];
	const char *name = result < 0 ? strerrorname_np(-result) : NULL;

	if (name)
		return name;
	snprintf(number, sizeof(number), "%d", result);
	return number;
}

void expect_result(int wanted, int result, const char *call, const char *file, int line)
{
	char name[32];

	if (result == wanted)
		return;
	snprintf(name, sizeof(name), "%s", errno_name(wanted));
	print_error("%s is %s, expected %s\n", call, errno_name(result), name);
	_fail(file, line);
}

int expect_no_error(int result, const char *call, const char *file, int line)
{
	if (result < 0) {
		print_error("%s is %s\n", call, errno_name(result));
		_fail(file, line);
	}
	return result;
}

pid_t child_begin(int (*fn)(void *arg), void *arg)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(-fn(arg));
	return pid < 0 ? -errno : pid;
}

int child_end(pid_t pid)
{
	int status;

	if (pid < 0)
		return pid;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

int in_child(int (*fn)(void *arg), void *arg)
{
	return child_end(child_begin(fn, arg));
}

bool wait_until(bool (*is_so)(void *arg), void *arg)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	struct timespec now, end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += 30;
	for (;;) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (is_so(arg))
			return true;
		if (now.tv_sec >= end.tv_sec)
			return false;
		nanosleep(&pause, NULL);
	}
}

bool kernel_is(int major, int minor)
{
	struct utsname name;
	int have[2] = { 0, 0 };

	uname(&name);
	sscanf(name.release, "%d.%d", &have[0], &have[1]);
	return have[0] > major || (have[0] == major && have[1] >= minor);
}
