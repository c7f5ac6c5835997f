/* SPDX-License-Identifier: MIT */
/* Uses of a function, which are lost if its kernel driver is unbound. */
#ifndef USES_H
#define USES_H

#include <json-c/json.h>

#include "pci.h"
#include "processes.h"

/*
 * Returns [{"kind", "what", "text", "cure", "chain", "refuses", "always"}] in the order in which
 * they must be undone, empty if there are none. Kinds that refuse a bind are mount, swap, journal,
 * member, export, open, held, console, bus, mdev, vdpa, vfs, login, route, address, capture, xdp,
 * pppoe, tc, aoe, port, namespace and unseen. Kinds that only warn are data, screen, keyboard and
 * up. Without root some uses are not seen.
 */
struct json_object *uses_of(const struct function *function, const struct processes *processes);

#endif
