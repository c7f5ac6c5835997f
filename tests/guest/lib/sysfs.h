/* SPDX-License-Identifier: MIT */
/* Files of sysfs, kernel modules, claims, and which driver a PCI function has. */
#ifndef TEST_SYSFS_H
#define TEST_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODULE_FILE "/flatiommu/flatiommu.ko"
#define MISC "/sys/class/misc/flatiommu/"
#define PARAMETERS "/sys/module/flatiommu/parameters/"

/* One write(). 0 or -errno. */
int write_text(const char *path, const char *text);
/* All that fits, without the last newline. Its length or -errno. */
int read_text(const char *path, char *text, size_t size);
/* A decimal or 0x number; -errno, or -EINVAL where there is none. */
long read_number(const char *path);
/* The first path that matches a pattern of glob(); 0 or -ENOENT. */
int find_path(const char *pattern, char *path, size_t size);
const char *last_part(const char *path);
/* The entries of a directory but . and .., or -errno. */
int count_entries(const char *path);

int module_load(const char *path, const char *parameters);
int module_unload(const char *name);
bool module_is_loaded(const char *name);
/* modprobe: 0 or -ENOENT. */
int module_probe(const char *name);

/* The module under test, and those of VFIO that it is for. */
int flat_load(void);
int flat_unload(void);
int flat_claim(const char *bdf);
int flat_release(const char *bdf);

bool pci_is_there(const char *bdf);
/* "" when it has none. */
const char *pci_driver(const char *bdf);
/* The number of its IOMMU group or -ENOENT. */
int pci_group(const char *bdf);
/* Is @driver to be had by @bdf? By driver_override, from whatever driver it has. */
int pci_bind(const char *bdf, const char *driver);
/* 0 also where it has no driver. */
int pci_unbind(const char *bdf);
/* No driver_override, and the driver that the kernel finds for it. */
int pci_bind_default(const char *bdf);
/* For wait_until(): has the driver nvme brought @bdf, a string, up? */
bool nvme_is_live(void *bdf);
/* The address and the size of a BAR as the kernel knows it; -errno. */
int pci_bar(const char *bdf, unsigned int index, uint64_t *start, uint64_t *size);

/* From its kernel driver to vfio-pci, claimed by hand; and back, however far it came. */
int pci_take(const char *bdf);
int pci_give_back(const char *bdf);

/*
 * What most tests begin and end with: the module is loaded and @devices, ended by a NULL, are on
 * vfio-pci; all is as it was.
 */
int flat_begin(const char *const *devices);
int flat_end(const char *const *devices);

#endif
