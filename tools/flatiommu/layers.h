/* SPDX-License-Identifier: MIT */
/* Layers: disks and the devices made of them, or network interfaces. */
#ifndef LAYERS_H
#define LAYERS_H

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BOTTOM SIZE_MAX

/**
 * struct layer - a disk, or an interface
 * @name:	the kernel's name
 * @label:	@name, and the name that users know
 * @number:	device number of a disk
 * @below:	the layer that it was reached from, or BOTTOM
 */
struct layer {
	char name[64];
	char label[160];
	dev_t number;
	size_t below;
};

/* A layer comes after the layers below it. */
struct layers {
	struct layer *layer;
	size_t n;
};

/* Each name is added once, so that every walk ends. */
int layers_add(struct layers *layers, const char *name, const char *label, dev_t number,
	       size_t below);
void layers_free(struct layers *layers);

/* Returns the labels from the bottom to @i, and then @last, if it is not NULL. */
struct json_object *layers_chain(const struct layers *layers, size_t i, const char *last);

#endif
