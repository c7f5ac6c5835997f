// SPDX-License-Identifier: MIT
/*
 * Pools: few maps for many objects, what the options ask for, threads, and what is done wrong with
 * them.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "fake.h"

#define COUNT	10000
#define THREADS	4

static struct flatiommu_object objects[COUNT];
static unsigned int state = 1;

static unsigned int below(unsigned int limit)
{
	state = state * 1103515245 + 12345;
	return (state >> 8) % limit;
}

static struct flatiommu_pool *create(const struct flatiommu_pool_options *options)
{
	struct flatiommu_pool *pool = NULL;

	CHECK(!flatiommu_pool_create(flat, options, &pool));
	return pool;
}

static bool is_filled(const void *memory, int byte, size_t length)
{
	const unsigned char *at = memory;

	while (length && at[length - 1] == byte)
		length--;
	return !length;
}

/* What any pointer into them is to the device is known. */
static void check_object(const struct flatiommu_object *object, size_t size)
{
	const struct flatiommu_dma *dma;
	size_t offset;

	CHECK(object->length >= size && !(object->address & (object->length - 1)));
	CHECK(flatiommu_bus_address(flat, object->memory) == object->address);
	CHECK(flatiommu_bus_address(flat, (char *)object->memory + object->length - 1) ==
	      object->address + object->length - 1);
	dma = flatiommu_dma_find(flat, object->memory, &offset);
	CHECK(dma && (char *)dma->memory + offset == object->memory);
	CHECK(is_filled(object->memory, 0, object->length));
}

static void few_maps(enum fake_machine machine)
{
	struct flatiommu_pool *pool;
	size_t i, size;

	fake_begin(machine);
	must_open(FN0);
	pool = create(NULL);
	for (i = 0; i < COUNT; i++) {
		size = 64 + below(4096 - 64 + 1);
		CHECK(!flatiommu_pool_alloc(pool, size, &objects[i]));
		check_object(&objects[i], size);
		memset(objects[i].memory, (int)i, objects[i].length);
	}
	CHECK(fake_calls->maps <= 20);
	for (i = 0; i < COUNT; i++)
		CHECK(is_filled(objects[i].memory, (int)(i & 0xff), objects[i].length));
	for (i = 0; i < COUNT; i++)
		CHECK(!flatiommu_pool_free(pool, objects[i].memory));
	/* One is kept. */
	CHECK(fake_calls->mapped == 2 << 20);
	CHECK(!flatiommu_pool_destroy(pool));
	CHECK(!fake_calls->mapped);
	CHECK(flatiommu_bus_address(flat, objects[0].memory) == UINT64_MAX);
	fake_end();
}

/* 16 rings do not take 16 huge pages. */
static void rings(void)
{
	struct flatiommu_pool *pool;
	size_t i;

	fake_begin(FAKE_FLAT_HUGE);
	must_open(FN0);
	pool = create(NULL);
	for (i = 0; i < 16; i++) {
		CHECK(!flatiommu_pool_alloc(pool, 8192, &objects[i]));
		check_object(&objects[i], 8192);
	}
	CHECK(fake_calls->mapped == 2 << 20);
	CHECK(!flatiommu_pool_alloc(pool, 2 << 20, &objects[i]));
	check_object(&objects[i], 2 << 20);
	CHECK(flatiommu_pool_alloc(pool, (2 << 20) + 1, &objects[i]) == -E2BIG);
	/* Left to the context. */
	fake_end();

	/* Without huge pages there are small ones alone, and what does not help is not kept. */
	fake_begin(FAKE_FLAT);
	must_open(FN0);
	pool = create(NULL);
	CHECK(flatiommu_pool_alloc(pool, 8192, &objects[0]) == -ENOMEM);
	CHECK(strstr(flatiommu_reason(flat), "consecutive") && !fake_calls->mapped);
	CHECK(!flatiommu_pool_alloc(pool, 4096, &objects[0]));
	check_object(&objects[0], 4096);
	fake_end();
}

static void options(void)
{
	const struct flatiommu_pool_options aligned = { .alignment = 1024, .boundary = 4096 };
	struct flatiommu_pool_options wrong[] = {
		{ .alignment = 100 }, { .alignment = 4 << 20 }, { .boundary = 32 }, { .boundary = 4097 },
		{ .alignment = 8192, .boundary = 4096 }, { .memory.address_bits = 5 }, { .flags = 2 },
		{ .reserved = { 0, 1 } }, { .reserved_32 = 1 }, { .memory.flags = FLATIOMMU_DMA_SHARED },
		{ .memory.reserved = { 0, 0, 0, 1 } },
	};
	struct flatiommu_pool *pool;
	size_t i;
	int err;

	fake_begin(FAKE_IOMMU);
	must_open(FN0);
	pool = create(&aligned);
	for (i = 0; i < 100; i++) {
		CHECK(!flatiommu_pool_alloc(pool, 1 + below(4096), &objects[i]));
		CHECK(!(objects[i].address % 1024) && objects[i].address % 4096 + objects[i].length <= 4096);
	}
	CHECK(flatiommu_pool_alloc(pool, 4097, &objects[i]) == -E2BIG);
	pool = create(&(struct flatiommu_pool_options){ .memory.address_bits = 32 });
	CHECK(!flatiommu_pool_alloc(pool, 64, &objects[0]) && objects[0].address >> 32 == 0);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		pool = NULL;
		err = flatiommu_pool_create(flat, &wrong[i], &pool);
		CHECK(err == (i < 6 ? -EINVAL : -EOPNOTSUPP) && !pool);
	}
	CHECK(flatiommu_pool_create(NULL, NULL, &pool) == -EINVAL && flatiommu_pool_create(flat, NULL, NULL) == -EINVAL);
	fake_end();
}

static void wrong_use(void)
{
	struct flatiommu_pool *pool;
	struct flatiommu_object object, other;
	char *freed;
	int here;

	fake_begin(FAKE_IOMMU);
	pool = create(NULL);
	CHECK(flatiommu_pool_alloc(pool, 64, &object) == -ENODEV);
	must_open(FN0);
	CHECK(flatiommu_pool_alloc(pool, 0, &object) == -EINVAL && flatiommu_pool_alloc(pool, 1, NULL) == -EINVAL);
	CHECK(flatiommu_pool_alloc(NULL, 1, &object) == -EINVAL && flatiommu_pool_free(NULL, &here) == -EINVAL);
	CHECK(!flatiommu_pool_alloc(pool, 64, &object) && !flatiommu_pool_alloc(pool, 64, &other));
	CHECK(flatiommu_pool_free(pool, &here) == -ENOENT);
	CHECK(flatiommu_pool_free(pool, (char *)object.memory + 1) == -ENOENT);
	CHECK(flatiommu_pool_free(pool, (char *)object.memory + 4096) == -ENOENT);
	CHECK(!flatiommu_pool_free(pool, NULL) && !flatiommu_pool_free(pool, object.memory));
	CHECK(flatiommu_pool_free(pool, object.memory) == -ENOENT);
	CHECK(strstr(flatiommu_reason(flat), "no object"));
	CHECK(!flatiommu_pool_destroy(pool) && !flatiommu_pool_destroy(NULL));

	pool = create(&(struct flatiommu_pool_options){ .flags = FLATIOMMU_POOL_POISON });
	CHECK(!flatiommu_pool_alloc(pool, 64, &object) && is_filled(object.memory, 0, 64));
	CHECK(!flatiommu_pool_alloc(pool, 64, &other));
	freed = object.memory;
	CHECK(!flatiommu_pool_free(pool, freed) && is_filled(freed, 0x6b, 64));
	freed[7] = 1;
	CHECK(flatiommu_pool_alloc(pool, 64, &object) == -EUCLEAN);
	CHECK(strstr(flatiommu_reason(flat), "after they were freed"));
	/* It is left as it is. */
	CHECK(!flatiommu_pool_alloc(pool, 64, &object) && object.memory != freed && freed[7] == 1);
	fake_end();
}

static void *use(void *arg)
{
	struct flatiommu_object mine[64];
	unsigned int i, seed = 7;
	size_t size;

	memset(mine, 0, sizeof(mine));
	for (i = 0; i < 20000; i++) {
		struct flatiommu_object *object = &mine[i % 64];

		if (object->memory) {
			CHECK(is_filled(object->memory, (int)(i - 64) & 0xff, object->length));
			CHECK(!flatiommu_pool_free(arg, object->memory));
		}
		seed = seed * 1103515245 + 12345;
		size = 1 + (seed >> 8) % (i % 100 ? 4096 : 1 << 20);
		CHECK(!flatiommu_pool_alloc(arg, size, object));
		memset(object->memory, (int)i & 0xff, object->length);
	}
	for (i = 0; i < 64; i++)
		CHECK(!flatiommu_pool_free(arg, mine[i].memory));
	return NULL;
}

static void threads(void)
{
	pthread_t all[THREADS];
	struct flatiommu_pool *pool;
	unsigned int i;

	fake_begin(FAKE_IOMMU);
	must_open(FN0);
	pool = create(NULL);
	for (i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&all[i], NULL, use, pool));
	for (i = 0; i < THREADS; i++)
		pthread_join(all[i], NULL);
	CHECK(fake_calls->mapped == 2 << 20);
	fake_end();
}

int main(void)
{
	few_maps(FAKE_IOMMU);
	few_maps(FAKE_FLAT);
	few_maps(FAKE_FLAT_HUGE);
	rings();
	options();
	wrong_use();
	threads();
	return EXIT_SUCCESS;
}
