// SPDX-License-Identifier: MIT
/* Regions: BARs, ROM and config space. Reads and writes them, and maps BARs if VFIO allows it. */
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

/* If only parts of the region can be mapped, reads these from an answer of @size bytes. */
static int read_areas(struct region *region, const struct vfio_region_info *info, size_t size)
{
	const struct vfio_region_info_cap_sparse_mmap *sparse;
	const struct vfio_info_cap_header *cap;
	uint32_t at = info->flags & VFIO_REGION_INFO_FLAG_CAPS ? info->cap_offset : 0;
	uint32_t end = sizeof(*info), i;

	for (; at; at = cap->next) {
		if (at < end || at % sizeof(uint64_t) || at > size - sizeof(*cap))
			return -EIO;
		end = at + sizeof(*cap);
		cap = (const void *)((const char *)info + at);
		if (cap->id != VFIO_REGION_INFO_CAP_SPARSE_MMAP)
			continue;
		sparse = (const void *)cap;
		if (at > size - sizeof(*sparse) ||
		    sparse->nr_areas > (size - at - sizeof(*sparse)) / sizeof(sparse->areas[0]))
			return -EIO;
		region->areas =
			calloc(sparse->nr_areas ? sparse->nr_areas : 1, sizeof(*region->areas));
		if (!region->areas)
			return -ENOMEM;
		region->nr_areas = sparse->nr_areas;
		for (i = 0; i < sparse->nr_areas; i++)
			region->areas[i] =
				(struct area){ sparse->areas[i].offset, sparse->areas[i].size };
		break;
	}
	return 0;
}

static int read_region(struct flatiommu_device *device, unsigned int index)
{
	struct region *region = &device->regions[index];
	struct vfio_region_info head = { .argsz = sizeof(head), .index = index }, *info;
	int err = call(device->fd, VFIO_DEVICE_GET_REGION_INFO, &head);

	/* A device may lack some regions, such as VGA's. */
	if (err == -EINVAL)
		return 0;
	if (err)
		return fail(device->flat, err, "%s: VFIO_DEVICE_GET_REGION_INFO %u: %s", device->name,
			    index, ERRNO(err));
	region->size = head.size;
	region->offset = head.offset;
	region->flags = head.flags;
	if (head.argsz <= sizeof(head))
		return 0;
	/* The answer is longer if it has capabilities. */
	info = calloc(1, head.argsz);
	if (!info)
		return fail(device->flat, -ENOMEM, "%s: no memory for region %u", device->name, index);
	info->argsz = head.argsz;
	info->index = index;
	err = call(device->fd, VFIO_DEVICE_GET_REGION_INFO, info);
	if (!err)
		err = read_areas(region, info, head.argsz);
	free(info);
	return err ? fail(device->flat, err, "%s: VFIO_DEVICE_GET_REGION_INFO %u: %s", device->name,
			  index, ERRNO(err)) : 0;
}

int read_regions(struct flatiommu_device *device, unsigned int count)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < count && i < NR_REGIONS && !err; i++)
		err = read_region(device, i);
	return err;
}

void free_regions(struct flatiommu_device *device)
{
	unsigned int i;

	for (i = 0; i < NR_REGIONS; i++)
		free(device->regions[i].areas);
}

static int64_t region_size(struct flatiommu_device *device, unsigned int region)
{
	if (region >= NR_REGIONS)
		return fail(device->flat, -EINVAL, "%s: there is no region %u", device->name, region);
	return (int64_t)device->regions[region].size;
}

int64_t flatiommu_region_size(struct flatiommu_device *device, unsigned int region)
{
	return CALL_DEVICE(device, region_size(device, region));
}

int check_range(struct flatiommu_device *device, unsigned int index, uint64_t offset,
		uint64_t length)
{
	const struct region *region = &device->regions[index];

	if (!region->size)
		return fail(device->flat, -ENXIO, "%s: it has no region %u", device->name, index);
	if (offset > region->size || length > region->size - offset)
		return fail(device->flat, -ERANGE, "%s: region %u has %llu bytes, not %llu from %#llx on",
			    device->name, index, (unsigned long long)region->size,
			    (unsigned long long)length, (unsigned long long)offset);
	return 0;
}

/*
 * Calls fail() because an access failed. @err is its -errno, or 0 if the kernel has read nothing.
 * Returns -ENODEV if the device is gone, else -EIO.
 */
static int explain_access(struct flatiommu_device *device, const char *how, unsigned int index,
			  uint64_t offset, int err)
{
	const char *why = "";

	if (err == -EIO && index != FLATIOMMU_REGION_CONFIG)
		why = ": its memory is off (command register), or it is asleep or gone";
	else if (err == -EBUSY)
		why = ": another driver has the BAR's range (/proc/iomem)";
	return fail(device->flat, err == -ENODEV ? err : -EIO, "%s: %s of region %u at %#llx: %s%s",
		    device->name, how, index, (unsigned long long)offset, err ? ERRNO(err) : "nothing there",
		    why);
}

int access_region(struct flatiommu_device *device, unsigned int index, uint64_t offset, void *data,
		  size_t length, bool write)
{
	off_t at = (off_t)(device->regions[index].offset + offset);
	size_t done = 0;
	int err = check_range(device, index, offset, length);

	if (err)
		return err;
	while (done < length) {
		char *part = (char *)data + done;
		ssize_t ret = write ? pwrite(device->fd, part, length - done, at + (off_t)done) :
				      pread(device->fd, part, length - done, at + (off_t)done);

		if (ret < 0 && errno == EINTR)
			continue;
		if (ret <= 0)
			return explain_access(device, write ? "write" : "read", index, offset,
					      ret < 0 ? -errno : 0);
		done += (size_t)ret;
	}
	return 0;
}

static int check_access(struct flatiommu_device *device, unsigned int region, const void *data)
{
	if (region >= NR_REGIONS || !data)
		return fail(device->flat, -EINVAL, "%s: %s", device->name,
			    data ? "there is no such region" : "NULL is no data");
	return 0;
}

static int read_region_part(struct flatiommu_device *device, unsigned int region, uint64_t offset,
			    void *data, size_t length)
{
	int err = check_access(device, region, data);

	return err ? err : access_region(device, region, offset, data, length, false);
}

int flatiommu_region_read(struct flatiommu_device *device, unsigned int region, uint64_t offset,
			  void *data, size_t length)
{
	return CALL_DEVICE(device, read_region_part(device, region, offset, data, length));
}

static int write_region_part(struct flatiommu_device *device, unsigned int region, uint64_t offset,
			     const void *data, size_t length)
{
	int err = check_access(device, region, data);

	return err ? err : access_region(device, region, offset, (void *)data, length, true);
}

int flatiommu_region_write(struct flatiommu_device *device, unsigned int region, uint64_t offset,
			   const void *data, size_t length)
{
	return CALL_DEVICE(device, write_region_part(device, region, offset, data, length));
}

/*
 * Is the BAR prefetchable, so that it may be mapped write-combined? This is never the default:
 * registers are often in a prefetchable BAR, too, and stores to them must not be merged.
 */
static int check_prefetchable(struct flatiommu_device *device, unsigned int bar)
{
	uint32_t value;
	int err = access_region(device, FLATIOMMU_REGION_CONFIG, PCI_BASE_ADDRESS_0 + 4 * bar,
				&value, sizeof(value), false);

	if (err)
		return err;
	if (!(le32toh(value) & PCI_BASE_ADDRESS_MEM_PREFETCH))
		return fail(device->flat, -EINVAL, "%s: BAR %u is not prefetchable, so it cannot be mapped "
			    "write-combined", device->name, bar);
	return 0;
}

/* The claim decides for all mappings of the BAR, so the program must ask for the same. */
static int check_write_combined(struct flatiommu_device *device, unsigned int bar, bool wanted)
{
	const struct backend *backend = device->flat->backend;
	uint32_t held = 0;
	int err = wanted ? check_prefetchable(device, bar) : 0;

	if (!err && backend->claimed)
		err = flat_wc_bars(device, &held);
	if (err)
		return err;
	if (wanted && !backend->claimed && !backend->imported)
		return fail(device->flat, -EOPNOTSUPP, "%s: write-combining needs a claim of "
			    "flatiommu.ko",
			    device->name);
	if (backend->claimed && wanted && !(held >> bar & 1))
		return fail(device->flat, -EBUSY, "%s: BAR %u is not write-combined. Cure: "
			    "flatiommu unbind %s && flatiommu bind --wc %u %s", device->name, bar,
			    device->name, bar, device->name);
	if (!wanted && held >> bar & 1)
		return fail(device->flat, -EBUSY, "%s: BAR %u is write-combined. Cure: "
			    "FLATIOMMU_BAR_WRITE_COMBINED, or a claim without wc=%u", device->name, bar, bar);
	return 0;
}

/* Checks that the pages from @start to @end lie in a part that can be mapped. */
static int check_mappable(struct flatiommu_device *device, unsigned int bar, uint64_t start,
			  uint64_t end)
{
	const struct region *region = &device->regions[bar];
	unsigned int i;

	if (!(region->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return fail(device->flat, -EOPNOTSUPP, "%s: BAR %u cannot be mapped (ports, or less than a "
			    "page): flatiommu_region_read() and _write() reach it", device->name, bar);
	if (!region->areas)
		return 0;
	for (i = 0; i < region->nr_areas; i++)
		if (start >= region->areas[i].offset &&
		    end <= region->areas[i].offset + region->areas[i].size)
			return 0;
	return fail(device->flat, -EOPNOTSUPP, "%s: BAR %u cannot be mapped from %#llx to %#llx (its MSI-X "
		    "table is there): flatiommu_region_read() and _write() reach it", device->name, bar,
		    (unsigned long long)start, (unsigned long long)end);
}

static bool meets_view(struct flatiommu_device *device, uintptr_t start, size_t length)
{
	const struct view *view = __atomic_load_n(&device->views, __ATOMIC_SEQ_CST);

	for (; view; view = __atomic_load_n(&view->next, __ATOMIC_SEQ_CST))
		if (start - (uintptr_t)view->pages < view->length ||
		    (uintptr_t)view->pages - start < length)
			return true;
	return false;
}

bool is_in_view(struct flatiommu_device *device, uintptr_t address)
{
	return meets_view(device, address, 1);
}

bool is_bar(struct flatiommu *flat, const void *memory, size_t length)
{
	struct flatiommu_device *device;
	bool found = false;

	pthread_mutex_lock(&flat->lock);
	for (device = flat->devices; device && !found; device = device->next) {
		/* Without device->lock, because a reset may hold it. */
		atomic_fetch_add(&device->catching, 1);
		found = meets_view(device, untagged(memory), length);
		atomic_fetch_sub(&device->catching, 1);
	}
	pthread_mutex_unlock(&flat->lock);
	return found;
}

/* device->lock is held here and in the functions down to map_view(). */
static void list_view(struct flatiommu_device *device, struct view *view)
{
	view->next = device->views;
	__atomic_store_n(&device->views, view, __ATOMIC_RELEASE);
}

static void free_ended_views(struct flatiommu_device *device)
{
	struct view *view;

	while ((view = device->ended_views)) {
		device->ended_views = view->next_ended;
		free(view);
	}
}

/* Threads that begin is_in_view() after this do not find the view. Others may still read it. */
void unmap_view(struct flatiommu_device *device, struct view *view)
{
	struct view **link;

	for (link = &device->views; *link != view; link = &(*link)->next)
		;
	__atomic_store_n(link, view->next, __ATOMIC_SEQ_CST);
	munmap(view->pages, view->length);
	view->next_ended = device->ended_views;
	device->ended_views = view;
	if (!atomic_load(&device->catching))
		free_ended_views(device);
}

int map_view(struct flatiommu_device *device, unsigned int bar, uint64_t offset, size_t length,
	     struct view **view)
{
	uint64_t page = small_page_size();
	uint64_t start = offset & ~(page - 1), end = (offset + length + page - 1) & ~(page - 1);
	int err = check_mappable(device, bar, start, end);
	struct view *new;

	if (err)
		return err;
	new = calloc(1, sizeof(*new));
	if (!new)
		return fail(device->flat, -ENOMEM, "%s: no memory for a mapping", device->name);
	new->length = end - start;
	new->pages = mmap(NULL, new->length, PROT_READ | PROT_WRITE, MAP_SHARED, device->fd,
			  (off_t)(device->regions[bar].offset + start));
	if (new->pages == MAP_FAILED) {
		err = -errno;
		free(new);
		return fail(device->flat, err, "%s: mmap of BAR %u: %s%s", device->name, bar, ERRNO(err),
			    err == -EBUSY ? ": another driver has its range (/proc/iomem)" : "");
	}
	/* No child of a fork may use it. */
	madvise(new->pages, new->length, MADV_DONTFORK);
	new->memory = (char *)new->pages + (offset - start);
	list_view(device, new);
	*view = new;
	return 0;
}

static int map_bar(struct flatiommu_device *device, unsigned int bar, uint64_t offset,
		   size_t length, unsigned int flags, void **memory)
{
	struct view *view;
	int err;

	if (bar >= NR_BARS || !memory)
		return fail(device->flat, -EINVAL, "%s: flatiommu_bar_map: %s", device->name,
			    memory ? "BARs are 0 to 5" : "NULL is no pointer");
	if (flags & ~FLATIOMMU_BAR_WRITE_COMBINED)
		return fail(device->flat, -EOPNOTSUPP, "%s: flatiommu_bar_map: unknown flags %#x", device->name,
			    flags);
	err = check_range(device, bar, offset, length ? length : 1);
	if (!err)
		err = check_write_combined(device, bar, flags & FLATIOMMU_BAR_WRITE_COMBINED);
	if (err)
		return err;
	if (!length)
		length = device->regions[bar].size - offset;
	pthread_mutex_lock(&device->lock);
	err = map_view(device, bar, offset, length, &view);
	if (!err)
		*memory = view->memory;
	pthread_mutex_unlock(&device->lock);
	return err;
}

int flatiommu_bar_map(struct flatiommu_device *device, unsigned int bar, uint64_t offset,
		      size_t length, unsigned int flags, void **memory)
{
	return CALL_DEVICE(device, map_bar(device, bar, offset, length, flags, memory));
}

void unmap_views(struct flatiommu_device *device)
{
	struct view *view, *next;

	for (view = device->views; view; view = next) {
		next = view->next;
		if (!view->is_buffer)
			unmap_view(device, view);
	}
}

static int unmap_bar(struct flatiommu_device *device, const void *memory)
{
	struct view *view;
	int err = 0;

	pthread_mutex_lock(&device->lock);
	for (view = device->views; view; view = view->next)
		if (view->memory == memory && !view->is_buffer)
			break;
	if (view)
		unmap_view(device, view);
	else
		err = fail(device->flat, -ENOENT, "%s: nothing is mapped at %p", device->name, memory);
	pthread_mutex_unlock(&device->lock);
	return err;
}

int flatiommu_bar_unmap(struct flatiommu_device *device, void *memory)
{
	return CALL_DEVICE(device, unmap_bar(device, memory));
}
