// SPDX-License-Identifier: MIT
/* put FILE TEXT: writes TEXT to FILE in one write(), as sysfs needs it, and prints OK or the error's name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int say(int error)
{
	const char *name = error ? strerrorname_np(error) : "OK";

	if (name)
		puts(name);
	else
		printf("%d\n", error);
	return error != 0;
}

int main(int argc, char **argv)
{
	size_t length;
	ssize_t done;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: put FILE TEXT\n");
		return 2;
	}
	fd = open(argv[1], O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return say(errno);
	length = strlen(argv[2]);
	done = write(fd, argv[2], length);
	if (done < 0)
		return say(errno);
	if ((size_t)done != length) {
		printf("short write: %zd of %zu\n", done, length);
		return 1;
	}
	return say(0);
}
