// SPDX-License-Identifier: MIT
#include "holders.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "output.h"
#include "processes.h"
#include "wait.h"

struct attempt {
	const struct function *function;
	char node[128];
	bool alone, takes;
};

/*
 * Opens the group's node. It can be open only once, and a program that uses a function by type1 has
 * it open. A program that uses iommufd may have closed it; then the group's status is not viable.
 */
static int open_group(const struct attempt *attempt)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	int fd = open(attempt->node, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return errno == EBUSY ? -EBUSY : 0;
	if (attempt->alone && !ioctl(fd, VFIO_GROUP_GET_STATUS, &status) &&
	    !(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return -EBUSY;
	return 0;
}

/* Unbinds with the group's node open, so that no program can open it meanwhile. */
static int try_it(const void *arg, int answer)
{
	const struct attempt *attempt = arg;
	const char *address = attempt->function->address;
	int ret = *attempt->node ? open_group(attempt) : 0;

	(void)answer;
	if (ret || !attempt->takes)
		return ret;
	ret = file_write(address, PCI_DEVICES "/%s/driver/unbind", address);
	/* the driver may have been unbound meanwhile */
	return ret == -ENOENT || ret == -ENODEV ? 0 : ret;
}

static int attempt(const struct function *f, bool takes)
{
	struct attempt attempt = { .function = f, .takes = takes };
	struct names names;

	if (is_of_vfio(f))
		function_node(f, attempt.node, sizeof(attempt.node));
	/* a character device can be opened even if another program uses it */
	if (!strncmp(attempt.node, "/dev/vfio/devices/", strlen("/dev/vfio/devices/")))
		attempt.node[0] = 0;
	/* a driver of another function in the group makes the group not viable as well */
	attempt.alone = f->behind == BEHIND_FLATIOMMU;
	if (f->behind == BEHIND_IOMMU) {
		names_read(&names, "/sys/kernel/iommu_groups/%d/devices", f->group);
		attempt.alone = names.n == 1;
		names_free(&names);
	}
	return wait_for(takes ? CHANGE_SECONDS : LOOK_SECONDS, try_it, &attempt, NULL);
}

/* The cure kills the first program that surely has the function open, or the only one. */
static void cure_by_kill(struct tool *tool, struct json_object *array)
{
	size_t i, n = json_object_array_length(array);
	struct json_object *o;

	for (i = 0; i < n; i++) {
		o = json_object_array_get_idx(array, i);
		if (n > 1 && json_object_get_boolean(get(o, "maybe")))
			continue;
		cure(tool, "kill %s", get_string(o, "pid"));
		break;
	}
}

static int fail_used(struct tool *tool, const struct function *f, struct processes *processes)
{
	struct json_object *array = processes_of(processes, f);
	char who[256];

	/* search for mappings last, because that is slowest */
	if (!json_object_array_length(array)) {
		json_object_put(array);
		processes_add_mappings(processes);
		array = processes_of(processes, f);
	}
	processes_text(who, sizeof(who), array);
	cure_by_kill(tool, array);
	json_object_put(array);
	if (*who)
		return tool_fail(tool, -EBUSY, "%s: open by %s", f->address, who);
	return tool_fail(tool, -EBUSY,
			 "%s: open, but no process shows it: one outside of this container, or a file on its way through a socket",
			 f->address);
}

/*
 * Is the function surely open, by a process that is not visible? On a kernel without groups this is
 * known if as many functions are open as vfio-pci has.
 */
static bool must_be_missed(const struct processes *processes)
{
	struct names names;
	size_t i, n = 0, seen = 0;

	if (has_vfio_groups() || !processes_miss_some(processes))
		return false;
	names_read(&names, "/sys/bus/pci/drivers/vfio-pci");
	for (i = 0; i < names.n; i++)
		n += strchr(names.name[i], ':') != NULL;
	names_free(&names);
	for (i = 0; i < processes->n; i++)
		seen += *processes->opened[i].node != '/' && strchr(processes->opened[i].node, ':');
	return file_number(0, "/sys/module/vfio_pci/refcnt") >= n && n > seen;
}

int check_unused(struct tool *tool, const struct function *f, struct processes *processes)
{
	struct json_object *array;
	int ret = 0;
	bool sure;

	if (f->being_unbound)
		return fail_waiting(tool, f->address);
	array = processes_of(processes, f);
	sure = processes_are_sure(array);
	json_object_put(array);
	if (!sure && is_of_vfio(f))
		ret = attempt(f, false);
	if (ret == -ETIMEDOUT)
		return fail_waiting(tool, f->address);
	if (sure || ret == -EBUSY || (is_of_vfio(f) && must_be_missed(processes)))
		return fail_used(tool, f, processes);
	return 0;
}

int check_vfs_unused(struct tool *tool, const struct function *f, struct processes *processes)
{
	unsigned int vfs = nr_vfs(f), i;
	char address[PCI_ADDRESS_SIZE];
	struct function vf;
	int ret = 0;

	for (i = 0; i < vfs && !ret; i++)
		/* one that is being unbound has no driver any more */
		if (function_vf(address, sizeof(address), f, i) && !function_read(&vf, address) &&
		    (is_of_vfio(&vf) || !*vf.driver))
			ret = check_unused(tool, &vf, processes);
	return ret;
}

/* A write to enable takes device_lock. If the function has a driver, it does nothing more. */
static int ask_for_lock(const void *arg, int answer)
{
	(void)answer;
	file_write("0", PCI_DEVICES "/%s/enable", (const char *)arg);
	return 0;
}

int take_unused(struct tool *tool, const struct function *f)
{
	struct processes processes;
	int ret;

	/* try the lock first: a write to driver/unbind that waits for it cannot be withdrawn */
	ret = wait_for(LOOK_SECONDS, ask_for_lock, f->address, NULL);
	if (!ret)
		ret = attempt(f, true);
	if (ret == -ETIMEDOUT)
		return fail_waiting(tool, f->address);
	if (ret != -EBUSY || !is_of_vfio(f))
		return ret ? tool_fail(tool, ret, "%s: %s cannot be unbound: %s", f->address, f->driver,
				       strerror(-ret)) : 0;
	processes_read(&processes);
	ret = fail_used(tool, f, &processes);
	processes_free(&processes);
	return ret;
}

int fail_waiting(struct tool *tool, const char *address)
{
	struct processes processes;
	struct json_object *array;
	struct function f;
	char who[256];

	if (function_read(&f, address))
		return tool_fail(tool, -ENODEV, "%s: is gone", address);
	processes_read(&processes);
	array = processes_of(&processes, &f);
	processes_text(who, sizeof(who), array);
	cure_by_kill(tool, array);
	if (*who)
		tool_fail(tool, -ETIMEDOUT, "%s: an unbind of it waits for %s", address, who);
	else if (f.being_unbound)
		tool_fail(tool, -ETIMEDOUT,
			  "%s: an unbind of it waits for a program, but no process shows which",
			  address);
	else
		tool_fail(tool, -ETIMEDOUT, "%s: the kernel is busy with it: %s is being bound or "
			  "unbound", address,
			  *f.driver ? f.driver : "a driver");
	json_object_put(array);
	processes_free(&processes);
	return -ETIMEDOUT;
}
