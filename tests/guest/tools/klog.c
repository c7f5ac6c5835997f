// SPDX-License-Identifier: MIT
/* klog MARK [PREFIX]: prints the kernel's messages after the last one with MARK in it, if they begin with PREFIX. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	/* A record, and what is to be printed; Documentation/ABI/testing/dev-kmsg. */
	char record[8192], *text = NULL, *message, *end;
	size_t size = 0;
	bool found = false;
	ssize_t length;
	FILE *out;
	int fd;

	if (argc != 2 && argc != 3) {
		fprintf(stderr, "usage: klog MARK [PREFIX]\n");
		return 2;
	}
	fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	out = open_memstream(&text, &size);
	if (fd < 0 || !out) {
		perror("klog");
		return 1;
	}
	/* EPIPE: the oldest ones were overwritten while we read. */
	while ((length = read(fd, record, sizeof(record) - 1)) > 0 || (length < 0 && errno == EPIPE)) {
		if (length < 0)
			continue;
		record[length] = '\0';
		message = strchr(record, ';');
		if (!message)
			continue;
		message++;
		/* Lines that begin with a space are the record's dictionary. */
		end = strchr(message, '\n');
		if (end)
			*end = '\0';
		if (strstr(message, argv[1])) {
			found = true;
			rewind(out);
		} else if (found && (argc == 2 || !strncmp(message, argv[2], strlen(argv[2])))) {
			fprintf(out, "%s\n", message);
		}
	}
	fclose(out);
	fwrite(text, 1, size, stdout);
	free(text);
	return fflush(stdout) ? 1 : 0;
}
