// SPDX-License-Identifier: MIT
/*
 * fork: what a child has of the context of its parent is nothing, and whatever it does the parent
 * goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake.h"

static struct flatiommu_device *device;
static struct flatiommu_dma *dma, *shared;
static void *bar;

#define EACH(what, wanted) do { if ((what) != (wanted)) return __LINE__ % 100 + 20; } while (0)

/* Every call that takes the context, a device or a buffer of it. */
static int calls_are_refused(void)
{
	struct flatiommu_dma *new = NULL;
	struct flatiommu_device *other = NULL;
	struct flatiommu_device_info info;
	unsigned int offset = 0;
	uint8_t byte;
	uint16_t word;
	uint32_t value;
	void *view;
	struct flatiommu_pool *pool = NULL;
	int files[2];

	EACH(flatiommu_device_open(flat, FN1, &other), -ECHILD);
	EACH(flatiommu_device_import(flat, 0, "name", &other), -ECHILD);
	EACH(flatiommu_dma_alloc(flat, 4096, NULL, &new), -ECHILD);
	EACH(flatiommu_dma_map(flat, &info, 1, NULL, &new), -ECHILD);
	EACH(flatiommu_dma_export(shared, &files[0], &files[1]), -ECHILD);
	EACH(flatiommu_dma_free(dma), -ECHILD);
	EACH(flatiommu_quiet(flat), -ECHILD);
	EACH(flatiommu_pool_create(flat, NULL, &pool), -ECHILD);
	EACH(flatiommu_dma_find(flat, dma->memory, NULL) != NULL, 0);
	EACH(flatiommu_bus_master(device, false), -ECHILD);
	EACH(flatiommu_reset(device), -ECHILD);
	EACH(flatiommu_hot_reset(device), -ECHILD);
	EACH(flatiommu_device_get_info(device, &info), -ECHILD);
	EACH(flatiommu_device_fd(device), -ECHILD);
	EACH(flatiommu_region_size(device, 0), -ECHILD);
	EACH(flatiommu_bar_map(device, 0, 0, 0, 0, &view), -ECHILD);
	EACH(flatiommu_bar_unmap(device, bar), -ECHILD);
	EACH(flatiommu_region_read(device, 0, 0, &value, 4), -ECHILD);
	EACH(flatiommu_region_write(device, 0, 0, &value, 4), -ECHILD);
	EACH(flatiommu_config_read8(device, 0, &byte), -ECHILD);
	EACH(flatiommu_config_read16(device, 0, &word), -ECHILD);
	EACH(flatiommu_config_read32(device, 0, &value), -ECHILD);
	EACH(flatiommu_config_write8(device, PCI_COMMAND, 0), -ECHILD);
	EACH(flatiommu_config_write16(device, PCI_COMMAND, 0), -ECHILD);
	EACH(flatiommu_config_write32(device, PCI_COMMAND, 0), -ECHILD);
	EACH(flatiommu_capability(device, 1, &offset), -ECHILD);
	EACH(flatiommu_extended_capability(device, 1, &offset), -ECHILD);
	EACH(flatiommu_irq_vectors(device, FLATIOMMU_IRQ_MSIX), -ECHILD);
	EACH(flatiommu_irq_enable(device, FLATIOMMU_IRQ_MSIX, 0, 1, files), -ECHILD);
	EACH(flatiommu_irq_disable(device, FLATIOMMU_IRQ_MSIX), -ECHILD);
	EACH(flatiommu_irq_trigger(device, FLATIOMMU_IRQ_MSIX, 0), -ECHILD);
	EACH(flatiommu_irq_mask(device, FLATIOMMU_IRQ_INTX), -ECHILD);
	EACH(flatiommu_irq_unmask(device, FLATIOMMU_IRQ_INTX), -ECHILD);
	EACH(flatiommu_device_close(device), -ECHILD);
	EACH(!strstr(flatiommu_reason(flat), "forked"), 0);
	EACH(flatiommu_backend(flat)[0], 0);
	EACH(flatiommu_isolated(flat), false);
	return 0;
}

static void refuses(void)
{
	CHECK(in_child(calls_are_refused) == 0);
}

/* What the parent's descriptors are is no affair of the child's, once it has closed the context. */
static int close_it(void)
{
	int fd = flatiommu_device_open(flat, FN1, &device) == -ECHILD ? 0 : 1;

	flatiommu_close(flat);
	return fd;
}

static void closes_nothing_of_the_parent(void)
{
	unsigned int sets = fake_calls->sets_irqs, opens = fake_calls->opens;

	CHECK(!flatiommu_bus_master(device, true));
	CHECK(in_child(close_it) == 0);
	CHECK(fake_is_master(FN0));
	CHECK(!fake_calls->unmaps && !fake_calls->resets);
	CHECK(fake_calls->sets_irqs == sets && fake_calls->opens == opens);
	/* In the child it was closed, and that is no end of it. */
	CHECK(fake_calls->closes == 1);
	fake_calls->closes--;
	memset(dma->memory, 1, dma->length);
}

static void close_at_exit(void)
{
	flatiommu_close(flat);
}

static int run_exit(void)
{
	exit(0);
}

static void exit_does_no_harm(void)
{
	CHECK(in_child(run_exit) == 0);
	CHECK(fake_is_master(FN0) && !fake_calls->unmaps);
	fake_calls->closes--;
}

/* The child's own. */
static int use_own(void)
{
	struct flatiommu *own = NULL;
	struct flatiommu_device *other = NULL;
	struct flatiommu_dma *new = NULL;

	EACH(flatiommu_open(&own), 0);
	EACH(flatiommu_device_open(own, FN1, &other), 0);
	EACH(flatiommu_dma_alloc(own, 4096, NULL, &new), 0);
	EACH(flatiommu_device_open(own, FN1, &other), -EBUSY);
	EACH(!strstr(flatiommu_reason(own), "open in this context"), 0);
	flatiommu_close(own);
	return 0;
}

static void a_context_of_its_own_works(void)
{
	unsigned int unmaps = fake_calls->unmaps;

	CHECK(in_child(use_own) == 0);
	CHECK(fake_calls->unmaps == unmaps + 1);
}

/* Is it mapped? */
static bool is_there(const void *memory)
{
	unsigned char is_in;

	return !mincore((void *)((uintptr_t)memory & ~4095ul), 4096, &is_in);
}

/* Something else may be where it was. */
static bool is_copied(const void *memory)
{
	return is_there(memory) && *(const volatile uint64_t *)memory == 0x5a5a5a5a5a5a5a5a;
}

static int look_at_memory(void)
{
	return is_copied(dma->memory) | is_copied(bar) << 1 | !is_copied(shared->memory) << 2;
}

/* Neither what is pinned nor a view of a device is copied. */
static void memory_is_not_copied(void)
{
	memset(dma->memory, 0x5a, dma->length);
	memset(shared->memory, 0x5a, shared->length);
	flatiommu_write64(bar, 0x5a5a5a5a5a5a5a5a);
	CHECK(in_child(look_at_memory) == 0);
}

static void *hold(void *arg)
{
	struct flatiommu_dma *mine = NULL;

	/* It takes a while, and other calls' locks meanwhile. */
	CHECK(!flatiommu_dma_alloc(flat, 4096, NULL, &mine));
	flatiommu_dma_free(mine);
	return arg;
}

static void forks_while_another_thread_allocates(void)
{
	pthread_t thread;

	fake_maps(300, 0);
	CHECK(!pthread_create(&thread, NULL, hold, NULL));
	sleep_ms(100);
	CHECK(in_child(calls_are_refused) == 0);
	CHECK(in_child(close_it) == 0);
	fake_calls->closes--;
	pthread_join(thread, NULL);
	fake_maps(0, 0);
}

int main(void)
{
	fake_begin(FAKE_IOMMU);
	atexit(close_at_exit);
	device = must_open(FN0);
	dma = must_alloc(1 << 20);
	CHECK(!flatiommu_dma_alloc(flat, 4096, &(struct flatiommu_dma_options){ .flags = FLATIOMMU_DMA_SHARED },
				   &shared));
	CHECK(!flatiommu_bar_map(device, 0, 0, 0, 0, &bar));
	refuses();
	closes_nothing_of_the_parent();
	exit_does_no_harm();
	a_context_of_its_own_works();
	memory_is_not_copied();
	forks_while_another_thread_allocates();
	fake_end();
	return EXIT_SUCCESS;
}
