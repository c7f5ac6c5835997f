/* SPDX-License-Identifier: MIT */
/* Files of sysfs, kernel modules, claims, and drivers of PCI functions. */
#ifndef TEST_SYSFS_H
#define TEST_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODULE_FILE "/flatiommu/flatiommu.ko"
#define MISC "/sys/class/misc/flatiommu/"
#define PARAMETERS "/sys/module/flatiommu/parameters/"

/* Writes by one write(). Returns 0 or -errno. */
int write_text(const char *path, const char *text);
/* Reads what fits, without the last newline. Returns its length or -errno. */
int read_text(const char *path, char *text, size_t size);
/* Reads a decimal or 0x number. Returns it or -errno: -EINVAL if there is none. */
long read_number(const char *path);
/* Finds the first path that matches a pattern of glob(). Returns 0 or -ENOENT. */
int find_path(const char *pattern, char *path, size_t size);
const char *last_part(const char *path);
/* Returns the number of entries of a directory without . and .., or -errno. */
int count_entries(const char *path);

int module_load(const char *path, const char *parameters);
int module_unload(const char *name);
bool module_is_loaded(const char *name);
/* Runs modprobe. Returns 0 or -ENOENT. */
int module_probe(const char *name);

/* Load and unload the module under test, and VFIO's modules with it. */
int flat_load(void);
int flat_unload(void);
int flat_claim(const char *bdf);
int flat_release(const char *bdf);

bool pci_is_there(const char *bdf);
/* Returns "" if it has none. */
const char *pci_driver(const char *bdf);
/* Returns the number of its IOMMU group or -ENOENT. */
int pci_group(const char *bdf);
/* Binds @bdf to @driver by driver_override, whichever driver it has. */
int pci_bind(const char *bdf, const char *driver);
/* Returns 0 also if it has no driver. */
int pci_unbind(const char *bdf);
/* Removes driver_override, and binds the driver that the kernel finds. */
int pci_bind_default(const char *bdf);
/* For wait_until(): has the driver nvme started @bdf, a string? */
bool nvme_is_live(void *bdf);
/* Gets the address and the size of a BAR from the kernel. Returns 0 or -errno. */
int pci_bar(const char *bdf, unsigned int index, uint64_t *start, uint64_t *size);

/* Take a function from its kernel driver, claim it and bind it to vfio-pci; and undo that, even if only a part was done. */
int pci_take(const char *bdf);
int pci_give_back(const char *bdf);
/* Claims a function that was taken again, with options such as "/hold". */
int pci_take_again(const char *bdf, const char *options);

/*
 * Begin and end of most tests: load the module and take @devices, ended by NULL; and undo that. See
 * fixture.h.
 */
int flat_begin(const char *const *devices);
int flat_end(const char *const *devices);

#endif
