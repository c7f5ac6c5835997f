// SPDX-License-Identifier: MIT
/*
 * Peers: a part of one device's BAR as a buffer for the other devices. Without an IOMMU they reach
 * it at its bus address, and the kernel need not map or pin anything. With one, type1 maps it at an
 * IOVA. iommufd would need a dma-buf of the BAR, which the library does not make.
 */
#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>

#include "internal.h"

/* A virtual function has no addresses in its config space. On x86 the processor's are the same. */
static int read_vf_addresses(struct flatiommu_device *device)
{
	uint64_t starts[NR_BARS] = { 0 };
	unsigned int i;
	int err = 0;

#ifdef __x86_64__
	err = read_resources(&device->function, starts, NR_BARS);
	if (err)
		return fail(device->flat, err, "%s: the addresses of its BARs: %s", device->name,
			    ERRNO(err));
#endif
	for (i = 0; i < NR_BARS; i++)
		if (device->regions[i].size)
			device->regions[i].bus = starts[i];
	return err;
}

/* Called before the program can write to VFIO's copy of the addresses. */
int read_bar_addresses(struct flatiommu_device *device)
{
	uint32_t bars[NR_BARS + 1] = { 0 };
	unsigned int i;
	char pf[32];
	int err = read_link(&device->function, "physfn", pf, sizeof(pf));

	if (err)
		return fail(device->flat, err, "%s: its physical function: %s", device->name,
			    ERRNO(err));
	if (pf[0])
		return read_vf_addresses(device);
	err = access_region(device, FLATIOMMU_REGION_CONFIG, PCI_BASE_ADDRESS_0, bars,
			    NR_BARS * sizeof(bars[0]), false);
	for (i = 0; !err && i < NR_BARS; i++) {
		uint32_t bar = le32toh(bars[i]);
		uint64_t bus = bar & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;

		if (!device->regions[i].size || bar & PCI_BASE_ADDRESS_SPACE_IO)
			continue;
		if ((bar & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64)
			bus |= (uint64_t)le32toh(bars[i + 1]) << 32;
		device->regions[i].bus = bus;
	}
	return err;
}

int set_peer_segment(struct flatiommu *flat, struct buffer *buffer)
{
	struct flatiommu_dma_segment *segment = malloc(sizeof(*segment));

	if (!segment)
		return fail(flat, -ENOMEM, "no memory for the segments of a buffer");
	*segment = (struct flatiommu_dma_segment){ buffer->bus, buffer->dma.length };
	buffer->dma.segments = segment;
	buffer->dma.nr_segments = 1;
	return 0;
}

/* Adds @more to the device's number of buffers. It stays open: a call uses it, or a buffer. */
static void count(struct flatiommu_device *device, int more)
{
	pthread_mutex_lock(&device->flat->lock);
	device->peer_buffers += (unsigned int)more;
	pthread_mutex_unlock(&device->flat->lock);
}

unsigned int count_peer_buffers(struct flatiommu_device *device)
{
	unsigned int n;

	pthread_mutex_lock(&device->flat->lock);
	n = device->peer_buffers;
	pthread_mutex_unlock(&device->flat->lock);
	return n;
}

/* No device reaches the BAR through the buffer any more. */
void drop_peer(const struct buffer *buffer)
{
	struct flatiommu_device *device = buffer->owner;

	pthread_mutex_lock(&device->lock);
	unmap_view(device, buffer->view);
	pthread_mutex_unlock(&device->lock);
	count(device, -1);
}

/* Can the other devices reach the BAR, and have they enough address bits? */
static int check_way(struct flatiommu_device *device, const struct backend *backend,
		     unsigned int bar, uint64_t offset, size_t length, unsigned int bits)
{
	uint64_t bus = device->regions[bar].bus;

	if (backend->isolated && !backend->maps_bars)
		return fail(device->flat, -EOPNOTSUPP, "%s: %s maps no BARs for other devices. "
			    "Cure: FLATIOMMU_BACKEND=iommu-type1", device->name, backend->name);
	if (is_translated(device->flat))
		return 0;
	if (!bus)
		return fail(device->flat, -EOPNOTSUPP, "%s: the bus address of BAR %u is not known",
			    device->name, bar);
	if (bits && bits < 64 && (bus + offset + (length - 1)) >> bits)
		return fail(device->flat, -ERANGE, "%s: BAR %u is at bus address %#llx, and the "
			    "device that must reach it has %u address bits", device->name, bar,
			    (unsigned long long)bus, bits);
	return 0;
}

static int check(struct flatiommu_device *device, unsigned int bar, uint64_t offset,
		 const struct flatiommu_dma_options *options, struct flatiommu_dma **dma)
{
	int err;

	if (bar >= NR_BARS || !dma)
		return fail(device->flat, -EINVAL, "%s: flatiommu_bar_dma: %s", device->name,
			    dma ? "BARs are 0 to 5" : "NULL is no buffer");
	err = check_dma_options(device->flat, 1, options);
	if (err)
		return err;
	if (options->flags || options->pages || options->node)
		return fail(device->flat, -EOPNOTSUPP, "%s: flatiommu_bar_dma: options that only "
			    "flatiommu_dma_alloc() has", device->name);
	if (device->flat->backend->imported)
		return fail(device->flat, -EOPNOTSUPP, "%s: it is imported. Cure: call it in the "
			    "process that opened the device and its peers", device->name);
	return check_range(device, bar, offset, 1);
}

static int bar_dma(struct flatiommu_device *device, unsigned int bar, uint64_t offset,
		   size_t length, const struct flatiommu_dma_options *options,
		   struct flatiommu_dma **dma)
{
	static const struct flatiommu_dma_options any;
	struct flatiommu *flat = device->flat;
	struct view *view = NULL;
	struct buffer *new;
	int err;

	if (!options)
		options = &any;
	err = check(device, bar, offset, options, dma);
	if (err)
		return err;
	if (!length)
		length = device->regions[bar].size - offset;
	err = check_range(device, bar, offset, length);
	if (!err)
		err = check_way(device, flat->backend, bar, offset, length, options->address_bits);
	if (err)
		return err;
	new = calloc(1, sizeof(*new));
	if (!new)
		return fail(flat, -ENOMEM, "no memory for a buffer");
	pthread_mutex_lock(&device->lock);
	err = map_view(device, bar, offset, length, &view);
	if (!err)
		view->is_buffer = true;
	pthread_mutex_unlock(&device->lock);
	if (err) {
		free(new);
		return err;
	}
	new->dma = (struct flatiommu_dma){
		.memory = view->memory,
		.length = length,
		.page_size = small_page_size(),
		.impl = (void *)new,
	};
	new->pages = view->pages;
	new->span = view->length;
	new->file = -1;
	new->owner = device;
	new->view = view;
	if (!flat->backend->isolated)
		new->bus = device->regions[bar].bus + offset;
	else if (flat->fault)
		new->wanted = device->regions[bar].bus + offset -
			      (uint64_t)((char *)view->memory - (char *)view->pages);
	count(device, 1);
	err = map_buffer(flat, new, options->address_bits);
	if (err)
		free_memory(new);
	else
		*dma = &new->dma;
	return err;
}

int flatiommu_bar_dma(struct flatiommu_device *device, unsigned int bar, uint64_t offset,
		      size_t length, const struct flatiommu_dma_options *options,
		      struct flatiommu_dma **dma)
{
	return CALL_DEVICE(device, bar_dma(device, bar, offset, length, options, dma));
}
