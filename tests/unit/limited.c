// SPDX-License-Identifier: MIT
/*
 * limited: tools/flatiommu/limited.c. What is made in time is what the child has made, however large; what is not, or comes
 * from a child that dies, is NULL at once or when the time is over; and no child holds our files or is left over.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../tools/flatiommu/limited.h"

#define CHECK(is_so) do { if (!(is_so)) die(#is_so, __LINE__); } while (0)

static void die(const char *what, int line)
{
	fprintf(stderr, "limited: line %d: %s\n", line, what);
	exit(EXIT_FAILURE);
}

static struct json_object *make_numbers(const void *data)
{
	struct json_object *array = json_object_new_array();
	int i;

	for (i = 0; i < *(const int *)data; i++)
		json_object_array_add(array, json_object_new_int(i));
	return array;
}

static struct json_object *sleep_long(const void *data)
{
	(void)data;
	sleep(1000);
	return NULL;
}

static struct json_object *crash(const void *data)
{
	(void)data;
	raise(SIGKILL);
	return NULL;
}

/* Whether the child has the file of ours. */
static struct json_object *look_for(const void *data)
{
	return json_object_new_boolean(fcntl(*(const int *)data, F_GETFD) >= 0);
}

static void numbers(int n)
{
	struct json_object *made = made_in_time(make_numbers, &n, 60);

	CHECK(made);
	CHECK(json_object_array_length(made) == (size_t)n);
	CHECK(!n || json_object_get_int(json_object_array_get_idx(made, n - 1)) == n - 1);
	json_object_put(made);
}

int main(void)
{
	int fd = fcntl(open("/dev/null", O_RDONLY), F_DUPFD, 20);
	time_t began = time(NULL);
	struct json_object *made;

	numbers(0);
	/* more than a pipe holds */
	numbers(100000);
	made = made_in_time(look_for, &fd, 60);
	CHECK(made && !json_object_get_boolean(made));
	json_object_put(made);
	CHECK(!made_in_time(crash, NULL, 60));
	CHECK(time(NULL) - began < 60);
	began = time(NULL);
	CHECK(!made_in_time(sleep_long, NULL, 1));
	CHECK(time(NULL) - began < 30);
	/* killed, it may end a little later */
	while (waitpid(-1, NULL, 0) > 0)
		;
	CHECK(time(NULL) - began < 60);
	return 0;
}
