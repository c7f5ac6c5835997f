/* SPDX-License-Identifier: MIT */
/* Memory that is pinned for devices. */
#ifndef PINS_H
#define PINS_H

#include <json-c/json.h>

#include "processes.h"

/*
 * [{"pid", "name", "locked", "pinned", "huge"}] in bytes, of those that have a node of VFIO, iommufd or flatiommu open.
 * type1 and /dev/flatiommu count to VmLck, as mlock does, and iommufd to VmPin.
 */
struct json_object *pins_of_processes(const struct processes *processes);

/*
 * Of the whole machine; NULL where the kernel does not count them. Each CPU adds its part once a second, so that the sum may
 * even be negative; to ask them all for it would disturb those that poll.
 */
struct json_object *pins_of_machine(void);

#endif
