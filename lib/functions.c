// SPDX-License-Identifier: MIT
/*
 * PCI functions of the machine, from sysfs. An unbind holds device_lock until no program has the
 * function open, so this code reads only files that do not take device_lock: links, directories,
 * modalias, numa_node and names of groups.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define DIRECTORY "/sys/bus/pci/devices"
#define KNOWN_FLAGS (FLATIOMMU_FUNCTION_CLAIMED | FLATIOMMU_FUNCTION_ISOLATED | \
		     FLATIOMMU_FUNCTION_NOIOMMU | FLATIOMMU_FUNCTION_VF)

/* Both IDs and the class: pci:v00001234d000011E8sv00001AF4sd00001100bc00sc00i00 */
static int read_ids(const char *bdf, struct flatiommu_function_info *info)
{
	unsigned int vendor, device, subvendor, subdevice, base, sub, interface;
	char path[64], text[128];
	int err;

	snprintf(path, sizeof(path), DIRECTORY "/%s/modalias", bdf);
	err = read_line(path, text, sizeof(text));
	if (err)
		return err;
	if (sscanf(text, "pci:v%8xd%8xsv%8xsd%8xbc%2xsc%2xi%2x", &vendor, &device, &subvendor,
		   &subdevice, &base, &sub, &interface) != 7)
		return -EIO;
	info->vendor = (uint16_t)vendor;
	info->device = (uint16_t)device;
	info->subsystem_vendor = (uint16_t)subvendor;
	info->subsystem_device = (uint16_t)subdevice;
	info->class_code = base << 16 | sub << 8 | interface;
	return 0;
}

/* Counts the links to virtual functions. sriov_numvfs has their number, but takes device_lock. */
static uint32_t count_vfs(const char *bdf)
{
	const struct dirent *entry;
	uint32_t count = 0;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), DIRECTORY "/%s/sriov_totalvfs", bdf);
	if (access(path, F_OK))
		return 0;
	*strrchr(path, '/') = 0;
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		count += !strncmp(entry->d_name, "virtfn", strlen("virtfn"));
	if (dir)
		closedir(dir);
	return count;
}

static uint32_t flags_of(const struct sysfs_function *f, bool is_vf)
{
	uint32_t flags = is_vf ? FLATIOMMU_FUNCTION_VF : 0;

	if (is_flat(f))
		flags |= FLATIOMMU_FUNCTION_CLAIMED;
	else if (is_noiommu_group(f) || is_noiommu_cdev(f))
		flags |= FLATIOMMU_FUNCTION_NOIOMMU;
	else if (has_iommu(f))
		flags |= FLATIOMMU_FUNCTION_ISOLATED;
	return flags;
}

/* Returns -ENODEV also if the function is removed meanwhile, whichever file was missed first. */
static int read_info(struct sysfs_function *f, struct flatiommu_function_info *info)
{
	struct flatiommu_function_info new = { 0 };
	char path[64];
	int err = read_function(f);

	if (!err)
		err = read_ids(f->bdf, &new);
	if (!err)
		err = read_link(f, "physfn", new.pf, sizeof(new.pf));
	if (err) {
		snprintf(path, sizeof(path), DIRECTORY "/%s/modalias", f->bdf);
		return access(path, F_OK) && errno == ENOENT ? -ENODEV : err;
	}
	strcpy(new.name, f->bdf);
	strcpy(new.driver, f->driver);
	new.flags = flags_of(f, new.pf[0]);
	new.group = f->group;
	new.node = read_node(f);
	new.nr_vfs = count_vfs(f->bdf);
	*info = new;
	return 0;
}

int flatiommu_function_get_info(const char *bdf, struct flatiommu_function_info *info)
{
	struct sysfs_function f;

	if (!bdf || !info || parse_bdf(bdf, &f))
		return -EINVAL;
	return CALL_ALONE(read_info(&f, info));
}

/* Converts match->pf, if it is set, to the form of sysfs in @pf. */
static int check_match(const struct flatiommu_match *match, struct sysfs_function *pf)
{
	size_t i;

	if (match->flags & ~(uint32_t)KNOWN_FLAGS)
		return -EOPNOTSUPP;
	for (i = 0; i < ARRAY_SIZE(match->reserved); i++)
		if (match->reserved[i])
			return -EOPNOTSUPP;
	return match->pf ? parse_bdf(match->pf, pf) : 0;
}

static bool matches(const struct flatiommu_match *match, const struct sysfs_function *pf,
		    const struct flatiommu_function_info *info)
{
	return !((info->class_code ^ match->class_code) & match->class_mask) &&
	       (!match->vendor || match->vendor == info->vendor) &&
	       (!match->device || match->device == info->device) &&
	       (info->flags & match->flags) == match->flags &&
	       (!match->pf || !strcmp(info->pf, pf->bdf)) &&
	       (!match->driver || !strcmp(info->driver, match->driver));
}

struct list {
	struct flatiommu_function_info *functions;
	size_t count, room;
};

static int add(struct list *list, const struct flatiommu_function_info *info)
{
	size_t room = list->room ? 2 * list->room : 64;
	void *more;

	if (list->count == list->room) {
		more = realloc(list->functions, room * sizeof(*info));
		if (!more)
			return -ENOMEM;
		list->functions = more;
		list->room = room;
	}
	list->functions[list->count++] = *info;
	return 0;
}

static int read_all(DIR *dir, const struct flatiommu_match *match, const struct sysfs_function *pf,
		    struct list *list)
{
	struct flatiommu_function_info info;
	const struct dirent *entry;
	struct sysfs_function f;
	int err = 0;

	for (;;) {
		errno = 0;
		entry = readdir(dir);
		if (!entry)
			return -errno;
		if (parse_bdf(entry->d_name, &f))
			continue;
		err = read_info(&f, &info);
		if (!err && matches(match, pf, &info))
			err = add(list, &info);
		if (err && err != -ENODEV)
			return err;
	}
}

/* A longer name has a higher segment: a segment has at least four digits. */
static int by_address(const void *a, const void *b)
{
	const char *x = ((const struct flatiommu_function_info *)a)->name;
	const char *y = ((const struct flatiommu_function_info *)b)->name;
	size_t m = strlen(x), n = strlen(y);

	return m != n ? (m > n) - (m < n) : strcmp(x, y);
}

static int list_functions(const struct flatiommu_match *match,
			  struct flatiommu_function_info **functions, size_t *count)
{
	static const struct flatiommu_match any;
	struct list list = { 0 };
	struct sysfs_function pf;
	DIR *dir;
	int err;

	if (!functions || !count)
		return -EINVAL;
	if (!match)
		match = &any;
	err = check_match(match, &pf);
	if (err)
		return err;
	dir = opendir(DIRECTORY);
	if (!dir)
		return -errno;
	err = read_all(dir, match, &pf, &list);
	closedir(dir);
	if (err) {
		free(list.functions);
		return err;
	}
	if (list.count)
		qsort(list.functions, list.count, sizeof(*list.functions), by_address);
	*functions = list.functions;
	*count = list.count;
	return 0;
}

int flatiommu_function_list(const struct flatiommu_match *match,
			    struct flatiommu_function_info **functions, size_t *count)
{
	return CALL_ALONE(list_functions(match, functions, count));
}

void flatiommu_function_list_free(struct flatiommu_function_info *functions)
{
	free(functions);
}
