/* SPDX-License-Identifier: MIT */
/* Memory that is pinned for devices. */
#ifndef PINS_H
#define PINS_H

#include <json-c/json.h>

#include "processes.h"

/*
 * Returns [{"pid", "name", "locked", "pinned", "huge"}], in bytes, of processes that have a node of
 * VFIO, iommufd or flatiommu open. type1 and /dev/flatiommu count in VmLck, as mlock() does, and
 * iommufd in VmPin.
 */
struct json_object *pins_of_processes(const struct processes *processes);

/*
 * Returns the pins of the whole machine, or NULL if the kernel does not count them. Each CPU adds
 * its part once a second, so the sum may even be negative. Reading the exact sum would interrupt
 * all CPUs, and disturb programs that poll.
 */
struct json_object *pins_of_machine(void);

#endif
