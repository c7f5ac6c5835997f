/* SPDX-License-Identifier: MIT */
/*
 * Links to VFIO's nodes by the functions' addresses, in /dev/vfio/by-path and
 * /dev/vfio/devices/by-path. With packaging/60-flatiommu.rules udev makes them. These functions
 * make them if udev does not run, as in an initramfs.
 */
#ifndef LINKS_H
#define LINKS_H

#include "pci.h"

void links_make(const struct function *function);

/* Removes links that lead nowhere any more. */
void links_remove(const char *address);

#endif
