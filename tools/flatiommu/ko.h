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

/**
 * struct options - options of a claim, by the options of the command
 * @wc:		BARs to make write-combined, such as 2+4, or NULL
 * @hold:	not NULL: the option hold
 * @fence:	not NULL: the option fence
 */
struct options {
	const char *wc, *hold, *fence;
};

#define HOLD_HELP "what a program unmaps is nobody else's before the device is quiet"
#define FENCE_HELP "stop the device when a map is refused"

/* Returns the name of an option that is set, or NULL if there is none. */
const char *any_option(const struct options *options);

int flat_claim(struct tool *tool, const char *address, const struct options *options);
int flat_release(struct tool *tool, const char *address);

/* Opens a file to ask the module about many functions. Returns it, or -errno. */
int flat_open(void);
void flat_close(int file);

/* Gets the group of a claimed function, and the options of its claim. */
int flat_info(int file, struct function *function);

/*
 * Puts the options of its claim: "wc_bars": [2, 4], "hold": false, "fence": false, or each null if
 * they cannot be seen.
 */
void flat_put_options(struct json_object *o, const struct function *function);

/* Writes these options for people: "write-combined: BAR 2+4, hold", or "". */
void options_text(char *buf, size_t size, struct json_object *o);

/* Writes these options in the form for a claim, after the address: "/wc=2+4/hold", or "". */
void options_of_claim(char *buf, size_t size, struct json_object *o);

/* Returns FLATIOMMU_VERSION of the loaded module, or -errno. */
int flat_uapi(void);

/* Returns the processes that were refused maps, latest first, or NULL if they cannot be seen. */
struct json_object *flat_refusals(void);

/* Returns {CAUSE: refused maps since the module was loaded}, or NULL if they cannot be seen. */
struct json_object *flat_refusal_causes(void);

/* Adds the bytes that the module holds after their unmap, and those given back at its limit. */
void flat_put_held(struct json_object *o);

#endif
