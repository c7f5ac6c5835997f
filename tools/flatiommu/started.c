// SPDX-License-Identifier: MIT
#include "started.h"

#include <elf.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../preload/variable.h"
#include "preload.h"
#include "sysfs.h"

/* Returns the value of a variable in a process's environment, to be freed, or NULL. */
static char *variable_of(const char *pid, const char *name)
{
	size_t size = 0, len = strlen(name);
	char path[64], *word = NULL, *value = NULL;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/environ", pid);
	f = fopen(path, "re");
	if (!f)
		return NULL;
	while (!value && getdelim(&word, &size, 0, f) > 0)
		if (!strncmp(word, name, len) && word[len] == '=')
			value = strdup(word + len + 1);
	free(word);
	fclose(f);
	return value;
}

static bool has_text(const char *text, const char *fmt, const char *pid)
{
	char path[64], *all;
	bool has;

	snprintf(path, sizeof(path), fmt, pid);
	all = file_text("%s", path);
	has = all && strstr(all, text);
	free(all);
	return has;
}

/* Is the library that @list (LD_PRELOAD) names in the process's root directory? */
static bool is_in_root(const char *pid, char *list)
{
	char path[PATH_MAX], *word, *rest;

	for (word = strtok_r(list, " :", &rest); word; word = strtok_r(NULL, " :", &rest)) {
		if (!strstr(word, PRELOAD_NAME))
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/root/%s", pid, word);
		return !access(path, F_OK);
	}
	return false;
}

/* Did the kernel tell the dynamic linker of the process to ignore the environment? */
static bool is_secure(const char *pid)
{
	bool secure = false;
	Elf64_auxv_t word;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/auxv", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (fread(&word, sizeof(word), 1, f) == 1)
		secure |= word.a_type == AT_SECURE && word.a_un.a_val;
	fclose(f);
	return secure;
}

static const char *why_not(const char *pid)
{
	const char *reason;
	char path[64], *list;

	if (has_text("/" PRELOAD_NAME, "/proc/%.20s/maps", pid))
		return NULL;
	snprintf(path, sizeof(path), "/proc/%.20s/exe", pid);
	reason = preload_not_for(path);
	if (reason)
		return reason;
	if (is_secure(pid))
		return "it has started with other privileges than its parent, AT_SECURE: by set-user-ID, file capabilities, SELinux or AppArmor";
	list = variable_of(pid, "LD_PRELOAD");
	if (!list || !strstr(list, PRELOAD_NAME))
		reason = "its environment has no LD_PRELOAD for it";
	else if (!is_in_root(pid, list))
		reason = "its root directory has no " PRELOAD_NAME;
	else
		reason = "the dynamic linker did not load it";
	free(list);
	return reason;
}

void started_read(struct started *started, const char *pid)
{
	char *value = variable_of(pid, RUN_VARIABLE);
	struct names groups;

	/* without that environment, the process may be in the namespace that run has made */
	started->by_run = value || has_text(" - tmpfs flatiommu ", "/proc/%.20s/mountinfo", pid);
	free(value);
	if (!started->by_run)
		return;
	started->why_not = why_not(pid);
	names_read(&groups, "/proc/%.20s/root/sys/kernel/iommu_groups", pid);
	/* the library would hide them */
	started->groups = groups.n && started->why_not;
	names_free(&groups);
}

void started_text(char *buf, size_t size, const struct started *started)
{
	snprintf(buf, size,
		 "flatiommu run has started it, but its /sys has IOMMU groups, and %s is not loaded (%s): let run start the program itself (chroot DIRECTORY flatiommu run -- PROGRAM), or --iova-mode=pa",
		 PRELOAD_NAME, started->why_not);
}
