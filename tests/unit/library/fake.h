/* SPDX-License-Identifier: MIT */
/*
 * A machine with PCI functions on vfio-pci, for tests of the library on this one: sysfs is a
 * directory of files, and VFIO's calls are answered here. Config space and BAR 0 of a function are
 * a file in memory, which a forked child shares, as it shares those of VFIO. The linker puts this
 * between the library and libc (--wrap, see Makefile).
 */
#ifndef UNIT_FAKE_H
#define UNIT_FAKE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <flatiommu.h>

#define FN0 "0000:00:01.0"
#define FN1 "0000:00:02.0"
#define FN2 "0000:00:03.0"
#define NR_FUNCTIONS 3
#define BAR_SIZE 0x10000u

enum fake_machine {
	FAKE_IOMMU,	/* behind an IOMMU, with type1 */
	FAKE_FLAT,	/* claimed by flatiommu.ko: no two pages are neighbours on the bus */
	FAKE_FLAT_HUGE,	/* the same, but within 2 MiB that the program has at a multiple of that they are */
};

/* What children share, too. */
struct fake_calls {
	atomic_uint opens, closes, resets, maps, unmaps, sets_irqs;
	atomic_ulong mapped;		/* bytes */
};

extern struct fake_calls *fake_calls;

void fake_begin(enum fake_machine machine);
void fake_end(void);

/*
 * The function lost its power: it answers with all bits set, and closing and resetting it takes so
 * long.
 */
void fake_gone(const char *bdf, unsigned int milliseconds);
bool fake_is_master(const char *bdf);
/* Maps take so long, or fail. 0: neither. */
void fake_maps(unsigned int milliseconds, int error);
/* Since then. */
unsigned int fake_failed_maps(void);
/* Unmaps fail, and leave the memory mapped until the container is closed. 0: they do not. */
void fake_unmaps(int error);
/* RLIMIT_MEMLOCK in bytes. fake_begin() makes it unlimited, whatever this user's is. */
void fake_memlock(rlim_t bytes);
/* Is the address mapped for devices? */
bool fake_is_mapped(uint64_t address);
/* Devices reach no IOVA after it. */
void fake_last_iova(uint64_t last);
/*
 * What pagemap tells of a page of the program's: its address, which is mostly the page's own. It
 * moves there when it is mapped for the first time if @later.
 */
void fake_page(const void *page, uint64_t address, bool later);
/* Each map of the page moves it by a page. */
void fake_restless(const void *page);
/* The program has no privilege to see where its pages are. */
void fake_hide_pages(void);
/* The eventfd that the function signals as it is asked for, or -1. */
int fake_request(const char *bdf);

/* What is so, or the program ends and says where. */
#define CHECK(is_so) do { if (!(is_so)) fake_die(#is_so, __FILE__, __LINE__); } while (0)
void fake_die(const char *what, const char *file, int line) __attribute__((noreturn));

/* Shorthands, that end the program when they fail. */
extern struct flatiommu *flat;
struct flatiommu_device *must_open(const char *bdf);
struct flatiommu_dma *must_alloc(size_t length);
/* The status of a child that runs @fn: what it returned. */
int in_child(int (*fn)(void));
double seconds(void);
void sleep_ms(unsigned int milliseconds);

#endif
