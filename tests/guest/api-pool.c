// SPDX-License-Identifier: MIT
/*
 * The library's pools: a device reads and writes objects. They need few mappings, and rings need
 * few huge pages.
 */
#include <errno.h>
#include <string.h>

#include "api.h"
#include "devices.h"
#include "edu.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"

#define COUNT	500
#define RINGS	16
#define RING	8192
#define THP	"/sys/kernel/mm/transparent_hugepage/enabled"

static const char *const devices[] = { EDU, NULL };

static struct flatiommu_pool *pool;
static struct flatiommu_object objects[COUNT];
static void *regs;

/* What the device makes of it, at the address that each has. */
static void copy(const struct flatiommu_object *from, const struct flatiommu_object *to, size_t size, uint32_t seed)
{
	fill(from->memory, size, seed);
	expect(0, edu_load(regs, from->address, size));
	expect(0, edu_store(regs, to->address, size));
	assert_memory_equal(from->memory, to->memory, size);
}

static void objects_are_reached(void **state)
{
	size_t i;

	(void)state;
	api_open_edu(EDU, &regs);
	expect(0, flatiommu_pool_create(flat, NULL, &pool));
	for (i = 0; i < COUNT; i++)
		expect(0, flatiommu_pool_alloc(pool, 64 + i % 64 * 63, &objects[i]));
	for (i = 0; i + 1 < COUNT; i += 25) {
		copy(&objects[i], &objects[i + 1], 64, (uint32_t)i);
		assert_true(flatiommu_bus_address(flat, (char *)objects[i].memory + 7) == objects[i].address + 7);
		if (!api_isolated())
			assert_true(bus_address(objects[i].memory) == objects[i].address);
	}
	for (i = 0; i < COUNT; i++)
		expect(0, flatiommu_pool_free(pool, objects[i].memory));
	expect(0, flatiommu_pool_destroy(pool));
}

static void rings_share_a_huge_page(void **state)
{
	size_t i;

	(void)state;
	expect(0, huge_pages(1));
	api_open_edu(EDU, &regs);
	expect(0, flatiommu_pool_create(flat, &(struct flatiommu_pool_options){
		.memory = { .flags = FLATIOMMU_DMA_NO_FALLBACK, .pages = FLATIOMMU_PAGES_2M } }, &pool));
	for (i = 0; i < RINGS; i++) {
		expect(0, flatiommu_pool_alloc(pool, RING, &objects[i]));
		assert_true(!(objects[i].address % RING));
		assert_true(flatiommu_bus_address(flat, (char *)objects[i].memory + RING - 1) ==
			    objects[i].address + RING - 1);
	}
	copy(&objects[0], &objects[RINGS - 1], EDU_COPY, 5);
	/* There is no second one. */
	api_refused(-ENOMEM, "2 MiB", flatiommu_pool_alloc(pool, HUGE_PAGE, &objects[i]));
	flatiommu_close(flat);
	flat = NULL;
	expect(0, huge_pages(0));
}

/* The module makes room where the kernel's pages happen not to be neighbours. */
static void large_objects_need_no_huge_page(void **state)
{
	const char *words[] = { "always", "madvise", "never" };
	char was[64] = "", word[16];
	size_t i;
	int ret;

	(void)state;
	api_open_edu(EDU, &regs);
	expect(0, huge_pages(0));
	expect(0, flatiommu_pool_create(flat, NULL, &pool));
	read_text(THP, was, sizeof(was));
	write_text(THP, "never");
	ret = flatiommu_pool_alloc(pool, 1ul << 20, &objects[0]);
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		snprintf(word, sizeof(word), "[%s]", words[i]);
		if (strstr(was, word))
			expect(0, write_text(THP, words[i]));
	}
	if (!ret)
		copy(&objects[0], &objects[0], EDU_COPY, 3);
	else
		assert_false(api_isolated() || api_is("flatiommu"));
	expect(0, flatiommu_pool_destroy(pool));
}

/* A device that still has the address of what was freed. */
static void late_writes_are_told(void **state)
{
	struct flatiommu_object late;

	(void)state;
	api_open_edu(EDU, &regs);
	expect(0, flatiommu_pool_create(flat, &(struct flatiommu_pool_options){ .flags = FLATIOMMU_POOL_POISON },
					&pool));
	expect(0, flatiommu_pool_alloc(pool, 64, &objects[0]));
	expect(0, flatiommu_pool_alloc(pool, 64, &late));
	fill(objects[0].memory, 64, 9);
	expect(0, edu_load(regs, objects[0].address, 64));
	expect(0, flatiommu_pool_free(pool, late.memory));
	expect(0, edu_store(regs, late.address, 64));
	api_refused(-EUCLEAN, "after they were freed", flatiommu_pool_alloc(pool, 64, &late));
}

int main(void)
{
	const struct api_test tests[] = {
		API_TEST(objects_are_reached),
		API_TEST(rings_share_a_huge_page),
		API_TEST(large_objects_need_no_huge_page),
		API_TEST(late_writes_are_told),
	};

	return api_run(tests, ARRAY_SIZE(tests), devices);
}
