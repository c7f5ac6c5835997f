/* SPDX-License-Identifier: MIT */
/* PCI functions in sysfs, and the names that users give them. */
#ifndef PCI_H
#define PCI_H

#include <stdbool.h>
#include <stddef.h>

#include "address.h"
#include "sysfs.h"
#include "tool.h"

#define PCI_DEVICES "/sys/bus/pci/devices"

/* The IOMMU of a function. */
enum behind {
	BEHIND_NOTHING,		/* no group, and no node of VFIO's no-IOMMU mode */
	BEHIND_FLATIOMMU,	/* none; flatiommu has claimed it */
	BEHIND_NOIOMMU,		/* none; VFIO's no-IOMMU mode has it, in a group or with a node */
	BEHIND_IOMMU,		/* a real IOMMU */
};

/**
 * struct function - a PCI function
 * @address:	its name in sysfs
 * @class:	24 bits
 * @driver:	"" if it has none
 * @group:	-1 if it has none
 * @cdev:	name of VFIO's character device in /dev/vfio/devices, "" if it has none
 * @pf:		its physical function, if it is a virtual function, or ""
 * @being_unbound:	vfio-pci is being unbound, and the kernel waits for a program to close it
 * @wc_bars:	a bit for each BAR that its claim has made write-combined, -1 if the options of the
 *		claim are not read yet
 * @hold:	its claim has the option hold; read with @wc_bars
 * @fence:	its claim has the option fence; read with @wc_bars
 */
struct function {
	char address[PCI_ADDRESS_SIZE];
	unsigned int vendor, device, class;
	char driver[64];
	int group;
	char cdev[64];
	enum behind behind;
	char pf[PCI_ADDRESS_SIZE];
	bool being_unbound;
	int wc_bars;
	bool hold, fence;
};

struct functions {
	struct function *function;
	size_t n;
};

/* Reads a function. Returns 0 or -ENODEV. @address may be @function's own, to read it again. */
int function_read(struct function *function, const char *address);

/* Adds a function, which is not read yet. Returns NULL if there is no memory. */
struct function *functions_grow(struct functions *functions, const char *address);

/*
 * Finds all functions with their drivers and IOMMUs, to be freed by functions_free().
 * functions_identify() adds names and physical functions, which is slow.
 */
int functions_scan(struct functions *functions);
void functions_identify(struct functions *functions);
void functions_free(struct functions *functions);

/*
 * Adds the functions that @name means: an address, with or without the segment, a network
 * interface, a disk or a partition, or vendor:device for all functions of that kind.
 */
int functions_resolve(struct tool *tool, struct functions *functions, const char *name);

/* Adds the functions that all words of @args mean, or every function if there are no words. */
int functions_named(struct tool *tool, struct functions *functions, const struct args *args);

/* Finds the nearest function above a device in sysfs, if there is one. */
bool function_above(char *address, size_t size, const char *path);

bool is_bridge(const struct function *function);
bool is_on_vfio(const struct function *function);
/* Is it bound to vfio-pci, or to a vfio driver for one kind of device, such as mlx5_vfio_pci? */
bool is_of_vfio(const struct function *function);
const char *behind_name(enum behind behind);

/*
 * Writes the node that a program opens to use a function on vfio-pci: the node of its group or, on
 * a kernel without VFIO groups, of the function. "" if there is neither.
 */
void function_node(const struct function *function, char *path, size_t size);
/*
 * Has this kernel VFIO groups, and so type1? Without them there is only iommufd, which DPDK and
 * SPDK do not support.
 */
bool has_vfio_groups(void);
/*
 * Has VFIO's no-IOMMU mode a node for the function, as in Linux 7.3? Only with such nodes it pins
 * memory.
 */
bool is_noiommu_cdev(const struct function *function);

/* Returns the number of virtual functions that it has now. */
unsigned int nr_vfs(const struct function *function);
/* Gets the address of a virtual function, from number 0 on. Returns false if there is none. */
bool function_vf(char *address, size_t size, const struct function *function, unsigned int index);

/* Reads driver_override, with a time limit; "" if there is none. */
int function_override(struct tool *tool, char *buf, size_t size, const char *address);

/* Parts of function_read(): @function has its address and its driver. */
int function_identify(struct function *function, struct attributes *attributes);
void function_find_cdev(struct function *function);

/*
 * Has the kernel finished the unbind? It removes the driver's link first, and the group's node
 * last. If others share the group, the node may be theirs.
 */
bool function_is_let_go(const struct function *function, bool has_node);
#define FLATIOMMU_IOMMU "flatiommu-"

#endif
