/* SPDX-License-Identifier: MIT */
/* flatiommu.ko: its files, and the meaning of its errors. */
#ifndef KO_H
#define KO_H

#include <json-c/json.h>
#include <stdbool.h>

#include "pci.h"

#define FLAT_FILES "/sys/class/misc/flatiommu"
#define FLAT_NODE "/dev/flatiommu"
#define FLAT_PARAMETERS "/sys/module/flatiommu/parameters"

bool flat_is_loaded(void);

/* @wc: BARs to hold write-combined, such as 2+4, or NULL. */
int flat_claim(struct tool *tool, const char *address, const char *wc);
int flat_release(struct tool *tool, const char *address);

/* Opens a file to ask the module about many functions. Returns it, or -errno. */
int flat_open(void);
void flat_close(int file);

/* Gets the group and the write-combined BARs of a claimed function. */
int flat_info(int file, struct function *function);

/* Returns the BARs that its claim holds write-combined, [2, 4], or NULL if they cannot be seen. */
struct json_object *flat_wc_bars(const struct function *function);

/* Writes these BARs as claims do: "2+4", or "". */
void wc_text(char *buf, size_t size, struct json_object *wc_bars);

/* Returns FLATIOMMU_VERSION of the loaded module, or -errno. */
int flat_uapi(void);

/* Returns the processes that were refused maps, latest first, or NULL if they cannot be seen. */
struct json_object *flat_refusals(void);

/* Returns {CAUSE: refused maps since the module was loaded}, or NULL if they cannot be seen. */
struct json_object *flat_refusal_causes(void);

/* Adds the bytes that the module holds after their unmap, and those given back at its limit. */
void flat_put_held(struct json_object *o);

#endif
