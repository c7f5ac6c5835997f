/* SPDX-License-Identifier: MIT */
/*
 * Helpers for every test program: cmocka with TAP, results as errno, child processes.
 *
 * The functions of this directory return 0, a result, or -errno. They do not fail the test
 * themselves, so that child processes can use them, too.
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

/* Runs the only group of a program. */
#define run_group(tests, setup, teardown) \
	(test_begin(), cmocka_run_group_tests(tests, setup, teardown))

void test_begin(void);

/* Ends the running test as skipped. tests/vm/guest puts the reason into the result. */
#define skip_for(why) do { printf("# skip: %s\n", why); fflush(stdout); skip(); } while (0)

/* Skips the whole program, which has nothing to test here. Does not return. */
void skip_all(const char *why) __attribute__((noreturn));

/* expect(-EPERM, call): unless call returns -EPERM, the test fails and prints the result. */
#define expect(wanted, call) expect_result(wanted, call, #call, __FILE__, __LINE__)

/* The call must not return an error. Evaluates to its result, such as a file descriptor. */
#define expect_good(call) expect_no_error(call, #call, __FILE__, __LINE__)

void expect_result(int wanted, int result, const char *call, const char *file, int line);
int expect_no_error(int result, const char *call, const char *file, int line);

/* "EPERM" for -EPERM, "0" for 0. */
const char *errno_name(int result);

/*
 * child_begin() forks a child that runs @fn and exits with the errno that it returns (0 or -errno).
 * child_end() returns that, or -EINTR if a signal ended the child. @fn must not use cmocka's
 * assertions.
 */
pid_t child_begin(int (*fn)(void *arg), void *arg);
int child_end(pid_t pid);
int in_child(int (*fn)(void *arg), void *arg);

/* Calls @is_so repeatedly, for at most half a minute. Returns its last result. */
bool wait_until(bool (*is_so)(void *arg), void *arg);

/* Is the kernel of this version or a later one? */
bool kernel_is(int major, int minor);

#endif
