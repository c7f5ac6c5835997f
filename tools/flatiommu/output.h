/* SPDX-License-Identifier: MIT */
/*
 * The output of a command is a JSON object. It is printed as JSON, or as text made from that
 * object, so that both have the same contents.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

#include "tool.h"

/* Prints @what as JSON or by @text, and puts it. */
void show(struct tool *tool, struct json_object *what,
	  void (*text)(const struct tool *tool, struct json_object *what));

/**
 * struct column - a column of a table
 * @title:	its heading
 * @key:	key of a row's member; a member that is null or missing is printed as -
 */
struct column {
	const char *title;
	const char *key;
};

/* @columns ends with an empty one; the last column may be of any length. */
void show_table(struct json_object *rows, const struct column *columns);

/* Text after a call of colour() has the colour if it goes to a terminal, until the next call. */
enum colour { PLAIN, GREEN, YELLOW, RED, BOLD, FAINT };
void colour(FILE *to, enum colour colour);

/* Returns a member of an object, or NULL. */
static inline struct json_object *get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, key, &value);
	return value;
}

/* Returns a string member, or NULL, and not "null", if it is null or missing. */
static inline const char *get_string(struct json_object *object, const char *key)
{
	struct json_object *value = get(object, key);

	return value ? json_object_get_string(value) : NULL;
}

/* Adds a string, or null for NULL and "". */
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

/* Adds an address as a hexadecimal string: numbers in JSON are exact for 53 bits only. */
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

/* Adds a sentence to an array, about a change that was made. */
void note(struct json_object *notes, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
