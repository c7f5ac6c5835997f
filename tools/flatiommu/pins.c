// SPDX-License-Identifier: MIT
#include "pins.h"

#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "sysfs.h"

/* Is it a node or a device's file? The kernel may tell the address of the file's function. */
static bool is_dma_node(const char *node)
{
	return !strncmp(node, "/dev/vfio/", 10) || !strcmp(node, "/dev/iommu") ||
	       !strcmp(node, "/dev/flatiommu") || !strcmp(node, DEVICE_FILE) ||
	       (*node != '/' && strchr(node, '.'));
}

static long long number_after(const char *text, const char *key)
{
	const char *found = text ? strstr(text, key) : NULL;

	return found ? strtoll(found + strlen(key), NULL, 10) : -1;
}

static long long status_bytes(const char *status, const char *key)
{
	long long kib = number_after(status, key);

	return kib > 0 ? kib * 1024 : 0;
}

struct json_object *pins_of_processes(const struct processes *processes)
{
	struct json_object *array = json_object_new_array();
	int last = 0;
	size_t i;

	for (i = 0; i < processes->n; i++) {
		const struct opened *opened = &processes->opened[i];
		struct json_object *o;
		char *status;

		if (opened->pid == last || !is_dma_node(opened->node))
			continue;
		last = opened->pid;
		status = file_text("/proc/%d/status", opened->pid);
		o = add_object(array);
		put_number(o, "pid", opened->pid);
		put_string(o, "name", opened->name);
		put_number(o, "locked", status_bytes(status, "\nVmLck:"));
		put_number(o, "pinned", status_bytes(status, "\nVmPin:"));
		put_number(o, "huge", status_bytes(status, "\nHugetlbPages:"));
		free(status);
	}
	return array;
}

struct json_object *pins_of_machine(void)
{
	char *text = file_text("/proc/vmstat");
	long long plus = number_after(text, "\nnr_foll_pin_acquired ");
	long long minus = number_after(text, "\nnr_foll_pin_released ");

	free(text);
	if (plus < 0 || minus < 0)
		return NULL;
	return json_object_new_int64(plus > minus ? plus - minus : 0);
}
