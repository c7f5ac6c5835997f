/* SPDX-License-Identifier: MIT */
/*
 * Linux 7.3's no-IOMMU character devices, on a kernel that does not have them: functions that
 * flatiommu.ko has claimed seem to have no group, and a device whose name begins with noiommu-. The
 * linker puts this between the library and libc (--wrap, see Makefile).
 */
#ifndef TEST_FAKE_H
#define TEST_FAKE_H

#include <stdbool.h>

enum answer {
	ANSWER_ALL,		/* all that is consecutive */
	ANSWER_BYTES,		/* 1000 bytes of that, and the next ones when asked again */
	ANSWER_NOTHING,		/* 0 bytes */
	ANSWER_TOO_MUCH,	/* more than was asked for */
	ANSWER_HOLE,		/* ENOENT, but for the first page */
	ANSWER_NO_CALL,		/* ENOTTY, as from a kernel without the call */
};

/*
 * From here on. @flat is /dev/flatiommu, where the test has declared the functions: it knows the
 * addresses; @bdf is one of them.
 */
void fake_begin(int flat, const char *bdf);
void fake_end(void);
/* What IOMMU_IOAS_NOIOMMU_GET_PA says; and how often it was asked since. */
void fake_answer(enum answer answer);
unsigned int fake_calls(void);

#endif
