// SPDX-License-Identifier: MIT
/* Config space, and the capabilities in it. */
#include <errno.h>
#include <linux/pci_regs.h>

#include "internal.h"

#define CONFIG FLATIOMMU_REGION_CONFIG

/* Maximum length of a list: each entry has at least 4 bytes. A longer list is a loop. */
#define MAX_CAPABILITIES	((PCI_CFG_SPACE_SIZE - PCI_STD_HEADER_SIZEOF) / 4)
#define MAX_EXTENDED		((PCI_CFG_SPACE_EXP_SIZE - PCI_CFG_SPACE_SIZE) / 4)

int flatiommu_config_read8(struct flatiommu_device *device, unsigned int offset, uint8_t *value)
{
	return flatiommu_region_read(device, CONFIG, offset, value, sizeof(*value));
}

int flatiommu_config_read16(struct flatiommu_device *device, unsigned int offset, uint16_t *value)
{
	return flatiommu_region_read(device, CONFIG, offset, value, sizeof(*value));
}

int flatiommu_config_read32(struct flatiommu_device *device, unsigned int offset, uint32_t *value)
{
	return flatiommu_region_read(device, CONFIG, offset, value, sizeof(*value));
}

int flatiommu_config_write8(struct flatiommu_device *device, unsigned int offset, uint8_t value)
{
	return flatiommu_region_write(device, CONFIG, offset, &value, sizeof(value));
}

int flatiommu_config_write16(struct flatiommu_device *device, unsigned int offset, uint16_t value)
{
	return flatiommu_region_write(device, CONFIG, offset, &value, sizeof(value));
}

int flatiommu_config_write32(struct flatiommu_device *device, unsigned int offset, uint32_t value)
{
	return flatiommu_region_write(device, CONFIG, offset, &value, sizeof(value));
}

/* Reads config space, for functions that a CALL() encloses. */
static int read_config(struct flatiommu_device *device, unsigned int offset, void *value,
		       size_t size)
{
	return access_region(device, CONFIG, offset, value, size, false);
}

/* Is *@offset 0, or from @first to before @end, where a capability can be? */
static int check(struct flatiommu_device *device, const unsigned int *offset, unsigned int first,
		 unsigned int end)
{
	if (!offset)
		return fail(device->flat, -EINVAL, "%s: NULL is no offset", device->name);
	if (*offset && (*offset < first || *offset >= end))
		return fail(device->flat, -EINVAL, "%s: no such capability is at %#x", device->name, *offset);
	return 0;
}

static int none(struct flatiommu_device *device, const char *kind, unsigned int id)
{
	return say_no(device->flat, -ENOENT, "%s: it has no (further) %s %#x", device->name, kind, id);
}

/*
 * Finds the first capability @id after offset @after, or from the start if that is 0. PCIe 7.5.3:
 * each begins with its ID and the offset of the next one; the low two bits are reserved.
 *
 * Returns 0, -ENOENT, -ELOOP or another -errno. Does not call fail() for -ENOENT and -ELOOP.
 */
static int search(struct flatiommu_device *device, uint8_t id, unsigned int after,
		  unsigned int *offset)
{
	uint8_t found, at = PCI_CAPABILITY_LIST;
	uint16_t status;
	unsigned int i;
	int err = read_config(device, PCI_STATUS, &status, sizeof(status));

	if (err)
		return err;
	if (!(status & PCI_STATUS_CAP_LIST))
		return -ENOENT;
	if (after)
		at = (uint8_t)(after + PCI_CAP_LIST_NEXT);
	for (i = 0; i < MAX_CAPABILITIES; i++) {
		err = read_config(device, at, &at, sizeof(at));
		if (err)
			return err;
		at &= 0xfc;
		if (at < PCI_STD_HEADER_SIZEOF)
			return -ENOENT;
		err = read_config(device, at, &found, sizeof(found));
		if (err)
			return err;
		if (found == id) {
			*offset = at;
			return 0;
		}
		at += PCI_CAP_LIST_NEXT;
	}
	return -ELOOP;
}

int find_capability(struct flatiommu_device *device, uint8_t id, unsigned int *offset)
{
	return search(device, id, 0, offset);
}

static int next_capability(struct flatiommu_device *device, uint8_t id, unsigned int *offset)
{
	int err = check(device, offset, PCI_STD_HEADER_SIZEOF, PCI_CFG_SPACE_SIZE);

	if (err)
		return err;
	err = search(device, id, *offset, offset);
	if (err == -ENOENT)
		return none(device, "capability", id);
	if (err == -ELOOP)
		return fail(device->flat, err, "%s: its list of capabilities has no end", device->name);
	return err;
}

int flatiommu_capability(struct flatiommu_device *device, uint8_t id, unsigned int *offset)
{
	return CALL_DEVICE(device, next_capability(device, id, offset));
}

/* PCIe 7.6.3: headers of 32 bits, the first one after the 256 bytes of PCI. 0 is an empty list. */
static int next_extended(struct flatiommu_device *device, uint16_t id, unsigned int *offset)
{
	unsigned int at = PCI_CFG_SPACE_SIZE, i;
	uint32_t header;
	int err = check(device, offset, PCI_CFG_SPACE_SIZE, PCI_CFG_SPACE_EXP_SIZE);

	if (err)
		return err;
	if (device->regions[CONFIG].size <= PCI_CFG_SPACE_SIZE)
		return none(device, "extended capability", id);
	if (*offset) {
		err = read_config(device, *offset, &header, sizeof(header));
		if (err)
			return err;
		at = PCI_EXT_CAP_NEXT(header);
	}
	for (i = 0; i < MAX_EXTENDED && at >= PCI_CFG_SPACE_SIZE; i++) {
		err = read_config(device, at, &header, sizeof(header));
		if (err)
			return err;
		if (header && PCI_EXT_CAP_ID(header) == id) {
			*offset = at;
			return 0;
		}
		at = PCI_EXT_CAP_NEXT(header);
	}
	if (i == MAX_EXTENDED)
		return fail(device->flat, -ELOOP, "%s: its list of extended capabilities has no end",
			    device->name);
	return none(device, "extended capability", id);
}

int flatiommu_extended_capability(struct flatiommu_device *device, uint16_t id,
				  unsigned int *offset)
{
	return CALL_DEVICE(device, next_extended(device, id, offset));
}
