// SPDX-License-Identifier: MIT
/* Causes of failures while a device is opened: nodes, and calls of VFIO and iommufd. */
#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "internal.h"

/* Nodes that exist once in the machine; all others belong to a device. */
static const struct node {
	const char *path;
	const char *sysfs;
	const char *module;
} nodes[] = {
	{ "/dev/flatiommu", "/sys/class/misc/flatiommu", "flatiommu" },
	{ "/dev/vfio/vfio", "/sys/class/misc/vfio", "vfio_iommu_type1" },
	{ "/dev/iommu", "/sys/class/misc/iommu", "iommufd" },
};

/* Returns NULL for the node of a device. */
static const struct node *find_node(const char *path)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(nodes); i++)
		if (!strcmp(nodes[i].path, path))
			return &nodes[i];
	return NULL;
}

/* For these nodes EPERM comes from the driver, which checks CAP_SYS_RAWIO, not from the mode. */
static bool asks_for_rawio(const char *path)
{
	return !strcmp(path, "/dev/flatiommu") || strstr(path, "noiommu-");
}

bool is_open_here(const char *path)
{
	char link[300], target[64];
	const struct dirent *entry;
	DIR *dir = opendir("/proc/self/fd");
	bool found = false;
	ssize_t length;

	while (dir && !found && (entry = readdir(dir))) {
		snprintf(link, sizeof(link), "/proc/self/fd/%s", entry->d_name);
		length = readlink(link, target, sizeof(target) - 1);
		target[length > 0 ? length : 0] = 0;
		found = !strcmp(target, path);
	}
	if (dir)
		closedir(dir);
	return found;
}

const char *why_busy(const char *path)
{
	return is_open_here(path) ? "this program has it open already, in another context or by another library "
	       "such as DPDK, or the program that it was forked from. Cure: one context for all of its "
	       "devices, without those of other libraries" : "another program has it open";
}

const char *why_group_busy(const struct sysfs_function *function)
{
	const struct dirent *entry;
	bool alone = true, here = false;
	struct sysfs_function other;
	char path[96];
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%d/devices", function->group);
	dir = opendir(path);
	while (dir && !here && (entry = readdir(dir))) {
		if (parse_bdf(entry->d_name, &other) || !strcmp(other.bdf, function->bdf) ||
		    read_function(&other) || !other.cdev[0])
			continue;
		alone = false;
		snprintf(path, sizeof(path), "/dev/vfio/devices/%s", other.cdev);
		here = is_open_here(path);
	}
	if (dir)
		closedir(dir);
	if (here)
		return "another context of this program has a function of its group. Cure: one context for all "
		       "of a group";
	return alone ? "another program has it open" :
	       "another program has it open, or a function of its group";
}

static bool is_in_group(gid_t group)
{
	gid_t groups[256];
	int n = getgroups(ARRAY_SIZE(groups), groups), i;

	for (i = 0; i < n; i++)
		if (groups[i] == group)
			return true;
	return getegid() == group;
}

static bool mode_allows(const struct stat *st)
{
	unsigned int shift = st->st_uid == geteuid() ? 6 : is_in_group(st->st_gid) ? 3 : 0;

	return has_capability(CAP_DAC_OVERRIDE) || (st->st_mode >> shift & 6) == 6;
}

/* EACCES comes from the node's mode, from the mount, or from a security module. */
static void explain_access(const char *path, char *text, size_t size)
{
	struct statvfs fs;
	struct stat st;

	if (stat(path, &st))
		snprintf(text, size, "this user may not enter a directory above it");
	else if (in_user_namespace())
		snprintf(text, size, "%s", why_no_rawio());
	else if (!statvfs(path, &fs) && fs.f_flag & ST_NODEV)
		snprintf(text, size, "its file system is mounted nodev. Cure: a /dev of devtmpfs, "
			 "or without nodev");
	else if (mode_allows(&st))
		snprintf(text, size, "its mode allows it, but a security module (SELinux, "
			 "AppArmor) does not. Cure: the kernel log names the rule");
	else if (!strcmp(path, "/dev/flatiommu"))
		snprintf(text, size, "it belongs to user %u (mode %03o), and this is user %u. "
			 "Cure, as root: flatiommu bind --user %u DEVICE, or chmod 666 %s: opening it "
			 "needs CAP_SYS_RAWIO anyway",
			 st.st_uid, st.st_mode & 0777, geteuid(), geteuid(), path);
	else
		snprintf(text, size, "it belongs to user %u (mode %03o), and this is user %u. "
			 "Cure, as root: chown %u %s", st.st_uid, st.st_mode & 0777, geteuid(),
			 geteuid(), path);
}

/* The node is missing in this /dev, or does not exist at all. */
static void explain_missing(const char *path, char *text, size_t size)
{
	const struct node *node = find_node(path);

	if (node && access(node->sysfs, F_OK))
		snprintf(text, size, "the module is not loaded. Cure: modprobe %s", node->module);
	else
		snprintf(text, size, "the kernel has it, but this /dev does not, as in a container "
			 "or service. Cure: pass it in (--device %s; PrivateDevices=no)", path);
}

static void explain_node(const char *path, int err, char *text, size_t size)
{
	const struct node *node = find_node(path);
	const char *lack = asks_for_rawio(path) ? why_no_rawio() : NULL;

	switch (err) {
	case -ENOENT:
		explain_missing(path, text, size);
		break;
	case -ENODEV:
	case -ENXIO:
		if (node)
			snprintf(text, size, "the node exists, but its module is not loaded. Cure: "
				 "modprobe %s",
				 node->module);
		else
			snprintf(text, size, "the device is being unbound or removed");
		break;
	case -EACCES:
		explain_access(path, text, size);
		break;
	case -EPERM:
		if (lack)
			snprintf(text, size, "%s", lack);
		else
			snprintf(text, size, "the cgroup of this container or service does not allow it. Cure: "
				 "--device %s, or DeviceAllow=%s", path, path);
		break;
	case -EBUSY:
		snprintf(text, size, "%s", why_busy(path));
		break;
	case -EMFILE:
		snprintf(text, size, "this program has reached its limit of open files. Cure: "
			 "ulimit -n");
		break;
	default:
		text[0] = 0;
	}
}

int explain_open(struct flatiommu *flat, const char *name, const char *path, int err)
{
	char text[512];

	explain_node(path, err, text, sizeof(text));
	return fail(flat, err, "%s%s%s: %s%s%s", name, name[0] ? ": " : "", path, ERRNO(err),
		    text[0] ? ": " : "", text);
}

static int explain_step(struct flatiommu_device *device, const char *step, int err, const char *why)
{
	return fail(device->flat, err, "%s: %s: %s%s%s", device->name, step, ERRNO(err), why ? ": " : "",
		    why ? why : "");
}

static bool is_locked_down(void)
{
	char mode[64] = "";

	return !read_line("/sys/kernel/security/lockdown", mode, sizeof(mode)) && mode[0] &&
	       !strstr(mode, "[none]");
}

/* The kernel returns EPERM for three causes, and does not tell the program which. */
static int explain_eperm(struct flatiommu_device *device, const char *step, const char *module)
{
	const char *why = device->flat->backend->isolated ? NULL : why_no_rawio();
	char path[96], unsafe[8] = "", text[256];

	if (why)
		return explain_step(device, step, -EPERM, why);
	/* Also where interrupts are isolated, so that the parameter is not asked for. */
	if (!device->flat->backend->isolated && is_locked_down())
		return explain_step(device, step, -EPERM,
				    "the kernel is locked down. Cure: doc/secure-boot.md");
	snprintf(path, sizeof(path), "/sys/module/%s/parameters/allow_unsafe_interrupts", module);
	read_line(path, unsafe, sizeof(unsafe));
	if (unsafe[0] == 'N') {
		snprintf(text, sizeof(text), "unsafe interrupts are not allowed. Cure: echo 1 > %s (nothing "
			 "keeps a device from sending any interrupt)", path);
		return explain_step(device, step, -EPERM, text);
	}
	return explain_step(device, step, -EPERM, NULL);
}

int explain_attach(struct flatiommu_device *device, const char *step, int err, const char *module)
{
	switch (err) {
	case -EPERM:
		return explain_eperm(device, step, module);
	case -EBUSY:
		return explain_step(device, step, err, "another driver or program has functions of its group");
	case -EINVAL:
		return explain_step(device, step, err, device->flat->devices ?
				    "it cannot share the mappings of the other devices, because "
				    "its bus addresses differ. Cure: open it in a context of its "
				    "own" : NULL);
	case -ENODEV:
		return explain_step(device, step, err, "it is being unbound or removed");
	default:
		return explain_step(device, step, err, NULL);
	}
}

int explain_device_fd(struct flatiommu_device *device, int err)
{
	const char *why = NULL;

	switch (err) {
	case -EPERM:
		why = device->flat->backend->isolated ? NULL : why_no_rawio();
		break;
	case -EAGAIN:
		why = "it is being bound, unbound or reset. Cure: try again";
		break;
	case -ENODEV:
		why = "it is being unbound or removed";
		break;
	case -EINVAL:
		why = "it cannot be enabled, for example because a BAR has no address. Cure: the "
		      "kernel log says why";
		break;
	}
	return explain_step(device, "VFIO_GROUP_GET_DEVICE_FD", err, why);
}

int explain_by(struct flatiommu *flat, const char *what, const char *step, int err,
	       const struct meaning *meanings)
{
	for (; meanings->err && meanings->err != err; meanings++)
		;
	return fail(flat, err, "%s: %s: %s%s%s", what, step, ERRNO(err), meanings->err ? ": " : "",
		    meanings->err ? meanings->text : "");
}
