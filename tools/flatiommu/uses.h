/* SPDX-License-Identifier: MIT */
/* Losses if a function's kernel driver went. */
#ifndef USES_H
#define USES_H

#include <json-c/json.h>

#include "pci.h"
#include "processes.h"

/*
 * [{"kind", "what", "text", "cure", "chain", "refuses"}], empty where nothing is; what is to be
 * undone first comes first. Kinds are mount, swap, journal, member, export, open, held, console,
 * login, route, port, address, namespace, vfs and unseen, which refuse, and data and up, which do
 * not. Without root some are not seen.
 */
struct json_object *uses_of(const struct function *function, const struct processes *processes);

#endif
