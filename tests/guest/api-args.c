// SPDX-License-Identifier: MIT
/*
 * Each function with each kind of invalid argument: it fails, with a reason if there is a context,
 * and writes nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api.h"
#include "devices.h"
#include "mem.h"
#include "test.h"
#include "vfio.h"

#define NOWHERE ((void *)0x5a5a5a5a)

static const char *const devices[] = { EDU, NULL };

static char said[1024];
static struct flatiommu_device *edu;

static void remember(void *arg, enum flatiommu_log level, const char *line)
{
	(void)arg;
	(void)level;
	snprintf(said, sizeof(said), "%s", line);
}

static void open_edu(void)
{
	flatiommu_set_log(flat, remember, NULL);
	edu = api_open(EDU);
}

/* refuses(-EINVAL, call): and says why. */
#define refuses(wanted, call) do {				\
		said[0] = 0;					\
		expect(wanted, call);				\
		assert_string_not_equal(said, "");		\
		assert_string_equal(said, flatiommu_reason(flat)); \
	} while (0)

static void contexts(void **state)
{
	(void)state;
	expect(-EINVAL, flatiommu_open(NULL));
	flatiommu_close(NULL);
	flatiommu_set_log(NULL, remember, NULL);
	assert_non_null(flatiommu_reason(NULL));
	assert_string_equal(flatiommu_reason(flat), "");
	assert_string_equal(flatiommu_backend(NULL), "");
	assert_string_equal(flatiommu_backend(flat), "");
	assert_string_equal(flatiommu_backend_reason(NULL), "");
	assert_string_equal(flatiommu_backend_reason(flat), "");
	assert_false(flatiommu_isolated(NULL));
	assert_false(flatiommu_isolated(flat));
}

static void addresses(void **state)
{
	static const char *const none[] = {
		"", ":", "0", "00:06", "00:06.", "00:06.8", "00:20.0", "100:00.0", "0000:00:06.0 ",
		" 0000:00:06.0", "0000: 0:06.0", "0000:-1:06.0", "0000:+0:06.0", "-1:00:06.0", "0x0:00:06.0",
		"0000:0x:06.0", "0000:00:06.0.0", "0000:00:06.00", "0000:00:06,0", "000000000:00:06.0",
		"00000000:00:06.0", "ffffffff:ff:1f.7", "0:06.0", "00:6.0", "/0000:00:06.0", "../0000:00:06.0", "edu",
	};
	static const char *const absent[] = {
		"ffff:00:06.0", "10000:00:00.0", "7fffffff:ff:1f.7", "0000:ff:1f.7", "00:06.7",
	};
	struct flatiommu_device *device = NOWHERE;
	size_t i;

	(void)state;
	flatiommu_set_log(flat, remember, NULL);
	expect(-EINVAL, flatiommu_device_open(NULL, EDU, &device));
	refuses(-EINVAL, flatiommu_device_open(flat, NULL, &device));
	refuses(-EINVAL, flatiommu_device_open(flat, EDU, NULL));
	for (i = 0; i < ARRAY_SIZE(none); i++) {
		print_message("  \"%s\"\n", none[i]);
		refuses(-EINVAL, flatiommu_device_open(flat, none[i], &device));
	}
	for (i = 0; i < ARRAY_SIZE(absent); i++)
		refuses(-ENODEV, flatiommu_device_open(flat, absent[i], &device));
	refuses(-ENXIO, flatiommu_device_open(flat, BRIDGE, &device));
	assert_ptr_equal(device, NOWHERE);
	/* The same function, written in another way. */
	expect(0, flatiommu_device_open(flat, "00:06.0", &device));
	assert_string_equal(flatiommu_device_name(device), EDU);
	refuses(-EBUSY, flatiommu_device_open(flat, EDU, &device));
}

/* As addresses.t has the module and the command. The list is where tests run. */
static void listed_addresses(void **state)
{
	FILE *list = fopen("addresses.list", "re");
	char line[256], *tab;
	int n = 0;

	(void)state;
	assert_non_null(list);
	while (fgets(line, sizeof(line), list)) {
		struct flatiommu_device *device;
		int err;

		line[strcspn(line, "\n")] = '\0';
		tab = strchr(line, '\t');
		if (line[0] == '#' || !tab)
			continue;
		*tab = '\0';
		err = flatiommu_device_open(flat, tab + 1, &device);
		if (!err) {
			assert_string_equal(flatiommu_device_name(device), line);
			flatiommu_device_close(device);
		} else if ((err == -EINVAL) != !strcmp(line, "-")) {
			print_error("\"%s\": %s\n", tab + 1, flatiommu_reason(flat));
			fail();
		} else if (err != -EINVAL) {
			assert_memory_equal(flatiommu_reason(flat), line, strlen(line));
		}
		n++;
	}
	fclose(list);
	assert_true(n > 40);
}

static void no_device(void **state)
{
	uint8_t byte;
	uint16_t word;
	uint32_t value;
	struct flatiommu_device_info info;
	unsigned int offset = 0;
	int event = 0;
	void *memory;

	(void)state;
	flatiommu_device_close(NULL);
	assert_string_equal(flatiommu_device_name(NULL), "");
	expect(-EINVAL, flatiommu_device_get_info(NULL, &info));
	expect(-EINVAL, flatiommu_device_fd(NULL));
	expect(-EINVAL, flatiommu_bus_master(NULL, true));
	expect(-EINVAL, flatiommu_reset(NULL));
	expect(-EINVAL, flatiommu_hot_reset(NULL));
	expect(-EINVAL, flatiommu_quiet(NULL));
	expect(-EINVAL, (int)flatiommu_region_size(NULL, 0));
	expect(-EINVAL, flatiommu_bar_map(NULL, 0, 0, 0, 0, &memory));
	expect(-EINVAL, flatiommu_bar_unmap(NULL, &memory));
	expect(-EINVAL, flatiommu_region_read(NULL, 0, 0, &value, 4));
	expect(-EINVAL, flatiommu_region_write(NULL, 0, 0, &event, 4));
	expect(-EINVAL, flatiommu_config_read8(NULL, 0, &byte));
	expect(-EINVAL, flatiommu_config_read16(NULL, 0, &word));
	expect(-EINVAL, flatiommu_config_read32(NULL, 0, &value));
	expect(-EINVAL, flatiommu_config_write8(NULL, 0, 0));
	expect(-EINVAL, flatiommu_config_write16(NULL, 0, 0));
	expect(-EINVAL, flatiommu_config_write32(NULL, 0, 0));
	expect(-EINVAL, flatiommu_capability(NULL, PCI_CAP_ID_MSI, &offset));
	expect(-EINVAL, flatiommu_extended_capability(NULL, PCI_EXT_CAP_ID_ERR, &offset));
	expect(-EINVAL, flatiommu_irq_vectors(NULL, FLATIOMMU_IRQ_MSI));
	expect(-EINVAL, flatiommu_irq_enable(NULL, FLATIOMMU_IRQ_MSI, 0, 1, &event));
	expect(-EINVAL, flatiommu_irq_disable(NULL, FLATIOMMU_IRQ_MSI));
	expect(-EINVAL, flatiommu_irq_trigger(NULL, FLATIOMMU_IRQ_MSI, 0));
	expect(-EINVAL, flatiommu_irq_mask(NULL, FLATIOMMU_IRQ_INTX));
	expect(-EINVAL, flatiommu_irq_unmask(NULL, FLATIOMMU_IRQ_INTX));
}

static void imports(void **state)
{
	const char too_long[] = "0123456789abcdef0123456789abcdef";
	struct flatiommu_device *device = NOWHERE;
	int event = eventfd(0, EFD_CLOEXEC), null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	flatiommu_set_log(flat, remember, NULL);
	expect(-EINVAL, flatiommu_device_import(NULL, event, "name", &device));
	refuses(-EINVAL, flatiommu_device_import(flat, event, NULL, &device));
	refuses(-EINVAL, flatiommu_device_import(flat, event, "name", NULL));
	refuses(-ENAMETOOLONG, flatiommu_device_import(flat, event, too_long, &device));
	refuses(-EBADF, flatiommu_device_import(flat, -1, "name", &device));
	refuses(-EBADF, flatiommu_device_import(flat, 9999, "name", &device));
	refuses(-ENOTTY, flatiommu_device_import(flat, event, too_long + 1, &device));
	refuses(-ENOTTY, flatiommu_device_import(flat, null, "", &device));
	open_edu();
	refuses(-EXDEV, flatiommu_device_import(flat, null, "name", &device));
	assert_ptr_equal(device, NOWHERE);
	/* They are still the caller's. */
	expect(0, close(event));
	expect(0, close(null));
}

static void alloc_refuses(int wanted, size_t length, struct flatiommu_dma_options options)
{
	struct flatiommu_dma *dma = NOWHERE;

	refuses(wanted, flatiommu_dma_alloc(flat, length, &options, &dma));
	assert_ptr_equal(dma, NOWHERE);
}

static void allocations(void **state)
{
	const size_t no_lengths[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 1, SIZE_MAX / 2, SIZE_MAX / 4 };
	struct flatiommu_dma_options options = { 0 };
	struct flatiommu_dma *dma = NOWHERE;
	uint32_t pages;
	size_t i;

	(void)state;
	flatiommu_set_log(flat, remember, NULL);
	alloc_refuses(-ENODEV, 1, options);
	edu = api_open(EDU);
	expect(-EINVAL, flatiommu_dma_alloc(NULL, 1, NULL, &dma));
	refuses(-EINVAL, flatiommu_dma_alloc(flat, 0, NULL, &dma));
	refuses(-EINVAL, flatiommu_dma_alloc(flat, 1, NULL, NULL));
	alloc_refuses(-EOPNOTSUPP, 1, (struct flatiommu_dma_options){ .flags = FLATIOMMU_DMA_WRITE_ONLY << 1 });
	alloc_refuses(-EINVAL, 1, (struct flatiommu_dma_options){
		.flags = FLATIOMMU_DMA_READ_ONLY | FLATIOMMU_DMA_WRITE_ONLY });
	alloc_refuses(-EOPNOTSUPP, 1, (struct flatiommu_dma_options){ .flags = UINT32_MAX });
	alloc_refuses(-EOPNOTSUPP, 1, (struct flatiommu_dma_options){ .reserved = { 1 } });
	alloc_refuses(-EOPNOTSUPP, 1, (struct flatiommu_dma_options){ .reserved = { 0, 1 } });
	alloc_refuses(-EINVAL, 1, (struct flatiommu_dma_options){ .pages = FLATIOMMU_PAGES_4K + 1 });
	alloc_refuses(-EINVAL, 1, (struct flatiommu_dma_options){ .pages = UINT32_MAX });
	alloc_refuses(-EINVAL, 1, (struct flatiommu_dma_options){ .address_bits = 11 });
	alloc_refuses(-EINVAL, 1, (struct flatiommu_dma_options){ .address_bits = 65 });
	alloc_refuses(-EINVAL, 1, (struct flatiommu_dma_options){ .address_bits = UINT32_MAX });
	options.flags = FLATIOMMU_DMA_ON_NODE;
	options.node = -1;
	alloc_refuses(-EINVAL, 1, options);
	options.node = INT32_MAX;
	alloc_refuses(-EINVAL, 1, options);
	/* More than there can be, of every kind. */
	for (i = 0; i < ARRAY_SIZE(no_lengths); i++) {
		for (pages = FLATIOMMU_PAGES_ANY; pages <= FLATIOMMU_PAGES_4K; pages++) {
			options = (struct flatiommu_dma_options){ .pages = pages };
			alloc_refuses(-ENOMEM, no_lengths[i], options);
			options.flags = FLATIOMMU_DMA_SHARED;
			alloc_refuses(-ENOMEM, no_lengths[i], options);
			options.flags |= FLATIOMMU_DMA_CONTIGUOUS | FLATIOMMU_DMA_NO_FALLBACK;
			alloc_refuses(-ENOMEM, no_lengths[i], options);
		}
	}
	assert_ptr_equal(dma, NOWHERE);
}

static void maps(void **state)
{
	struct flatiommu_dma *dma = NOWHERE;
	char *page = mem_pages(1);

	(void)state;
	flatiommu_set_log(flat, remember, NULL);
	refuses(-ENODEV, flatiommu_dma_map(flat, page, PAGE, NULL, &dma));
	edu = api_open(EDU);
	expect(-EINVAL, flatiommu_dma_map(NULL, page, PAGE, NULL, &dma));
	refuses(-EINVAL, flatiommu_dma_map(flat, NULL, PAGE, NULL, &dma));
	refuses(-EINVAL, flatiommu_dma_map(flat, page, PAGE, NULL, NULL));
	refuses(-EINVAL, flatiommu_dma_map(flat, page, 0, NULL, &dma));
	refuses(-EINVAL, flatiommu_dma_map(flat, page, SIZE_MAX, NULL, &dma));
	refuses(-EINVAL, flatiommu_dma_map(flat, page, PAGE, &(struct flatiommu_dma_options){ .address_bits = 11 }, &dma));
	refuses(-EINVAL, flatiommu_dma_map(flat, page, PAGE, &(struct flatiommu_dma_options){ .address_bits = 65 }, &dma));
	refuses(-EINVAL, flatiommu_dma_map(flat, (void *)-PAGE, 2 * PAGE, NULL, &dma));
	/* Nobody's, and the kernel's. */
	refuses(-EFAULT, flatiommu_dma_map(flat, (void *)PAGE, PAGE, NULL, &dma));
	refuses(-EFAULT, flatiommu_dma_map(flat, (void *)0xffff888000000000, PAGE, NULL, &dma));
	/* More of it than there is, or than any address space has. */
	refuses(-EFAULT, flatiommu_dma_map(flat, page, HUGE_PAGE * 1024, NULL, &dma));
	assert_true(flatiommu_dma_map(flat, page, SIZE_MAX / 4, NULL, &dma) < 0);
	assert_ptr_equal(dma, NOWHERE);
	flatiommu_dma_free(NULL);
	mem_free(page, PAGE);
}

static void gathers(void **state)
{
	const struct flatiommu_dma_limits wrong[] = {
		{ .boundary = 3 }, { .boundary = UINT64_MAX }, { .alignment = 3 }, { .address_bits = 65 },
		{ .address_bits = UINT32_MAX },
	}, reserved = { .reserved = { 1 } };
	struct flatiommu_dma_segment segments[2] = { { 0 } };
	struct flatiommu_dma *dma;
	size_t n = 2, i;

	(void)state;
	open_edu();
	expect(0, flatiommu_dma_alloc(flat, 100, NULL, &dma));
	assert_true(flatiommu_dma_address(dma, 100) == UINT64_MAX);
	assert_true(flatiommu_dma_address(dma, SIZE_MAX) == UINT64_MAX);
	expect(-EINVAL, flatiommu_dma_gather(NULL, 0, 1, NULL, segments, &n));
	expect(-EINVAL, flatiommu_dma_gather(dma, 0, 1, NULL, NULL, &n));
	expect(-EINVAL, flatiommu_dma_gather(dma, 0, 1, NULL, segments, NULL));
	expect(-EINVAL, flatiommu_dma_gather(dma, 0, 0, NULL, segments, &n));
	expect(-EINVAL, flatiommu_dma_gather(dma, 0, 101, NULL, segments, &n));
	expect(-EINVAL, flatiommu_dma_gather(dma, 100, 1, NULL, segments, &n));
	expect(-EINVAL, flatiommu_dma_gather(dma, 101, 1, NULL, segments, &n));
	expect(-EINVAL, flatiommu_dma_gather(dma, SIZE_MAX, 1, NULL, segments, &n));
	expect(-EINVAL, flatiommu_dma_gather(dma, 1, SIZE_MAX, NULL, segments, &n));
	for (i = 0; i < ARRAY_SIZE(wrong); i++)
		expect(-EINVAL, flatiommu_dma_gather(dma, 0, 1, &wrong[i], segments, &n));
	expect(-EOPNOTSUPP, flatiommu_dma_gather(dma, 0, 1, &reserved, segments, &n));
	assert_int_equal(n, 2);
	assert_true(!segments[0].address && !segments[0].length);
}

static void exports(void **state)
{
	const struct flatiommu_dma_options options = { .flags = FLATIOMMU_DMA_SHARED };
	struct flatiommu_dma *dma, *private, *imported = NOWHERE;
	int memory = -7, table = -7;

	(void)state;
	open_edu();
	expect(0, flatiommu_dma_alloc(flat, 100, NULL, &private));
	expect(0, flatiommu_dma_alloc(flat, 100, &options, &dma));
	expect(-EINVAL, flatiommu_dma_export(NULL, &memory, &table));
	refuses(-EINVAL, flatiommu_dma_export(dma, NULL, &table));
	refuses(-EINVAL, flatiommu_dma_export(dma, &memory, NULL));
	refuses(-EOPNOTSUPP, flatiommu_dma_export(private, &memory, &table));
	assert_int_equal(memory, -7);
	assert_int_equal(table, -7);
	expect(0, flatiommu_dma_export(dma, &memory, &table));
	expect(-EINVAL, flatiommu_dma_import(memory, table, NULL));
	expect(-EBADF, flatiommu_dma_import(-1, table, &imported));
	expect(-EBADF, flatiommu_dma_import(9999, table, &imported));
	expect(-EBADF, flatiommu_dma_import(memory, -1, &imported));
	expect(-EBADF, flatiommu_dma_import(memory, 9999, &imported));
	expect(-EBADMSG, flatiommu_dma_import(memory, memory, &imported));
	expect(-EBADMSG, flatiommu_dma_import(table, table, &imported));
	expect(-EBADMSG, flatiommu_dma_import(table, memory, &imported));
	expect(-EBADMSG, flatiommu_dma_import(0, table, &imported));
	expect(-EBADMSG, flatiommu_dma_import(memory, 0, &imported));
	assert_ptr_equal(imported, NOWHERE);
	/* What is imported is not exported again. */
	expect(0, flatiommu_dma_import(memory, table, &imported));
	expect(-EINVAL, flatiommu_dma_export(imported, &memory, &table));
	flatiommu_dma_free(imported);
	close(memory);
	close(table);
}

/* A sealed file of so many words, or -errno. */
static int sealed(const uint64_t *words, size_t size, int seals)
{
	int fd = memfd_create("words", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (write(fd, words, size) != (ssize_t)size || fcntl(fd, F_ADD_SEALS, seals))) {
		close(fd);
		return -EIO;
	}
	return fd;
}

static void expect_no_table(int memory, const uint64_t *words, size_t size, int seals)
{
	struct flatiommu_dma *imported = NOWHERE;
	int fd = expect_good(sealed(words, size, seals));

	expect(-EBADMSG, flatiommu_dma_import(memory, fd, &imported));
	assert_ptr_equal(imported, NOWHERE);
	close(fd);
}

/* Each word of a table, as another process could have it. */
static void forged_tables(void **state)
{
	/* All but the addresses, which nobody can check. */
	enum { MAGIC, LENGTH, SPAN, PAGE_SIZE, COUNT, DEV, INO, ADDRESS, SIZE, WORDS };
	const int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	const struct flatiommu_dma_options options = {
		.flags = FLATIOMMU_DMA_SHARED, .pages = FLATIOMMU_PAGES_4K,
	};
	const uint64_t values[] = { 0, 1, PAGE - 1, PAGE + 1, 1ull << 60, 1ull << 63, UINT64_MAX };
	uint64_t good[WORDS], bad[WORDS];
	struct flatiommu_dma *dma;
	int memory, table;
	size_t i, k;

	(void)state;
	open_edu();
	expect(0, flatiommu_dma_alloc(flat, PAGE, &options, &dma));
	expect(0, flatiommu_dma_export(dma, &memory, &table));
	assert_int_equal(pread(table, good, sizeof(good), 0), sizeof(good));
	assert_int_equal(good[COUNT], 1);
	for (i = 0; i < WORDS; i++) {
		for (k = 0; i != ADDRESS && k < ARRAY_SIZE(values); k++) {
			memcpy(bad, good, sizeof(bad));
			if (bad[i] == values[k] || (i == LENGTH && values[k] < PAGE))
				continue;
			bad[i] = values[k];
			expect_no_table(memory, bad, sizeof(bad), all);
		}
	}
	/* Cut off, with more than it says, not of one segment, or one that can still be changed. */
	for (i = 0; i < sizeof(good); i += 4)
		expect_no_table(memory, good, i, all);
	memcpy(bad, good, sizeof(bad));
	bad[LENGTH] = PAGE - 1;
	expect_no_table(memory, bad, sizeof(bad), all);
	expect_no_table(memory, good, sizeof(good), all & ~F_SEAL_WRITE);
	expect_no_table(memory, good, sizeof(good), all & ~F_SEAL_SHRINK);
	expect_no_table(memory, good, sizeof(good), all & ~F_SEAL_SEAL);
	close(memory);
	close(table);
}

static void regions(void **state)
{
	const uint64_t size = 1 << 20;
	void *memory = NOWHERE;
	uint32_t value = 7;

	(void)state;
	open_edu();
	assert_int_equal(flatiommu_region_size(edu, 0), size);
	refuses(-EINVAL, (int)flatiommu_region_size(edu, 9));
	refuses(-EINVAL, (int)flatiommu_region_size(edu, UINT32_MAX));
	refuses(-EINVAL, flatiommu_bar_map(edu, 0, 0, 0, 0, NULL));
	refuses(-EINVAL, flatiommu_bar_map(edu, FLATIOMMU_REGION_ROM, 0, 0, 0, &memory));
	refuses(-EINVAL, flatiommu_bar_map(edu, FLATIOMMU_REGION_CONFIG, 0, 0, 0, &memory));
	refuses(-EINVAL, flatiommu_bar_map(edu, UINT32_MAX, 0, 0, 0, &memory));
	refuses(-EOPNOTSUPP, flatiommu_bar_map(edu, 0, 0, 0, 2, &memory));
	refuses(-EOPNOTSUPP, flatiommu_bar_map(edu, 0, 0, 0, UINT32_MAX, &memory));
	refuses(-ENXIO, flatiommu_bar_map(edu, 1, 0, 0, 0, &memory));
	refuses(-ERANGE, flatiommu_bar_map(edu, 0, size, 0, 0, &memory));
	refuses(-ERANGE, flatiommu_bar_map(edu, 0, UINT64_MAX, 0, 0, &memory));
	refuses(-ERANGE, flatiommu_bar_map(edu, 0, 0, size + 1, 0, &memory));
	refuses(-ERANGE, flatiommu_bar_map(edu, 0, 1, size, 0, &memory));
	refuses(-ERANGE, flatiommu_bar_map(edu, 0, 0, SIZE_MAX, 0, &memory));
	refuses(-ERANGE, flatiommu_bar_map(edu, 0, 1, SIZE_MAX, 0, &memory));
	assert_ptr_equal(memory, NOWHERE);
	refuses(-ENOENT, flatiommu_bar_unmap(edu, NULL));
	refuses(-ENOENT, flatiommu_bar_unmap(edu, &value));
	expect(0, flatiommu_bar_map(edu, 0, 0, 0, 0, &memory));
	refuses(-ENOENT, flatiommu_bar_unmap(edu, (char *)memory + 4));
	expect(0, flatiommu_bar_unmap(edu, memory));
	refuses(-ENOENT, flatiommu_bar_unmap(edu, memory));

	refuses(-EINVAL, flatiommu_region_read(edu, 0, 0, NULL, 4));
	refuses(-EINVAL, flatiommu_region_write(edu, 0, 0, NULL, 4));
	refuses(-EINVAL, flatiommu_region_read(edu, 9, 0, &value, 4));
	refuses(-EINVAL, flatiommu_region_write(edu, UINT32_MAX, 0, &value, 4));
	refuses(-ENXIO, flatiommu_region_read(edu, 1, 0, &value, 4));
	refuses(-ENXIO, flatiommu_region_write(edu, 5, 0, &value, 4));
	refuses(-ERANGE, flatiommu_region_read(edu, 0, size, &value, 4));
	refuses(-ERANGE, flatiommu_region_read(edu, 0, UINT64_MAX, &value, 4));
	refuses(-ERANGE, flatiommu_region_read(edu, 0, UINT64_MAX - 3, &value, 4));
	refuses(-ERANGE, flatiommu_region_write(edu, 0, size - 3, &value, 4));
	refuses(-ERANGE, flatiommu_region_write(edu, 0, 4, &value, SIZE_MAX));
	assert_int_equal(value, 7);
}

static void config_space(void **state)
{
	unsigned int size, offset = 0;
	uint8_t byte = 7;
	uint16_t word = 7;
	uint32_t value = 7;

	(void)state;
	open_edu();
	size = (unsigned int)flatiommu_region_size(edu, FLATIOMMU_REGION_CONFIG);
	assert_true(size == PCI_CFG_SPACE_SIZE || size == PCI_CFG_SPACE_EXP_SIZE);
	refuses(-EINVAL, flatiommu_config_read8(edu, 0, NULL));
	refuses(-EINVAL, flatiommu_config_read16(edu, 0, NULL));
	refuses(-EINVAL, flatiommu_config_read32(edu, 0, NULL));
	refuses(-ERANGE, flatiommu_config_read8(edu, size, &byte));
	refuses(-ERANGE, flatiommu_config_read16(edu, size - 1, &word));
	refuses(-ERANGE, flatiommu_config_read32(edu, size - 3, &value));
	refuses(-ERANGE, flatiommu_config_read32(edu, UINT32_MAX, &value));
	refuses(-ERANGE, flatiommu_config_write8(edu, size, 0));
	refuses(-ERANGE, flatiommu_config_write16(edu, size - 1, 0));
	refuses(-ERANGE, flatiommu_config_write32(edu, UINT32_MAX, 0));
	assert_true(byte == 7 && word == 7 && value == 7);

	refuses(-EINVAL, flatiommu_capability(edu, PCI_CAP_ID_MSI, NULL));
	refuses(-EINVAL, flatiommu_extended_capability(edu, PCI_EXT_CAP_ID_ERR, NULL));
	refuses(-ENOENT, flatiommu_capability(edu, 0xff, &offset));
	refuses(-ENOENT, flatiommu_extended_capability(edu, 0xffff, &offset));
	assert_int_equal(offset, 0);
	/* No capability can be there. */
	for (offset = 1; offset < PCI_STD_HEADER_SIZEOF; offset += 3)
		refuses(-EINVAL, flatiommu_capability(edu, PCI_CAP_ID_MSI, &offset));
	offset = PCI_CFG_SPACE_SIZE;
	refuses(-EINVAL, flatiommu_capability(edu, PCI_CAP_ID_MSI, &offset));
	offset = UINT32_MAX;
	refuses(-EINVAL, flatiommu_capability(edu, PCI_CAP_ID_MSI, &offset));
	refuses(-EINVAL, flatiommu_extended_capability(edu, PCI_EXT_CAP_ID_ERR, &offset));
	offset = PCI_CFG_SPACE_SIZE - 4;
	refuses(-EINVAL, flatiommu_extended_capability(edu, PCI_EXT_CAP_ID_ERR, &offset));
	assert_int_equal(offset, PCI_CFG_SPACE_SIZE - 4);
}

static void interrupts(void **state)
{
	const enum flatiommu_irq none = (enum flatiommu_irq)5, negative = (enum flatiommu_irq)-1;
	int event = eventfd(0, EFD_CLOEXEC), null = open("/dev/null", O_RDWR | O_CLOEXEC), wrong;

	(void)state;
	open_edu();
	refuses(-EINVAL, flatiommu_irq_vectors(edu, none));
	refuses(-EINVAL, flatiommu_irq_vectors(edu, negative));
	refuses(-EINVAL, flatiommu_irq_enable(edu, none, 0, 1, &event));
	refuses(-EINVAL, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, 0, &event));
	refuses(-EINVAL, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, 1, NULL));
	refuses(-ENXIO, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 1, 1, &event));
	refuses(-ENXIO, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, 2, &event));
	refuses(-ENXIO, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, UINT32_MAX, 1, &event));
	refuses(-ENXIO, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, UINT32_MAX, 2, &event));
	refuses(-ENXIO, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, UINT32_MAX, &event));
	refuses(-ENXIO, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSIX, 0, 1, &event));
	wrong = 9999;
	refuses(-EBADF, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, 1, &wrong));
	wrong = -2;
	refuses(-EBADF, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, 1, &wrong));
	refuses(-EBADF, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, 1, &null));
	refuses(-EINVAL, flatiommu_irq_disable(edu, none));
	refuses(-EINVAL, flatiommu_irq_trigger(edu, none, 0));
	refuses(-ENXIO, flatiommu_irq_trigger(edu, FLATIOMMU_IRQ_MSI, 0));
	refuses(-EINVAL, flatiommu_irq_mask(edu, negative));
	refuses(-EINVAL, flatiommu_irq_unmask(edu, negative));
	refuses(-EOPNOTSUPP, flatiommu_irq_mask(edu, FLATIOMMU_IRQ_MSI));
	refuses(-EOPNOTSUPP, flatiommu_irq_unmask(edu, FLATIOMMU_IRQ_REQUEST));
	refuses(-ENXIO, flatiommu_irq_mask(edu, FLATIOMMU_IRQ_INTX));
	refuses(-ENXIO, flatiommu_irq_unmask(edu, FLATIOMMU_IRQ_INTX));
	/* None of it was enabled. */
	expect(0, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_MSI, 0, 1, &event));
	refuses(-EBUSY, flatiommu_irq_enable(edu, FLATIOMMU_IRQ_INTX, 0, 1, &event));
	refuses(-ENXIO, flatiommu_irq_trigger(edu, FLATIOMMU_IRQ_MSI, 1));
	refuses(-ENXIO, flatiommu_irq_trigger(edu, FLATIOMMU_IRQ_MSI, UINT32_MAX));
	close(event);
	close(null);
}

int main(void)
{
	static const struct api_test tests[] = {
		API_TEST(contexts),
		API_TEST(addresses),
		API_TEST(listed_addresses),
		API_TEST(no_device),
		API_TEST(imports),
		API_TEST(allocations),
		API_TEST(maps),
		API_TEST(gathers),
		API_TEST(exports),
		API_TEST(forged_tables),
		API_TEST(regions),
		API_TEST(config_space),
		API_TEST(interrupts),
	};

	return api_run(tests, ARRAY_SIZE(tests), devices);
}
