// SPDX-License-Identifier: MIT
/*
 * Each call of the library to the kernel and to libc fails once, and then also all calls after it.
 * The library reports the failure and its cause, and has changed nothing.
 */
#include <errno.h>
#include <flatiommu.h>
#include <linux/flatiommu.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "api.h"
#include "api-faults/inject.h"
#include "../../lib/iommufd_abi.h"
#include "devices.h"
#include "mem.h"
#include "test.h"
#include "vfio.h"

#define NR_HUGE 32
#define NR_OWN 6
#define MAX_CALLS 1000

static const char *const devices[] = { EDU, NIC, TESTDEV, FN0, FN1, NULL };

static struct flatiommu *other;
static struct flatiommu_device *edu, *nic, *nvme;
static struct flatiommu_dma *shared;
static void *bar;
static char *own;
static int event = -1, memory = -1, table = -1, given = -1;

/* The latest reason, and whatever calls have to say. */
static char said[1024];
static union {
	struct flatiommu *flat;
	struct flatiommu_device *device;
	struct flatiommu_dma *dma;
	void *memory;
	unsigned int offset;
	uint8_t byte;
	uint16_t word;
	uint32_t value;
	int files[2];
	struct {
		struct flatiommu_function_info *functions;
		size_t count;
	} list;
} out;

static void remember(void *arg, enum flatiommu_log level, const char *line)
{
	(void)arg;
	(void)level;
	snprintf(said, sizeof(said), "%s", line);
}

/*
 * A call, and what belongs to it. @before and @after have no faults: what is to be there first, and
 * the end of what succeeded.
 */
struct operation {
	const char *name;
	void (*before)(void);
	int (*run)(void);
	void (*after)(void);
	/* There is another way: it succeeds all the same, or fails. */
	bool has_other_ways;
	/* It has no way to fail, or no context to say why. */
	bool cannot_fail, says_nothing;
	/* It takes a second. */
	bool slow;
};

/* All of what is asked is so, or the test fails and says after which fault. */
#define CHECK(is_so) do { if (!(is_so)) complain(op, fault, #is_so); } while (0)

static void complain(const struct operation *op, const char *fault, const char *what)
{
	print_error("%s, %s: after %s: %s (%s)\n", api_backend, op->name, fault ? fault : "no fault", what,
		    flatiommu_reason(flat));
	fail();
}

static void check_usage(const struct operation *op, const char *fault, const struct usage *before)
{
	struct usage now;

	usage_take(&now);
	if (now.files != before->files || now.allocations != before->allocations ||
	    now.mapped != before->mapped)
		print_error("files %d, were %d; allocations %ld, were %ld; bytes %zu, were %zu\n",
			    now.files, before->files, now.allocations, before->allocations, now.mapped,
			    before->mapped);
	CHECK(now.files == before->files);
	CHECK(now.allocations == before->allocations);
	CHECK(now.mapped == before->mapped);
	CHECK(now.pins == before->pins || !now.pins || !before->pins);
	CHECK(!let_go_too_early());
}

static void succeeds(const struct operation *op)
{
	int ret = op->run();

	if (ret)
		print_error("%s, %s: %s\n", api_backend, op->name, flatiommu_reason(flat));
	expect(0, ret);
	if (op->after)
		op->after();
}

static void check_failure(const struct operation *op, const char *fault, int ret, const void *out_before)
{
	CHECK(ret < 0);
	CHECK(!memcmp(&out, out_before, sizeof(out)));
	CHECK(op->says_nothing || (said[0] && !strcmp(said, flatiommu_reason(flat))));
	CHECK(!strchr(said, '\n'));
}

/* Returns whether there were so many calls. */
static bool fails_at(const struct operation *op, unsigned int nth, bool rest, const struct usage *before)
{
	char out_before[sizeof(out)];
	const char *fault;
	int ret;

	if (op->before)
		op->before();
	memset(&out, 0, sizeof(out));
	memcpy(out_before, &out, sizeof(out));
	said[0] = 0;
	fault_arm(nth, rest);
	ret = op->run();
	fault = fault_disarm();
	if (!fault)
		CHECK(ret == 0);
	if (ret) {
		check_failure(op, fault, ret, out_before);
		/* The next try works. */
		if (!op->slow)
			succeeds(op);
	} else {
		CHECK(!fault || op->cannot_fail || op->has_other_ways || fault_was_minor());
		if (op->after)
			op->after();
	}
	check_usage(op, fault, before);
	return fault;
}

static void each_fails(const struct operation *op, bool rest)
{
	struct usage before;
	unsigned int nth = 1;

	usage_take(&before);
	while (fails_at(op, nth, rest, &before)) {
		nth++;
		assert_true(nth >= 1 && nth <= MAX_CALLS);
	}
	print_message("  %s: %u calls%s\n", op->name, nth - 1, rest ? ", and all after" : "");
}

/* Open and closed. */

/* On flatiommu.ko the library does not have VFIO map its buffers. */
static bool pins_buffers;

static void open_context(void)
{
	setenv("FLATIOMMU_MAP", pins_buffers ? "" : "vfio", 1);
	expect(0, flatiommu_open(&flat));
	flatiommu_set_log(flat, remember, NULL);
}

static void close_context(void)
{
	flatiommu_close(flat);
	flat = NULL;
	kept_free();
}

/* Without devices, and told what it has to say. */
static void new_context(void)
{
	close_context();
	open_context();
}

static int run_open_context(void)
{
	return flatiommu_open(&out.flat);
}

static void close_opened_context(void)
{
	flatiommu_close(out.flat);
}

static void open_edu(void)
{
	expect(0, flatiommu_device_open(flat, EDU, &edu));
}

static void new_with_edu(void)
{
	new_context();
	open_edu();
}

static int run_open_edu(void)
{
	return flatiommu_device_open(flat, EDU, &out.device);
}

static int run_open_testdev(void)
{
	return flatiommu_device_open(flat, TESTDEV, &out.device);
}

static void close_opened_device(void)
{
	/* Whichever way it came, it works. */
	assert_int_equal(flatiommu_isolated(flat), api_isolated());
	assert_string_not_equal(flatiommu_backend(flat), "");
	expect(0, flatiommu_bus_master(out.device, true));
	flatiommu_device_close(out.device);
}

static void opens(void **state)
{
	const struct operation context = {
		.name = "flatiommu_open", .run = run_open_context, .after = close_opened_context,
		.says_nothing = true,
	};
	const struct operation device = {
		.name = "flatiommu_device_open", .run = run_open_edu, .after = close_opened_device,
	};

	(void)state;
	new_context();
	each_fails(&context, false);
	each_fails(&device, false);
	each_fails(&device, true);
	assert_string_equal(flatiommu_backend(flat), "");
	assert_string_equal(flatiommu_backend_reason(flat), "");
	close_context();
}

/* What the library likes best may not work, and then it takes the next one. */
static void opens_unforced(void **state)
{
	const struct operation op = {
		.name = "flatiommu_device_open of any", .run = run_open_edu, .after = close_opened_device,
		.has_other_ways = true,
	};

	(void)state;
	unsetenv("FLATIOMMU_BACKEND");
	new_context();
	each_fails(&op, false);
	close_context();
}

static void join(void **state, bool pinned)
{
	const struct operation op = {
		.name = "flatiommu_device_open beside another", .run = run_open_testdev,
		.after = close_opened_device,
	};
	struct flatiommu_dma *dma[2];

	(void)state;
	pins_buffers = pinned;
	new_with_edu();
	pins_buffers = false;
	/* Of the test's own memory: a pin for a device that did not stay may be left. */
	expect(0, flatiommu_dma_map(flat, own, NR_OWN * PAGE, NULL, &dma[0]));
	expect(0, flatiommu_dma_map(flat, own, 1, NULL, &dma[1]));
	each_fails(&op, false);
	each_fails(&op, true);
	if (pinned) {
		fault_answer(FLATIOMMU_LOOKUP, -ENODEV);
		api_refused(-EXDEV, "or the page of its MSIs, differ from those of the context's other devices",
			    run_open_testdev());
	}
	/* Where they are in the devices' address space is not forgotten. */
	expect(0, flatiommu_dma_alloc(flat, 1, NULL, &out.dma));
	flatiommu_dma_free(out.dma);
	close_context();
}

static void joins(void **state)
{
	join(state, false);
	if (api_is("flatiommu-"))
		join(state, true);
}

/* Buffers. */

static struct flatiommu_dma_options options;
static size_t length;

static int run_alloc(void)
{
	return flatiommu_dma_alloc(flat, length, &options, &out.dma);
}

static void free_allocated(void)
{
	memset(out.dma->memory, 0x5a, out.dma->length);
	flatiommu_dma_free(out.dma);
}

static void out_of_reach_at_first(void)
{
	fault_lie(LIE_HIGH);
}

/* In a context of its own, as with @rest the kernel may be left with mappings that are to be kept. */
static void alloc_fails(const struct operation *op)
{
	struct operation pinned = *op;

	new_with_edu();
	each_fails(op, false);
	close_context();
	new_with_edu();
	each_fails(op, true);
	close_context();
	if (!api_is("flatiommu-"))
		return;
	/* What cannot be pinned is mapped. */
	pins_buffers = true;
	pinned.has_other_ways = true;
	new_with_edu();
	each_fails(&pinned, false);
	close_context();
	new_with_edu();
	each_fails(&pinned, true);
	close_context();
	pins_buffers = false;
}

static void allocates(void **state)
{
	const struct {
		const char *name;
		size_t length;
		struct flatiommu_dma_options options;
	} kinds[] = {
		{ "any", 5000, { 0 } },
		{ "any, large", HUGE_PAGE, { 0 } },
		{ "2 MiB", 1, { .flags = FLATIOMMU_DMA_NO_FALLBACK, .pages = FLATIOMMU_PAGES_2M } },
		{ "transparent", PAGE, { .pages = FLATIOMMU_PAGES_TRANSPARENT } },
		{ "4 KiB", 3 * PAGE, { .pages = FLATIOMMU_PAGES_4K } },
		{ "on a node", PAGE, { .flags = FLATIOMMU_DMA_ON_NODE, .pages = FLATIOMMU_PAGES_4K } },
		{ "contiguous", 2 * PAGE, { .flags = FLATIOMMU_DMA_CONTIGUOUS } },
		{ "shared", 3 * PAGE, { .flags = FLATIOMMU_DMA_SHARED, .pages = FLATIOMMU_PAGES_4K } },
		{ "shared, transparent", PAGE,
		  { .flags = FLATIOMMU_DMA_SHARED, .pages = FLATIOMMU_PAGES_TRANSPARENT } },
		{ "shared, 2 MiB", 1, { .flags = FLATIOMMU_DMA_SHARED | FLATIOMMU_DMA_NO_FALLBACK,
					.pages = FLATIOMMU_PAGES_2M } },
	};
	struct operation op = { .run = run_alloc, .after = free_allocated };
	char name[64];
	size_t i;

	(void)state;
	expect(0, huge_pages(NR_HUGE));
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		snprintf(name, sizeof(name), "flatiommu_dma_alloc, %s", kinds[i].name);
		op.name = name;
		length = kinds[i].length;
		options = kinds[i].options;
		/* For a huge page the limit is asked for: by the capability, or else by number. */
		op.has_other_ways = options.pages != FLATIOMMU_PAGES_4K ||
				    options.flags & FLATIOMMU_DMA_CONTIGUOUS;
		alloc_fails(&op);
	}
}

/* The first memory is out of reach and kept, until the second is had. */
static void allocates_within_reach(void **state)
{
	const struct operation op = {
		.name = "flatiommu_dma_alloc within 48 bits", .before = out_of_reach_at_first,
		.run = run_alloc, .after = free_allocated,
	};

	(void)state;
	/* Of these pages the module has none. */
	options = (struct flatiommu_dma_options){
		.pages = FLATIOMMU_PAGES_TRANSPARENT, .flags = FLATIOMMU_DMA_NO_FALLBACK, .address_bits = 48,
	};
	length = 2 * PAGE;
	alloc_fails(&op);
}

/* From the module. Where that is not loaded, so few bits would be luck. */
static void allocates_by_the_module(void **state)
{
	const struct operation op = {
		.name = "flatiommu_dma_alloc by the module", .run = run_alloc, .after = free_allocated,
		.has_other_ways = true,
	};
	bool has_module = strncmp(getenv("FLATIOMMU_BACKEND"), "noiommu", strlen("noiommu"));

	(void)state;
	options = (struct flatiommu_dma_options){ .address_bits = has_module ? LOW_BITS : 40 };
	length = 2 * PAGE;
	alloc_fails(&op);
	options.flags = FLATIOMMU_DMA_SHARED | FLATIOMMU_DMA_CONTIGUOUS;
	alloc_fails(&op);
}

static int run_map(void)
{
	return flatiommu_dma_map(flat, own + 100, NR_OWN * PAGE - 200, NULL, &out.dma);
}

static void maps(void **state)
{
	const struct operation op = {
		.name = "flatiommu_dma_map", .run = run_map, .after = free_allocated,
	};

	(void)state;
	alloc_fails(&op);
}

/* The kernel finds nothing where it has just mapped. */
static void finds_nothing(void **state)
{
	struct usage before, after;

	(void)state;
	/* Nothing is looked up behind an IOMMU. */
	if (api_isolated())
		skip_for("nothing is looked up behind an IOMMU");
	new_with_edu();
	usage_take(&before);
	said[0] = 0;
	memset(&out, 0, sizeof(out));
	fault_arm(MAX_CALLS, false);
	fault_lie(LIE_NOTHING);
	expect(-EIO, run_map());
	fault_disarm();
	assert_null(out.dma);
	assert_string_not_equal(said, "");
	usage_take(&after);
	assert_int_equal(after.allocations, before.allocations);
	assert_int_equal(after.mapped, before.mapped);
	assert_int_equal(after.pins, before.pins);
	expect(0, run_map());
	free_allocated();
	close_context();
}

/* What cannot fail: the end of buffers, devices and contexts. */

static void alloc_two(void)
{
	new_with_edu();
	expect(0, flatiommu_dma_alloc(flat, 3 * PAGE, NULL, &out.dma));
	expect(0, flatiommu_dma_alloc(flat, 1, &(struct flatiommu_dma_options){
		.flags = FLATIOMMU_DMA_SHARED }, &shared));
}

static int run_free(void)
{
	flatiommu_dma_free(shared);
	return 0;
}

static int run_close(void)
{
	flatiommu_close(flat);
	flat = NULL;
	return 0;
}

static void close_it(void)
{
	run_close();
}

static void open_and_use(void)
{
	alloc_two();
	expect(0, flatiommu_bar_map(edu, 0, 0, 0, 0, &bar));
	expect(0, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, 1, &event));
	expect(0, flatiommu_bus_master(edu, true));
}

static int run_close_device(void)
{
	flatiommu_device_close(edu);
	return 0;
}

static void ends(void **state)
{
	const struct operation ops[] = {
		{ .name = "flatiommu_dma_free", .before = alloc_two, .run = run_free,
		  .after = close_it, .cannot_fail = true },
		{ .name = "flatiommu_device_close", .before = open_and_use, .run = run_close_device,
		  .after = close_it, .cannot_fail = true },
		{ .name = "flatiommu_close", .before = open_and_use, .run = run_close,
		  .cannot_fail = true },
	};
	size_t i;

	(void)state;
	close_context();
	for (i = 0; i < 2 * ARRAY_SIZE(ops); i++)
		each_fails(&ops[i / 2], i % 2);
}

/* The last device is kept for them; with the last of them the context has no backend any more. */
static void buffers_outlive_their_device(void **state)
{
	(void)state;
	alloc_two();
	flatiommu_device_close(edu);
	flatiommu_dma_free(out.dma);
	assert_string_equal(flatiommu_backend(flat), api_backend);
	flatiommu_dma_free(shared);
	assert_string_equal(flatiommu_backend(flat), "");
	expect(-ENODEV, flatiommu_dma_alloc(flat, 1, NULL, &out.dma));
	expect(-ENODEV, flatiommu_dma_map(flat, own, 1, NULL, &out.dma));
	open_edu();
	expect(0, flatiommu_dma_alloc(flat, 1, NULL, &out.dma));
}

/* Regions. */

static int run_map_bar(void)
{
	return flatiommu_bar_map(edu, 0, 0, 0, 0, &out.memory);
}

static int run_map_part(void)
{
	return flatiommu_bar_map(edu, 0, 0x40004, 8, 0, &out.memory);
}

static void unmap_bar(void)
{
	expect(0, flatiommu_bar_unmap(edu, out.memory));
}

static int run_bar_dma(void)
{
	return flatiommu_bar_dma(edu, 0, 0x40004, 8, NULL, &out.dma);
}

static void free_bar_dma(void)
{
	expect(0, flatiommu_dma_free(out.dma));
}

static int run_config8(void)
{
	return flatiommu_config_read8(edu, PCI_REVISION_ID, &out.byte);
}

static int run_config16(void)
{
	return flatiommu_config_read16(edu, PCI_VENDOR_ID, &out.word);
}

static int run_config32(void)
{
	return flatiommu_config_read32(edu, PCI_CLASS_REVISION, &out.value);
}

static int run_write8(void)
{
	return flatiommu_config_write8(edu, PCI_CACHE_LINE_SIZE, 0);
}

static int run_write16(void)
{
	return flatiommu_config_write16(edu, PCI_STATUS, 0);
}

static int run_write32(void)
{
	return flatiommu_config_write32(edu, PCI_BASE_ADDRESS_5, 0);
}

static int run_region_read(void)
{
	return flatiommu_region_read(edu, 0, 0, &out.value, sizeof(out.value));
}

static int run_region_write(void)
{
	const uint32_t value = 0;

	return flatiommu_region_write(edu, 0, 4, &value, sizeof(value));
}

static int run_capability(void)
{
	return flatiommu_capability(edu, PCI_CAP_ID_MSI, &out.offset);
}

static int run_extended(void)
{
	return flatiommu_extended_capability(nic, PCI_EXT_CAP_ID_ERR, &out.offset);
}

static int run_bus_master(void)
{
	return flatiommu_bus_master(edu, true);
}

static void regions(void **state)
{
	static const struct operation peer = {
		.name = "flatiommu_bar_dma", .run = run_bar_dma, .after = free_bar_dma,
	};
	static const struct operation ops[] = {
		{ .name = "flatiommu_bar_map", .run = run_map_bar, .after = unmap_bar },
		{ .name = "flatiommu_bar_map of a part", .run = run_map_part, .after = unmap_bar },
		{ .name = "flatiommu_config_read8", .run = run_config8 },
		{ .name = "flatiommu_config_read16", .run = run_config16 },
		{ .name = "flatiommu_config_read32", .run = run_config32 },
		{ .name = "flatiommu_config_write8", .run = run_write8 },
		{ .name = "flatiommu_config_write16", .run = run_write16 },
		{ .name = "flatiommu_config_write32", .run = run_write32 },
		{ .name = "flatiommu_region_read", .run = run_region_read },
		{ .name = "flatiommu_region_write", .run = run_region_write },
		{ .name = "flatiommu_capability", .run = run_capability },
		{ .name = "flatiommu_extended_capability", .run = run_extended },
		{ .name = "flatiommu_bus_master", .run = run_bus_master },
	};
	size_t i;

	(void)state;
	new_with_edu();
	expect(0, flatiommu_device_open(flat, NIC, &nic));
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		each_fails(&ops[i], false);
	if (strcmp(api_backend, "iommu-iommufd"))
		each_fails(&peer, false);
	close_context();
}

/* Functions of the machine; what cannot be looked for is not there. */

static int run_list(void)
{
	const struct flatiommu_match match = { .vendor = 0x1234, .device = 0x11e8 };

	return flatiommu_function_list(&match, &out.list.functions, &out.list.count);
}

static void free_list(void)
{
	assert_int_equal(out.list.count, 2);
	flatiommu_function_list_free(out.list.functions);
}

static int run_monitor(void)
{
	int fd = flatiommu_monitor_open();

	close(fd);
	return fd < 0 ? fd : 0;
}

static void functions(void **state)
{
	static const struct operation ops[] = {
		{ .name = "flatiommu_function_list", .run = run_list, .after = free_list,
		  .has_other_ways = true, .says_nothing = true },
		{ .name = "flatiommu_monitor_open", .run = run_monitor, .says_nothing = true },
	};
	size_t i;

	(void)state;
	new_context();
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		each_fails(&ops[i], false);
	close_context();
}

static void open_with_nvme(void)
{
	new_with_edu();
	expect(0, flatiommu_device_open(flat, FN0, &nvme));
}

/* Interrupts. */

static struct flatiommu_device *irq_device;
static enum flatiommu_irq irq;
static int events[3];

static int run_irq_vectors(void)
{
	int count = flatiommu_irq_vectors(irq_device, irq);

	return count > 0 ? 0 : count;
}

static int run_irq_enable(void)
{
	return flatiommu_irq_enable(irq_device, irq, 0, irq == FLATIOMMU_IRQ_MSIX ? 3 : 1, events);
}

static void irq_enable(void)
{
	expect(0, run_irq_enable());
}

static int run_irq_disable(void)
{
	return flatiommu_irq_disable(irq_device, irq);
}

static void irq_disable(void)
{
	expect(0, run_irq_disable());
}

static int run_irq_trigger(void)
{
	return flatiommu_irq_trigger(irq_device, irq, 0);
}

static int run_irq_mask(void)
{
	return flatiommu_irq_mask(irq_device, irq);
}

static int run_irq_unmask(void)
{
	return flatiommu_irq_unmask(irq_device, irq);
}

static void irq_fails(struct flatiommu_device *device, enum flatiommu_irq kind)
{
	static const struct operation ops[] = {
		{ .name = "flatiommu_irq_vectors", .run = run_irq_vectors },
		{ .name = "flatiommu_irq_enable", .run = run_irq_enable, .after = irq_disable },
		/* Its vectors are disabled, even if INTx cannot be forbidden then. */
		{ .name = "flatiommu_irq_disable", .before = irq_enable, .run = run_irq_disable,
		  .has_other_ways = true },
		{ .name = "flatiommu_irq_trigger", .before = irq_enable, .run = run_irq_trigger,
		  .after = irq_disable },
		{ .name = "flatiommu_irq_mask", .before = irq_enable, .run = run_irq_mask,
		  .after = irq_disable },
		{ .name = "flatiommu_irq_unmask", .before = irq_enable, .run = run_irq_unmask,
		  .after = irq_disable },
	};
	size_t i, count = kind == FLATIOMMU_IRQ_INTX ? 6 : 4;

	irq_device = device;
	irq = kind;
	for (i = 0; i < count; i++)
		each_fails(&ops[i], false);
}

static void interrupts(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(events); i++)
		events[i] = event;
	open_with_nvme();
	irq_fails(edu, FLATIOMMU_IRQ_INTX);
	irq_fails(edu, FLATIOMMU_IRQ_MSI);
	irq_fails(nvme, FLATIOMMU_IRQ_MSIX);
	irq_fails(nvme, FLATIOMMU_IRQ_ERROR);
	irq_fails(edu, FLATIOMMU_IRQ_REQUEST);
	close_context();
}

/* Resets. */

static int run_reset(void)
{
	return flatiommu_reset(nvme);
}

static int run_hot_reset(void)
{
	return flatiommu_hot_reset(nvme);
}

static void resets(void **state)
{
	static const struct operation reset = { .name = "flatiommu_reset", .run = run_reset, .slow = true };
	static const struct operation hot = {
		.name = "flatiommu_hot_reset", .run = run_hot_reset, .slow = true,
	};

	(void)state;
	open_with_nvme();
	expect(0, flatiommu_device_open(flat, FN1, &out.device));
	each_fails(&reset, false);
	each_fails(&hot, false);
	close_context();
}

/* Other processes, which are this one. */

static int run_export(void)
{
	return flatiommu_dma_export(shared, &out.files[0], &out.files[1]);
}

static void close_exported(void)
{
	close(out.files[0]);
	close(out.files[1]);
}

static int run_import(void)
{
	return flatiommu_dma_import(memory, table, &out.dma);
}

/* On failure it stays the test's, and the next try has it. */
static void duplicate(void)
{
	given = dup(flatiommu_device_fd(edu));
}

static int run_device_import(void)
{
	return flatiommu_device_import(flat, given, "given", &out.device);
}

static void close_imported(void)
{
	flatiommu_device_close(out.device);
}

static void shares(void **state)
{
	static const struct operation export = {
		.name = "flatiommu_dma_export", .run = run_export, .after = close_exported,
	};
	static const struct operation import = {
		.name = "flatiommu_dma_import", .run = run_import, .after = free_allocated,
		.says_nothing = true,
	};

	(void)state;
	new_with_edu();
	options = (struct flatiommu_dma_options){ .flags = FLATIOMMU_DMA_SHARED };
	expect(0, flatiommu_dma_alloc(flat, 3 * PAGE, &options, &shared));
	expect(0, flatiommu_dma_export(shared, &memory, &table));
	each_fails(&export, false);
	each_fails(&import, false);
	close_fd(&memory);
	close_fd(&table);
	close_context();
}

static void imports_a_device(void **state)
{
	static const struct operation op = {
		.name = "flatiommu_device_import", .before = duplicate, .run = run_device_import,
		.after = close_imported,
	};

	(void)state;
	new_with_edu();
	other = flat;
	open_context();
	each_fails(&op, false);
	close_context();
	flatiommu_close(other);
}

/* Answers of the kernel that the machine cannot be brought to give. */
static void says_what_answers_mean(void **state)
{
	const struct flatiommu_dma_options small = { .pages = FLATIOMMU_PAGES_4K };

	(void)state;
	open_with_nvme();
	memset(&out, 0, sizeof(out));
	fault_answer(VFIO_DEVICE_SET_IRQS, 3);
	api_refused(-ENOSPC, "3 vectors left", flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 0, 1, &event));
	expect(0, flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_MSIX, 0, 1, &event));
	expect(0, flatiommu_irq_disable(nvme, FLATIOMMU_IRQ_MSIX));
	fault_answer(VFIO_DEVICE_RESET, -EAGAIN);
	api_refused(-EAGAIN, "VFIO_DEVICE_RESET", flatiommu_reset(nvme));
	fault_answer(api_is("iommufd") ? IOAS_MAP : api_is("type1") ? VFIO_IOMMU_MAP_DMA : FLATIOMMU_PIN,
		     -EADDRNOTAVAIL);
	api_refused(-EADDRNOTAVAIL, "kernel log", flatiommu_dma_alloc(flat, PAGE, &small, &out.dma));
	expect(0, flatiommu_dma_alloc(flat, PAGE, &small, &out.dma));
	free_allocated();
	close_context();

}

/* What is said of an answer of the kernel; for_what() does what it is the answer to. */
struct answer {
	unsigned long request;
	int error;
	const char *word;
};

static void expect_said(const struct answer *answers, size_t count, int (*for_what)(void))
{
	size_t i;

	for (i = 0; i < count; i++) {
		fault_answer(answers[i].request, answers[i].error);
		api_refused(answers[i].error, answers[i].word, for_what());
	}
}

static int open_out(void)
{
	return flatiommu_device_open(flat, EDU, &out.device);
}

static int alloc_out(void)
{
	const struct flatiommu_dma_options small = { .pages = FLATIOMMU_PAGES_4K };

	return flatiommu_dma_alloc(flat, PAGE, &small, &out.dma);
}

static int alloc_low(void)
{
	const struct flatiommu_dma_options low = { .address_bits = LOW_BITS };

	return flatiommu_dma_alloc(flat, PAGE, &low, &out.dma);
}

static int enable_intx(void)
{
	return flatiommu_irq_enable(nvme, FLATIOMMU_IRQ_INTX, 0, 1, &event);
}

static int reset_nvme(void)
{
	return flatiommu_reset(nvme);
}

/* Lines of tests/causes.list of which the machine has no cause. */
static void says_each_cause(void **state)
{
	static const struct answer of_group[] = {
		{ VFIO_GROUP_GET_DEVICE_FD, -EAGAIN, "it is being bound, unbound or reset. Cure: try again" },
		{ VFIO_GROUP_GET_DEVICE_FD, -ENODEV, "it is being unbound or removed" },
		{ VFIO_GROUP_GET_DEVICE_FD, -EINVAL, "it cannot be enabled, for example because a BAR has no address" },
		{ VFIO_GROUP_SET_CONTAINER, -EBUSY, "another driver or program has functions of its group" },
	};
	static const struct answer of_declare[] = {
		{ FLATIOMMU_DECLARE, -EACCES, "the kernel is locked down" },
		{ FLATIOMMU_DECLARE, -ENODEV, "it is being removed" },
		{ FLATIOMMU_DECLARE, -ENOENT, "its claim was released" },
		{ FLATIOMMU_DECLARE, -ENOSPC, "64 other programs look up its addresses already" },
	};
	static const struct answer of_lookup[] = {
		{ FLATIOMMU_LOOKUP, -ENOENT, "nothing is mapped there" },
		{ FLATIOMMU_LOOKUP, -ENODEV, "the device was removed, or its claim released" },
		{ FLATIOMMU_LOOKUP, -ERANGE, "the device has no bus address for it" },
	};
	static const struct answer of_pin[] = {
		{ FLATIOMMU_PIN, -EPERM, "another program has the function through VFIO" },
		{ FLATIOMMU_PIN, -EBUSY, "it is being bound or unbound" },
		{ FLATIOMMU_PIN, -ENOSPC, "/dev/flatiommu has no pin left" },
		{ FLATIOMMU_PIN, -EALREADY, "an IOMMU translates for it" },
	};
	static const struct answer of_alloc[] = {
		{ FLATIOMMU_ALLOC, -EPERM, "another program has the function through VFIO" },
		{ FLATIOMMU_ALLOC, -EBUSY, "it is being bound or unbound" },
		{ FLATIOMMU_ALLOC, -EALREADY, "an IOMMU translates for it" },
		{ FLATIOMMU_ALLOC, -EACCES, "the kernel is locked down" },
		{ FLATIOMMU_ALLOC, -ENODEV, "it was removed" },
		{ FLATIOMMU_ALLOC, -EMFILE, "no more files can be opened" },
		{ FLATIOMMU_ALLOC, -ENOMEM, "the machine has no such memory" },
	};
	static const struct answer of_type1[] = {
		{ VFIO_IOMMU_MAP_DMA, -ENOMEM, "the kernel or this cgroup has no memory left" },
		{ VFIO_IOMMU_MAP_DMA, -ENOSPC, "type1 has no mapping left" },
	};
	static const struct answer of_intx[] = {
		{ VFIO_DEVICE_SET_IRQS, -EBUSY, "another driver uses its interrupt line exclusively" },
		{ VFIO_DEVICE_SET_IRQS, -ENODEV, "it has no interrupt line" },
		{ VFIO_DEVICE_SET_IRQS, -ENOSPC, "the machine has no vectors left" },
	};
	static const struct answer of_reset[] = {
		{ VFIO_DEVICE_RESET, -EAGAIN, "it is being bound, unbound or reset. Cure: try again" },
		{ VFIO_DEVICE_RESET, -ENOTTY, "it does not answer, or cannot be reset any more" },
	};

	(void)state;
	new_context();
	memset(&out, 0, sizeof(out));
	if (!api_is("iommufd"))
		expect_said(of_group, ARRAY_SIZE(of_group), open_out);
	if (api_is("flatiommu-"))
		expect_said(of_declare, ARRAY_SIZE(of_declare), open_out);
	open_with_nvme();
	if (api_is("flatiommu-") || api_is("noiommu-group"))
		expect_said(of_lookup, ARRAY_SIZE(of_lookup), alloc_out);
	if (api_is("noiommu-group"))
		expect_said(of_pin, ARRAY_SIZE(of_pin), alloc_out);
	if (!api_isolated())
		expect_said(of_alloc, ARRAY_SIZE(of_alloc), alloc_low);
	if (api_is("type1"))
		expect_said(of_type1, ARRAY_SIZE(of_type1), alloc_out);
	expect_said(of_intx, ARRAY_SIZE(of_intx), enable_intx);
	expect_said(of_reset, ARRAY_SIZE(of_reset), reset_nvme);
	close_context();
}

/* A node that is not there: what the library says, and that it works again. */
static void expect_missing(const char *node, int error, const char *cure)
{
	char away[64];

	snprintf(away, sizeof(away), "%s-away", node);
	expect(0, rename(node, away));
	new_context();
	memset(&out, 0, sizeof(out));
	api_refused(error, cure, flatiommu_device_open(flat, EDU, &out.device));
	expect(0, rename(away, node));
	assert_null(out.device);
	expect(0, flatiommu_device_open(flat, EDU, &out.device));
	close_context();
}

static void misses_nodes(void **state)
{
	(void)state;
	if (!api_isolated() && !api_is("noiommu-iommufd"))
		expect_missing("/dev/flatiommu", -ENOENT, "pass it in (--device /dev/flatiommu;");
	if (api_is("iommufd"))
		expect_missing("/dev/iommu", -EOPNOTSUPP, "there is no /dev/iommu");
	else
		expect_missing("/dev/vfio/vfio", -ENOENT, "pass it in (--device /dev/vfio/vfio;");
}

int main(void)
{
	static const struct api_test tests[] = {
		API_TEST(opens),
		API_TEST(opens_unforced),
		API_TEST(joins),
		API_TEST(allocates),
		API_TEST(allocates_within_reach),
		API_TEST(allocates_by_the_module),
		API_TEST(maps),
		API_TEST(finds_nothing),
		API_TEST(ends),
		API_TEST(buffers_outlive_their_device),
		API_TEST(regions),
		API_TEST(functions),
		API_TEST(interrupts),
		API_TEST(resets),
		API_TEST(shares),
		API_TEST(imports_a_device),
		API_TEST(says_what_answers_mean),
		API_TEST(says_each_cause),
		API_TEST(misses_nodes),
	};

	own = mem_scattered(NR_OWN);
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!own || event < 0)
		return EXIT_FAILURE;
	usage_own(own, NR_OWN * PAGE);
	return api_run(tests, ARRAY_SIZE(tests), devices);
}
