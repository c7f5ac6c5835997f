/* SPDX-License-Identifier: MIT */
/*
 * What a command has found out is a JSON object. It is shown as JSON, or as text made from the same
 * object, so that neither can say what the other does not.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

#include "tool.h"

/* Shows @what and puts it: as JSON, or by @text. */
void show(struct tool *tool, struct json_object *what,
	  void (*text)(const struct tool *tool, struct json_object *what));

/**
 * struct column - of a table
 * @title:	its heading
 * @key:	of a row's member; null and what is missing is shown as -
 */
struct column {
	const char *title;
	const char *key;
};

/* @columns ends with an empty one; the last column may be of any length. */
void show_table(struct json_object *rows, const struct column *columns);

/* Text between these is coloured when it goes to a terminal. */
enum colour { PLAIN, GREEN, YELLOW, RED, BOLD, FAINT };
void colour(FILE *to, enum colour colour);

/* Short for what json-c says at length. */
static inline struct json_object *get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

/* NULL, and not "null", for what is null or missing. */
static inline const char *get_string(struct json_object *object, const char *key)
{
	struct json_object *value = get(object, key);

	return value ? json_object_get_string(value) : NULL;
}

/* A string, or null for NULL and "". */
static inline void put_string(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key,
			       value && *value ? json_object_new_string(value) : NULL);
}

static inline void put_bool(struct json_object *object, const char *key, bool value)
{
	json_object_object_add(object, key, json_object_new_boolean(value));
}

static inline void put_number(struct json_object *object, const char *key, long long value)
{
	json_object_object_add(object, key, json_object_new_int64(value));
}

/* An address, in hexadecimal, as numbers in JSON are good for 53 bits only. */
static inline void put_address(struct json_object *object, const char *key,
			       unsigned long long value)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%llx", value);
	put_string(object, key, text);
}

static inline struct json_object *put_array(struct json_object *object, const char *key)
{
	struct json_object *array = json_object_new_array();

	json_object_object_add(object, key, array);
	return array;
}

static inline struct json_object *add_object(struct json_object *array)
{
	struct json_object *object = json_object_new_object();

	json_object_array_add(array, object);
	return object;
}

/* A sentence about what was done, in an array of them. */
void note(struct json_object *notes, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
