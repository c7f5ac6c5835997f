// SPDX-License-Identifier: MIT
#include "kmsg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static int kmsg = -1;
static char all[1 << 18], found[1 << 18];
static size_t length;

int log_mark(void)
{
	if (kmsg < 0)
		kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0 || lseek(kmsg, 0, SEEK_END) < 0)
		return -errno;
	length = 0;
	return 0;
}

/* A record is "level,number,time,flags;text\n" and lines of properties, one a read(). */
static void add_record(char *record)
{
	char *text = strchr(record, ';');
	size_t size;

	if (!text)
		return;
	text++;
	size = strcspn(text, "\n") + 1;
	text[size - 1] = '\n';
	if (length + size >= sizeof(all))
		return;
	memcpy(all + length, text, size);
	length += size;
}

static void read_on(void)
{
	char record[8192];
	ssize_t done;

	for (;;) {
		done = read(kmsg, record, sizeof(record) - 1);
		if (done < 0 && errno == EPIPE)
			continue;	/* some were overwritten */
		if (done <= 0)
			break;
		record[done] = '\0';
		add_record(record);
	}
	all[length] = '\0';
}

const char *log_lines(const char *needle, unsigned int *count)
{
	char *line, *end;
	size_t used = 0;

	if (count)
		*count = 0;
	read_on();
	for (line = all; *line; line = end + 1) {
		bool has;

		end = strchr(line, '\n');
		*end = '\0';
		has = strstr(line, needle);
		*end = '\n';
		if (!has)
			continue;
		memcpy(found + used, line, (size_t)(end + 1 - line));
		used += (size_t)(end + 1 - line);
		if (count)
			++*count;
	}
	found[used] = '\0';
	return found;
}

unsigned int log_count(const char *needle)
{
	unsigned int count;

	log_lines(needle, &count);
	return count;
}
