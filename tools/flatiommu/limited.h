/* SPDX-License-Identifier: MIT */
/* What may have to wait for the kernel, and must not make us wait. */
#ifndef LIMITED_H
#define LIMITED_H

#include <json-c/json.h>

/*
 * What @make returns, made by a child, which has no file of ours open and changes nothing of ours;
 * NULL when that takes longer than @seconds, or fails. Such a child is killed, and ends as soon as the kernel lets it.
 */
struct json_object *made_in_time(struct json_object *(*make)(const void *data), const void *data,
				 int seconds);

#endif
