// SPDX-License-Identifier: MIT
#include "layers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int layers_add(struct layers *layers, const char *name, const char *label, dev_t number,
	       size_t below)
{
	struct layer *layer;
	size_t i;

	for (i = 0; i < layers->n; i++)
		if (!strcmp(layers->layer[i].name, name))
			return 0;
	layer = reallocarray(layers->layer, layers->n + 1, sizeof(*layer));
	if (!layer)
		return -ENOMEM;
	layers->layer = layer;
	layer += layers->n++;
	snprintf(layer->name, sizeof(layer->name), "%s", name);
	snprintf(layer->label, sizeof(layer->label), "%s", label);
	layer->number = number;
	layer->below = below;
	return 0;
}

void layers_free(struct layers *layers)
{
	free(layers->layer);
	layers->layer = NULL;
	layers->n = 0;
}

struct json_object *layers_chain(const struct layers *layers, size_t i, const char *last)
{
	struct json_object *chain = json_object_new_array();
	size_t depth = 0, at;

	for (at = i; at != BOTTOM; at = layers->layer[at].below)
		depth++;
	/* fill the array from its end: a layer knows only the layer below it */
	if (last)
		json_object_array_put_idx(chain, depth, json_object_new_string(last));
	for (at = i; at != BOTTOM; at = layers->layer[at].below)
		json_object_array_put_idx(chain, --depth,
					  json_object_new_string(layers->layer[at].label));
	return chain;
}
