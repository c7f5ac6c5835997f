/* SPDX-License-Identifier: MIT */
/* What would be lost if a function's kernel driver went. */
#ifndef USES_H
#define USES_H

#include <json-c/json.h>

#include "pci.h"
#include "processes.h"

/*
 * [{"kind", "what", "text", "cure"}], empty where nothing is; kinds are mount, swap, member, held,
 * open, login and vfs. Without root some are not seen.
 */
struct json_object *uses_of(const struct function *function, const struct processes *processes);

#endif
