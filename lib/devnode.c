// SPDX-License-Identifier: MIT
/* Calls of /dev/flatiommu. linux/flatiommu.h describes them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/flatiommu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define BATCH 512	/* segments in a call */

struct flatiommu_function flat_name(const struct flatiommu_device *device)
{
	return (struct flatiommu_function){
		.segment = device->function.segment,
		.bus = device->function.bus,
		.devfn = device->function.devfn,
	};
}

static void set_pins(struct flatiommu *flat, bool pins)
{
	pthread_mutex_lock(&flat->lock);
	flat->pins = pins;
	pthread_mutex_unlock(&flat->lock);
}

/* With FLATIOMMU_MAP=vfio, buffers are mapped by VFIO and not pinned. */
static int choose_pins(struct flatiommu *flat)
{
	const char *map = secure_getenv("FLATIOMMU_MAP");
	bool pins = !map || !map[0];

	set_pins(flat, pins);
	if (pins || !strcmp(map, "vfio"))
		return 0;
	return fail(flat, -EINVAL, "FLATIOMMU_MAP=%s: it can be vfio only, or unset", map);
}

int flat_open(struct flatiommu *flat)
{
	int err;

	if (flat->devnode >= 0)
		return 0;
	err = choose_pins(flat);
	if (err)
		return err;
	flat->devnode = open("/dev/flatiommu", O_RDWR | O_CLOEXEC);
	if (flat->devnode >= 0)
		return 0;
	return explain_open(flat, "", "/dev/flatiommu", -errno);
}

/* Returns the cause of EPERM: the caller, or another program. */
static const char *why_not_ours(void)
{
	const char *why = why_no_rawio();

	return why ? why : "another program has the function through VFIO";
}

static int explain_declare(struct flatiommu_device *device, int err)
{
	const struct meaning meanings[] = {
		{ -EACCES, "the kernel is locked down. Cure: doc/secure-boot.md" },
		{ -EPERM, why_not_ours() },
		{ -ENODEV, "it is being removed" },
		{ -ENOENT, "its claim was released. Cure: unbind it and bind it" },
		{ -ENOSPC, "64 other programs look up its addresses already" },
		{ 0, NULL }
	};

	return explain_by(device->flat, device->name, "FLATIOMMU_DECLARE", err, meanings);
}

static int explain_lookup(struct flatiommu *flat, uint64_t start, int err)
{
	const struct meaning meanings[] = {
		{ -EPERM, why_not_ours() },
		{ -ENOENT, "nothing is mapped there" },
		{ -ENODEV, "the device was removed, or its claim released" },
		{ -ERANGE, "the device has no bus address for it. Cure: other memory" },
		{ 0, NULL }
	};
	char what[64];

	snprintf(what, sizeof(what), "bus addresses of %#llx", (unsigned long long)start);
	return explain_by(flat, what, "FLATIOMMU_LOOKUP", err, meanings);
}

int explain_flat(struct flatiommu *flat, const char *name, const char *step, int err)
{
	const struct meaning meanings[] = {
		{ -EPERM, why_not_ours() },
		{ -ENODEV, "it was removed" },
		{ -EOPNOTSUPP, "it is a bridge, or behind an external port" },
		{ -EALREADY, "an IOMMU translates for it. Cure: open it once more" },
		{ -EAFNOSUPPORT, "bus addresses cannot be used on this machine. Cure: flatiommu "
				 "doctor" },
		{ -EPROTONOSUPPORT, "its DMA is not coherent with the processor's caches. Cure: a "
				    "driver in the kernel" },
		{ -EACCES, "the kernel is locked down. Cure: doc/secure-boot.md" },
		{ -EBUSY, "it is being bound or unbound. Cure: try again" },
		{ -ENOSPC, "/dev/flatiommu has no pin left. Cure: fewer, larger buffers" },
		{ 0, NULL }
	};

	return explain_by(flat, name, step, err, meanings);
}

static int explain_pin(struct flatiommu_device *device, const struct buffer *buffer, int err)
{
	if (err == -ENOMEM || err == -EFAULT || err == -EADDRNOTAVAIL)
		return explain_map(device->flat, buffer, err);
	return explain_flat(device->flat, device->name, "FLATIOMMU_PIN", err);
}

int flat_declare(struct flatiommu_device *device)
{
	struct flatiommu_function function = flat_name(device);
	struct flatiommu_declare declare = {
		.size = sizeof(declare),
		.nr_functions = 1,
		.functions = (uintptr_t)&function,
	};
	int err = call(device->flat->devnode, FLATIOMMU_DECLARE, &declare);

	return err ? explain_declare(device, err) : 0;
}

/* Makes one call. Returns the number of segments, or calls fail() and returns -errno. */
static int look_up(struct flatiommu *flat, struct flatiommu_lookup *lookup,
		   struct flatiommu_dma_segment *segments, size_t room)
{
	struct flatiommu_segment *batch;
	uint32_t i;
	int err;

	lookup->size = sizeof(*lookup);
	lookup->nr_segments = room < BATCH ? (uint32_t)room : BATCH;
	batch = calloc(lookup->nr_segments, sizeof(*batch));
	if (!batch)
		return fail(flat, -ENOMEM, "no memory to look bus addresses up");
	lookup->segments = (uintptr_t)batch;
	err = call(flat->devnode, FLATIOMMU_LOOKUP, lookup);
	for (i = 0; !err && i < lookup->nr_segments; i++)
		segments[i] = (struct flatiommu_dma_segment){ batch[i].address, batch[i].length };
	free(batch);
	if (err)
		return explain_lookup(flat, lookup->start, err);
	return (int)lookup->nr_segments;
}

/* Returns one of the context's functions, which all have the same bus addresses. */
static struct flatiommu_function any_function(struct flatiommu *flat)
{
	struct flatiommu_function function;

	pthread_mutex_lock(&flat->lock);
	function = flat_name(flat->devices);
	pthread_mutex_unlock(&flat->lock);
	return function;
}

int flat_look_up(struct flatiommu *flat, struct buffer *buffer, size_t offset,
		 struct flatiommu_dma_segment *segments, size_t room)
{
	struct flatiommu_function function = any_function(flat);
	struct flatiommu_lookup lookup = {
		.function = function,
		.start = buffer->iova + offset,
		.length = buffer->span - offset,
	};
	int ret = look_up(flat, &lookup, segments, room);

	if (ret > 0)
		return ret;
	/* That device may have been closed meanwhile. If so, try another one. */
	lookup.function = any_function(flat);
	if (!memcmp(&lookup.function, &function, sizeof(function)))
		return ret;
	return look_up(flat, &lookup, segments, room);
}

int flat_look_up_pin(struct flatiommu_device *device, uint32_t pin, size_t offset, size_t length,
		     struct flatiommu_dma_segment *segments, size_t room)
{
	struct flatiommu_lookup lookup = {
		.flags = FLATIOMMU_LOOKUP_PIN,
		.function = flat_name(device),
		.pin = pin,
		.start = offset,
		.length = length,
	};

	return look_up(device->flat, &lookup, segments, room);
}

/* Pin the whole dma-buf, by its file: the kernel pins no pages of a program's mapping of it. */
static void name_dmabuf(const struct buffer *buffer, struct flatiommu_pin *arg)
{
	arg->flags |= FLATIOMMU_PIN_DMABUF;
	arg->vaddr = 0;
	arg->dmabuf = buffer->file;
}

int flat_pin(struct flatiommu_device *device, struct buffer *buffer, uint32_t *pin)
{
	struct flatiommu_function function = flat_name(device);
	struct flatiommu_pin arg = {
		.size = sizeof(arg),
		.flags = buffer->read_only ? FLATIOMMU_PIN_READ_ONLY : 0,
		.nr_functions = 1,
		.functions = (uintptr_t)&function,
		.vaddr = (uintptr_t)buffer->pages,
		.length = buffer->span,
	};
	int err;

	if (buffer->is_dmabuf)
		name_dmabuf(buffer, &arg);
	err = call(device->flat->devnode, FLATIOMMU_PIN, &arg);
	if (err && buffer->is_dmabuf)
		return explain_dmabuf(device->flat, buffer, err);
	if (err)
		return explain_pin(device, buffer, err);
	*pin = arg.out_pin;
	return 0;
}

int flat_unpin(struct flatiommu *flat, uint32_t pin)
{
	struct flatiommu_unpin arg = { .size = sizeof(arg), .pin = pin };

	return call(flat->devnode, FLATIOMMU_UNPIN, &arg);
}

/*
 * Lists all devices of the context. Returns their number, or 0 if there are more than one pin can
 * be for. *@changed is set to the count of changes to the list.
 */
static uint32_t list_functions(struct flatiommu *flat, struct flatiommu_function *functions,
			       unsigned int *changed)
{
	const struct flatiommu_device *device;
	uint32_t n = 0;

	pthread_mutex_lock(&flat->lock);
	*changed = flat->devices_changed;
	for (device = flat->devices; device && n < FLATIOMMU_MAX_FUNCTIONS; device = device->next)
		functions[n++] = flat_name(device);
	pthread_mutex_unlock(&flat->lock);
	return device ? 0 : n;
}

int flat_quiet(struct flatiommu *flat)
{
	struct flatiommu_function functions[FLATIOMMU_MAX_FUNCTIONS];
	struct flatiommu_quiet arg = {
		.size = sizeof(arg),
		.functions = (uintptr_t)functions,
	};
	unsigned int changed;

	arg.nr_functions = list_functions(flat, functions, &changed);
	/*
	 * Without devices nothing is held. If there are too many for one call, the module holds the
	 * memory until they are closed.
	 */
	return arg.nr_functions ? call(flat->devnode, FLATIOMMU_QUIET, &arg) : 0;
}

/*
 * Sets buffer->pin, unless the list of devices has changed since. A device that is listed after
 * this finds the pin, see join_pins().
 */
static bool keep_pin(struct flatiommu *flat, struct buffer *buffer, uint32_t pin,
		     unsigned int changed)
{
	bool same;

	pthread_mutex_lock(&flat->lock);
	same = flat->devices_changed == changed;
	if (same)
		buffer->pin = pin;
	pthread_mutex_unlock(&flat->lock);
	return same;
}

/* Sets *@again if the list of devices has changed during the call. The pin was ended then. */
static int pin_once(struct flatiommu *flat, struct buffer *buffer,
		    struct flatiommu_segment *segments, uint32_t *n, bool *again)
{
	struct flatiommu_function functions[FLATIOMMU_MAX_FUNCTIONS];
	struct flatiommu_pin arg = {
		.size = sizeof(arg),
		.flags = FLATIOMMU_PIN_VFIO | (buffer->read_only ? FLATIOMMU_PIN_READ_ONLY : 0),
		.functions = (uintptr_t)functions,
		.vaddr = (uintptr_t)buffer->dma.memory,
		.length = (uintptr_t)buffer->pages + buffer->span - (uintptr_t)buffer->dma.memory,
		.nr_segments = *n,
		.segments = (uintptr_t)segments,
	};
	unsigned int changed;
	int err, left;

	*again = false;
	if (buffer->is_dmabuf)
		name_dmabuf(buffer, &arg);
	arg.nr_functions = list_functions(flat, functions, &changed);
	if (!arg.nr_functions)
		return PIN_NOT_POSSIBLE;
	err = call(flat->devnode, FLATIOMMU_PIN, &arg);
	*again = !keep_pin(flat, buffer, err ? 0 : arg.out_pin, changed);
	if (err || !*again) {
		*n = arg.nr_segments;
		return err;
	}
	left = flat_unpin(flat, arg.out_pin);
	if (!left)
		return 0;
	keep_memory(flat, buffer, left);
	*again = false;
	return left;
}

int flat_pin_all(struct flatiommu *flat, struct buffer *buffer, struct flatiommu_segment *segments,
		 uint32_t *n)
{
	const uint32_t room = *n;
	bool again = false;
	int err;

	do {
		*n = room;
		err = pin_once(flat, buffer, segments, n, &again);
	} while (again);
	/* VFIO attaches to no dma-buf, so do not try it. */
	if (err < 0 && buffer->is_dmabuf)
		return explain_dmabuf(flat, buffer, err);
	/* An older module does not know the flag (EOPNOTSUPP) or the segments (E2BIG). */
	if (err == -EOPNOTSUPP || err == -E2BIG)
		set_pins(flat, false);
	/* Do not try VFIO: it has the same limit, but may count other memory. */
	if (err == -ENOMEM)
		return explain_map(flat, buffer, err);
	return err ? PIN_NOT_POSSIBLE : 0;
}

int flat_look_up_batch(struct flatiommu *flat, uint32_t pin, size_t offset, size_t length,
		       struct flatiommu_segment *segments, uint32_t *n)
{
	struct flatiommu_function function = any_function(flat);
	struct flatiommu_lookup arg = {
		.size = sizeof(arg),
		.flags = FLATIOMMU_LOOKUP_PIN,
		.function = function,
		.pin = pin,
		.nr_segments = *n,
		.start = offset,
		.length = length,
		.segments = (uintptr_t)segments,
	};
	int err = call(flat->devnode, FLATIOMMU_LOOKUP, &arg);

	/* As in flat_look_up(). */
	if (err) {
		arg.function = any_function(flat);
		if (memcmp(&arg.function, &function, sizeof(function)))
			err = call(flat->devnode, FLATIOMMU_LOOKUP, &arg);
	}
	*n = arg.nr_segments;
	return err ? explain_lookup(flat, offset, err) : 0;
}

int flat_is_pinned_for(struct flatiommu_device *device, uint32_t pin)
{
	struct flatiommu_segment segment;
	struct flatiommu_lookup arg = {
		.size = sizeof(arg),
		.flags = FLATIOMMU_LOOKUP_PIN,
		.function = flat_name(device),
		.pin = pin,
		.nr_segments = 1,
		.length = 1,
		.segments = (uintptr_t)&segment,
	};
	int err = call(device->flat->devnode, FLATIOMMU_LOOKUP, &arg);

	if (err == -ENOENT)
		return err;
	if (err == -ENODEV)
		return fail(device->flat, -EXDEV, "%s: its bus addresses, or the page of its MSIs, "
			    "differ from those of the context's other devices. Cure: open it in a "
			    "context of its own; if it is only the page of its MSIs, opening all "
			    "devices before the first buffer helps, too", device->name);
	return err ? explain_lookup(device->flat, 0, err) : 0;
}

int flat_wc_bars(struct flatiommu_device *device, uint32_t *bars)
{
	struct flatiommu_info info = {
		.size = sizeof(info),
		.flags = FLATIOMMU_INFO_FUNCTION,
		.function = flat_name(device),
	};
	int err = call(device->flat->devnode, FLATIOMMU_INFO, &info);

	if (err)
		return fail(device->flat, err, "%s: FLATIOMMU_INFO: %s", device->name, ERRNO(err));
	*bars = info.out_wc_bars;
	return 0;
}
