// SPDX-License-Identifier: MIT
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sysfs.h"

#define GROUPS_MAX 1024

/**
 * struct process - differences between another process and this one
 * @pidfd:	the process
 * @root:	its root directory
 * @spaces:	CLONE_NEW* of namespaces that it has and this one has not
 * @moved:	it has another root directory in the same namespace of mounts
 */
struct process {
	int pidfd, root, spaces;
	bool moved;
	uid_t uid;
	gid_t gid, groups[GROUPS_MAX];
	size_t nr_groups;
	unsigned long long capabilities, bounds;
};

static const struct {
	const char *name;
	int flag;
} spaces[] = {
	{ "mnt", CLONE_NEWNS },
	{ "pid", CLONE_NEWPID },
	{ "user", CLONE_NEWUSER },
};

static const char *value_of(const char *status, const char *key)
{
	const char *line = strstr(status, key);

	return line ? line + strlen(key) : "";
}

static void read_groups(struct process *p, const char *list)
{
	char *end;

	while (*list && *list != '\n' && p->nr_groups < GROUPS_MAX) {
		p->groups[p->nr_groups] = strtoul(list, &end, 10);
		if (end == list)
			break;
		p->nr_groups++;
		list = end + strspn(end, " ");
	}
}

/* Reads the status of a process. A line of ids has the real one, the effective one and two more. */
static int read_status(struct process *p, const char *pid)
{
	char *status = file_text("/proc/%s/status", pid);

	if (!status)
		return -errno;
	if (sscanf(value_of(status, "\nUid:"), "%*u %u", &p->uid) != 1 ||
	    sscanf(value_of(status, "\nGid:"), "%*u %u", &p->gid) != 1) {
		free(status);
		return -ESRCH;
	}
	read_groups(p, value_of(status, "\nGroups:"));
	p->capabilities = strtoull(value_of(status, "\nCapEff:"), NULL, 16);
	p->bounds = strtoull(value_of(status, "\nCapBnd:"), NULL, 16);
	free(status);
	return 0;
}

/* Reads namespaces and root directory, which only a user who may trace the process can see. */
static int read_spaces(struct process *p, const char *pid)
{
	struct stat here, there;
	char path[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(spaces); i++) {
		snprintf(path, sizeof(path), "/proc/%s/ns/%s", pid, spaces[i].name);
		if (stat(path, &there))
			return -errno;
		snprintf(path, sizeof(path), "/proc/self/ns/%s", spaces[i].name);
		if (stat(path, &here))
			return -errno;
		if (here.st_ino != there.st_ino)
			p->spaces |= spaces[i].flag;
	}
	snprintf(path, sizeof(path), "/proc/%s/root", pid);
	p->root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p->root < 0 || fstat(p->root, &there) || stat("/", &here))
		return -errno;
	p->moved = here.st_ino != there.st_ino || here.st_dev != there.st_dev;
	return 0;
}

static int read_process(struct process *p, const char *pid)
{
	char *end;
	long number = strtol(pid, &end, 10);
	int ret;

	if (*end || end == pid || number <= 0)
		return -EINVAL;
	p->pidfd = (int)syscall(SYS_pidfd_open, number, 0);
	if (p->pidfd < 0)
		return -errno;
	ret = read_status(p, pid);
	if (!ret)
		ret = read_spaces(p, pid);
	return ret;
}

/* Forks after entering a PID namespace: only children are in it. The parent waits and exits. */
static int go_on_in_child(void)
{
	int status;
	pid_t child = fork();

	if (child <= 0)
		return child < 0 ? -errno : 0;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

/*
 * Drops capabilities that the other process cannot get from the bounding set. This fails without
 * CAP_SETPCAP, but then this process has none of them.
 */
static void set_bounds(unsigned long long bounds)
{
	unsigned long capability;

	for (capability = 0; capability < 64; capability++)
		if (!(bounds >> capability & 1))
			prctl(PR_CAPBSET_DROP, capability);
}

static int set_user(const struct process *p)
{
	bool same = p->uid == geteuid() && p->gid == getegid();

	if (same && geteuid())
		return 0;
	/* keep this user's capabilities until set_capabilities() */
	if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) ||
	    setgroups(p->nr_groups, p->groups) || setresgid(p->gid, p->gid, p->gid) ||
	    setresuid(p->uid, p->uid, p->uid))
		return -errno;
	return 0;
}

static int set_capabilities(unsigned long long capabilities)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		{ .effective = (__u32)capabilities, .permitted = (__u32)capabilities },
		{ .effective = capabilities >> 32, .permitted = capabilities >> 32 },
	};

	return syscall(SYS_capset, &header, data) ? -errno : 0;
}

static int become(const struct process *p)
{
	int ret = 0;

	if (p->spaces & ~CLONE_NEWUSER && setns(p->pidfd, p->spaces & ~CLONE_NEWUSER))
		return -errno;
	if ((p->moved || p->spaces & CLONE_NEWNS) && (fchdir(p->root) || chroot(".")))
		return -errno;
	if (p->spaces & CLONE_NEWPID)
		ret = go_on_in_child();
	if (!ret) {
		set_bounds(p->bounds);
		ret = set_user(p);
	}
	if (!ret && p->spaces & CLONE_NEWUSER && setns(p->pidfd, CLONE_NEWUSER))
		ret = -errno;
	return ret ? ret : set_capabilities(p->capabilities);
}

int process_become(struct tool *tool, const char *pid)
{
	struct process p = { .pidfd = -1, .root = -1 };
	int ret = read_process(&p, pid);

	if (!ret)
		ret = become(&p);
	if (p.pidfd >= 0)
		close(p.pidfd);
	if (p.root >= 0)
		close(p.root);
	switch (ret) {
	case 0:
		return 0;
	case -EINVAL:
		return tool_fail(tool, ret, "--pid %s: not a process", pid);
	case -ESRCH:
	case -ENOENT:
		return tool_fail(tool, ret, "--pid %s: there is no such process", pid);
	case -EPERM:
	case -EACCES:
		cure(tool, "sudo flatiommu doctor --pid %s", pid);
		return tool_fail(tool, ret, "--pid %s: this user may not inspect that process", pid);
	default:
		return tool_fail(tool, ret, "--pid %s: %s", pid, strerror(-ret));
	}
}
