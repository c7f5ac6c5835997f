// SPDX-License-Identifier: MIT
#include "output.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "progress.h"

void show(struct tool *tool, struct json_object *what,
	  void (*text)(const struct tool *tool, struct json_object *what))
{
	progress_end();
	if (tool->json)
		puts(json_object_to_json_string_ext(what, JSON_C_TO_STRING_NOSLASHESCAPE |
					    (tool->pretty ? JSON_C_TO_STRING_PRETTY |
							    JSON_C_TO_STRING_SPACED : 0)));
	else
		text(tool, what);
	json_object_put(what);
}

static const char *cell(struct json_object *row, const char *key)
{
	const char *text = get_string(row, key);

	return text ? text : "-";
}

void show_table(struct json_object *rows, const struct column *columns)
{
	size_t i, n = json_object_array_length(rows);
	const struct column *column;
	int width[16] = { 0 };

	for (column = columns; column->title; column++) {
		int *w = &width[column - columns];

		*w = strlen(column->title);
		for (i = 0; i < n; i++) {
			int len = strlen(cell(json_object_array_get_idx(rows, i), column->key));

			*w = len > *w ? len : *w;
		}
	}
	colour(stdout, BOLD);
	for (column = columns; column->title; column++)
		printf("%-*s", column[1].title ? width[column - columns] + 2 : 0, column->title);
	colour(stdout, PLAIN);
	puts("");
	for (i = 0; i < n; i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);

		for (column = columns; column->title; column++)
			printf("%-*s", column[1].title ? width[column - columns] + 2 : 0,
			       cell(row, column->key));
		puts("");
	}
}

static bool is_coloured(FILE *to)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

	return isatty(fileno(to)) && (!no || !*no) && term && strcmp(term, "dumb");
}

void colour(FILE *to, enum colour colour)
{
	static const char *const codes[] = {
		[PLAIN] = "0", [GREEN] = "32", [YELLOW] = "33", [RED] = "31", [BOLD] = "1",
		[FAINT] = "2",
	};

	if (is_coloured(to))
		fprintf(to, "\033[%sm", codes[colour]);
}

void note(struct json_object *notes, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	json_object_array_add(notes, json_object_new_string(text));
}
