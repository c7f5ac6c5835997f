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

#define CDEVS "/dev/vfio/devices/"

int processes_add(struct processes *processes, int pid, const char *node)
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
	read_name(o->name, sizeof(o->name), pid);
	return 0;
}

/* From Linux 6.17 on, the kernel tells the function of a VFIO device's file. */
static bool device_of(char *address, size_t size, const char *directory, const char *fd)
{
	static const char key[] = "vfio-device-syspath:";
	char info[4096], *line;
	const char *base;

	if (file_read(info, sizeof(info), "%sinfo/%s", directory, fd))
		return false;
	line = strstr(info, key);
	if (!line)
		return false;
	line[strcspn(line, "\n")] = 0;
	base = strrchr(line, '/');
	snprintf(address, size, "%s", base ? base + 1 : "");
	return *address;
}

/* Is it the file of a BAR in sysfs? Writes its path from PCI's directory. Changes @target. */
static bool is_bar(char *node, size_t size, char *target)
{
	static const char file[] = "/resource";
	char *last = strrchr(target, '/'), *address;

	if (strncmp(target, "/sys/devices/", strlen("/sys/devices/")) ||
	    strncmp(last, file, strlen(file)) || !isdigit((unsigned char)last[strlen(file)]))
		return false;
	*last = 0;
	address = strrchr(target, '/') + 1;
	snprintf(node, size, PCI_DEVICES "/%.20s/%.12s", address, last + 1);
	return true;
}

/* Adds the files in @directory, the fd directory of a process or of a thread. */
static int read_files(struct processes *processes, int pid, const char *directory,
		      const struct names *fds)
{
	unsigned int groups = 0, unknown = 0;
	char path[128], target[PATH_MAX], address[64], bar[64];
	int ret = 0;
	size_t i;

	for (i = 0; i < fds->n && !ret; i++) {
		bool is_device, is_cdev;
		ssize_t len;

		snprintf(path, sizeof(path), "%s/%.20s", directory, fds->name[i]);
		len = readlink(path, target, sizeof(target) - 1);
		if (len < 0)
			continue;
		target[len] = 0;
		is_device = !strcmp(target, DEVICE_FILE);
		is_cdev = !strncmp(target, CDEVS, strlen(CDEVS));
		processes->device_files += is_device || is_cdev;
		groups += !strncmp(target, "/dev/vfio/", 10) && isdigit((unsigned char)target[10]);
		if ((is_device || is_cdev) &&
		    device_of(address, sizeof(address), directory, fds->name[i]))
			ret = processes_add(processes, pid, address);
		else
			unknown += is_device;
		if (!ret && !strncmp(target, "/dev/", 5))
			ret = processes_add(processes, pid, target);
		else if (!ret && is_bar(bar, sizeof(bar), target))
			ret = processes_add(processes, pid, bar);
	}
	/* device files beyond the number of its groups may be of other functions */
	if (!ret && unknown > groups)
		ret = processes_add(processes, pid, DEVICE_FILE);
	return ret;
}

/* Reads the files of other threads: these still have files if the first thread has ended. */
static int read_threads(struct processes *processes, int pid)
{
	struct names threads, fds;
	char directory[64];
	int ret = 0;
	size_t i;

	names_read(&threads, "/proc/%d/task", pid);
	for (i = 0; i < threads.n && threads.n > 1 && !ret; i++) {
		snprintf(directory, sizeof(directory), "/proc/%d/task/%.20s/fd", pid,
			 threads.name[i]);
		names_read(&fds, "%s", directory);
		if (fds.n) {
			ret = read_files(processes, pid, directory, &fds);
			i = threads.n;
		}
		names_free(&fds);
	}
	names_free(&threads);
	return ret;
}

static int read_process(struct processes *processes, int pid)
{
	char directory[32];
	struct names fds;
	int ret, failed;

	snprintf(directory, sizeof(directory), "/proc/%d/fd", pid);
	ret = names_read(&fds, "%s", directory);
	if (ret == -EACCES || ret == -EPERM)
		processes->partial = true;
	failed = !ret && !fds.n ? read_threads(processes, pid) :
				  read_files(processes, pid, directory, &fds);
	names_free(&fds);
	return failed;
}

/* Returns the kernel's threads, the children of process 2. They have no files. */
static char *kernel_threads(void)
{
	char *stat = file_text("/proc/2/stat"), *name_end = stat ? strrchr(stat, ')') : NULL;
	unsigned int flags = 0;

	if (name_end)
		sscanf(name_end, ") %*c %*d %*d %*d %*d %*d %u", &flags);
	free(stat);
	/* PF_KTHREAD: in a container process 2 may be any process */
	return flags & 0x200000 ? file_text("/proc/2/task/2/children") : NULL;
}

static bool is_in(const char *list, const char *pid)
{
	char word[32];

	snprintf(word, sizeof(word), " %.20s ", pid);
	return list && (!strncmp(list, word + 1, strlen(word + 1)) || strstr(list, word));
}

int processes_read(struct processes *processes)
{
	char *threads = kernel_threads();
	struct names names;
	size_t i;
	int ret;

	memset(processes, 0, sizeof(*processes));
	processes->one_group = !names_read(&names, "/sys/class/vfio") && names.n == 1;
	names_free(&names);
	ret = names_read(&names, "/proc");
	for (i = 0; i < names.n && !ret; i++)
		if (isdigit((unsigned char)names.name[i][0]) && !is_in(threads, names.name[i]))
			ret = read_process(processes, atoi(names.name[i]));
	names_free(&names);
	free(threads);
	if (!ret && processes_miss_some(processes))
		ret = processes_add_mappings(processes);
	return ret;
}

void processes_free(struct processes *processes)
{
	free(processes->opened);
	memset(processes, 0, sizeof(*processes));
}

/* Each open function holds a reference to the driver's module. */
bool processes_miss_some(const struct processes *processes)
{
	return file_number(0, "/sys/module/vfio_pci/refcnt") > processes->device_files;
}

static bool is_uio_of(const char *node, const struct function *f)
{
	struct names names;
	bool is;

	if (strncmp(node, "/dev/uio", 8) || !strstr(f->driver, "uio"))
		return false;
	names_read(&names, PCI_DEVICES "/%s/uio", f->address);
	is = names_have(&names, node + 5);
	names_free(&names);
	return is;
}

enum has opened_is_of(const struct processes *processes, const struct opened *o,
		      const struct function *f)
{
	char node[64];
	/* while it is being unbound, it has no driver any more */
	bool is_vfio = (is_of_vfio(f) || !*f->driver) && (f->group >= 0 || *f->cdev);

	if (!strcmp(o->node, f->address))
		return HAS;
	if (!is_vfio)
		return is_uio_of(o->node, f) ? HAS : HAS_NOT;
	if (!strcmp(o->node, DEVICE_FILE)) {
		if (processes->one_group && (is_of_vfio(f) || f->being_unbound))
			return HAS;
		return is_of_vfio(f) ? HAS_MAYBE : HAS_NOT;
	}
	snprintf(node, sizeof(node), "/dev/vfio/%s%d",
		 f->behind == BEHIND_NOIOMMU ? "noiommu-" : "", f->group);
	if (f->group >= 0 && !strcmp(o->node, node))
		return HAS;
	snprintf(node, sizeof(node), CDEVS "%.40s", f->cdev);
	return *f->cdev && !strcmp(o->node, node) ? HAS : HAS_NOT;
}

struct json_object *processes_of(const struct processes *processes, const struct function *f)
{
	struct json_object *array = json_object_new_array(), *o = NULL;
	int last = 0;
	size_t i;

	for (i = 0; i < processes->n; i++) {
		const struct opened *opened = &processes->opened[i];
		enum has has = opened_is_of(processes, opened, f);

		if (has == HAS_NOT)
			continue;
		if (opened->pid != last) {
			o = add_object(array);
			put_number(o, "pid", opened->pid);
			put_string(o, "name", opened->name);
			put_bool(o, "maybe", true);
		}
		last = opened->pid;
		if (has == HAS)
			put_bool(o, "maybe", false);
	}
	return array;
}

bool processes_are_sure(struct json_object *array)
{
	bool sure = false;
	size_t i;

	for (i = 0; i < json_object_array_length(array); i++)
		sure |= !json_object_get_boolean(get(json_object_array_get_idx(array, i), "maybe"));
	return sure;
}

void processes_text(char *buf, size_t size, struct json_object *array)
{
	size_t i, len = 0;

	buf[0] = 0;
	for (i = 0; i < json_object_array_length(array) && len < size; i++) {
		struct json_object *o = json_object_array_get_idx(array, i);

		len += snprintf(buf + len, size - len, "%s%s%s[%s]", i ? ", " : "",
				json_object_get_boolean(get(o, "maybe")) ? "maybe " : "",
				get_string(o, "name"), get_string(o, "pid"));
	}
}
