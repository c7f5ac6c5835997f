// SPDX-License-Identifier: MIT
#include "processes.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"
#include "sysfs.h"

static int add(struct processes *processes, int pid, const char *node)
{
	struct opened *o;
	size_t i;

	for (i = 0; i < processes->n; i++)
		if (processes->opened[i].pid == pid && !strcmp(processes->opened[i].node, node))
			return 0;
	o = reallocarray(processes->opened, processes->n + 1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	processes->opened = o;
	o += processes->n++;
	o->pid = pid;
	snprintf(o->node, sizeof(o->node), "%s", node);
	file_read(o->name, sizeof(o->name), "/proc/%d/comm", pid);
	return 0;
}

/* A VFIO device file has no node; from Linux 6.17 on the kernel says whose it is. */
static bool vfio_device(char *address, size_t size, int pid, const char *fd)
{
	static const char key[] = "vfio-device-syspath:";
	char info[4096], *line;
	const char *base;

	if (file_read(info, sizeof(info), "/proc/%d/fdinfo/%s", pid, fd))
		return false;
	line = strstr(info, key);
	if (!line)
		return false;
	line[strcspn(line, "\n")] = 0;
	base = strrchr(line, '/');
	snprintf(address, size, "%s", base ? base + 1 : "");
	return *address;
}

static int read_process(struct processes *processes, int pid)
{
	char path[64], target[PATH_MAX], address[64];
	struct names fds;
	int ret, failed = 0;
	size_t i;

	ret = names_read(&fds, "/proc/%d/fd", pid);
	if (ret == -EACCES || ret == -EPERM)
		processes->partial = true;
	for (i = 0; i < fds.n && !failed; i++) {
		ssize_t len;

		snprintf(path, sizeof(path), "/proc/%d/fd/%.20s", pid, fds.name[i]);
		len = readlink(path, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = 0;
		if (!strncmp(target, "/dev/", 5))
			failed = add(processes, pid, target);
		else if (!strcmp(target, "anon_inode:[vfio-device]") &&
			 vfio_device(address, sizeof(address), pid, fds.name[i]))
			failed = add(processes, pid, address);
	}
	names_free(&fds);
	return failed;
}

int processes_read(struct processes *processes)
{
	struct names pids;
	size_t i;
	int ret;

	memset(processes, 0, sizeof(*processes));
	ret = names_read(&pids, "/proc");
	for (i = 0; i < pids.n && !ret; i++)
		if (isdigit((unsigned char)pids.name[i][0]))
			ret = read_process(processes, atoi(pids.name[i]));
	names_free(&pids);
	return ret;
}

void processes_free(struct processes *processes)
{
	free(processes->opened);
	memset(processes, 0, sizeof(*processes));
}

bool opened_is_of(const struct opened *o, const struct function *f)
{
	char node[128], name[32];
	struct names names;
	bool is = false;
	size_t i;

	if (!strcmp(o->node, f->address))
		return true;
	if (is_on_vfio(f)) {
		function_node(f, node, sizeof(node));
		if (!strcmp(o->node, node))
			return true;
	}
	if (sscanf(o->node, "/dev/vfio/devices/%31s", name) == 1)
		return file_exists(PCI_DEVICES "/%s/vfio-dev/%s", f->address, name);
	if (strncmp(o->node, "/dev/uio", 8))
		return false;
	names_read(&names, PCI_DEVICES "/%s/uio", f->address);
	for (i = 0; i < names.n && !is; i++)
		is = !strcmp(o->node + 5, names.name[i]);
	names_free(&names);
	return is;
}

struct json_object *processes_of(const struct processes *processes, const struct function *f)
{
	struct json_object *array = json_object_new_array(), *o;
	int last = 0;
	size_t i;

	for (i = 0; i < processes->n; i++) {
		const struct opened *opened = &processes->opened[i];

		if (opened->pid == last || !opened_is_of(opened, f))
			continue;
		last = opened->pid;
		o = add_object(array);
		put_number(o, "pid", opened->pid);
		put_string(o, "name", opened->name);
	}
	return array;
}

void processes_text(char *buf, size_t size, struct json_object *array)
{
	size_t i, len = 0;

	buf[0] = 0;
	for (i = 0; i < json_object_array_length(array) && len < size; i++) {
		struct json_object *o = json_object_array_get_idx(array, i);

		len += snprintf(buf + len, size - len, "%s%s[%s]", i ? ", " : "",
				get_string(o, "name"), get_string(o, "pid"));
	}
}
