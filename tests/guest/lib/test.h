/* SPDX-License-Identifier: MIT */
/*
 * What every test program needs: cmocka that speaks TAP, results as errno, child processes.
 *
 * The functions of this directory return 0, or what they found, or -errno, and fail no test
 * themselves, so that a child process can use them, too.
 */
#ifndef TEST_H
#define TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include <cmocka.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The one group of a program. */
#define run_group(tests, setup, teardown) \
	(test_begin(), cmocka_run_group_tests(tests, setup, teardown))

void test_begin(void);

/* Ends the test that runs, and says why; tests/vm/guest puts it into the result. */
#define skip_for(why) do { printf("# skip: %s\n", why); fflush(stdout); skip(); } while (0)

/* For a program that has nothing to test here; does not return. */
void skip_all(const char *why) __attribute__((noreturn));

/* expect(-EPERM, call): the test fails, and says what call returned, unless that is -EPERM. */
#define expect(wanted, call) expect_result(wanted, call, #call, __FILE__, __LINE__)

/* A file descriptor, a number: anything but an error. Evaluates to it. */
#define expect_good(call) expect_no_error(call, #call, __FILE__, __LINE__)

void expect_result(int wanted, int result, const char *call, const char *file, int line);
int expect_no_error(int result, const char *call, const char *file, int line);

/* "EPERM" for -EPERM, "0" for 0. */
const char *errno_name(int result);

/*
 * A forked child that runs @fn and exits with the errno that it returns (0 or -errno).
 * child_end() returns that, -EINTR for a child that a signal ended. Nothing in @fn may be one of
 * cmocka's assertions.
 */
pid_t child_begin(int (*fn)(void *arg), void *arg);
int child_end(pid_t pid);
int in_child(int (*fn)(void *arg), void *arg);

/* Asks again and again, for half a minute. Returns whether @is_so said yes. */
bool wait_until(bool (*is_so)(void *arg), void *arg);

/* Is the kernel this version or a later one? */
bool kernel_is(int major, int minor);

#endif
