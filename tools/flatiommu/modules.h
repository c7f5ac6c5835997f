/* SPDX-License-Identifier: MIT */
/* Kernel modules: loaded, available, and fit for the running kernel. */
#ifndef MODULES_H
#define MODULES_H

#include <limits.h>
#include <stdbool.h>

#include "tool.h"

/**
 * struct module_file - where a module may be loaded from
 * @path:	the file
 * @release:	of the kernel that it was built for, "" when that cannot be seen
 * @version:	its own, the same
 * @versions:	it has the versions of the symbols that it uses, by which another kernel may load it
 * @is_signed:	by whom is another question
 * @installed:	modprobe knows it; otherwise it takes insmod
 */
struct module_file {
	char path[PATH_MAX];
	char release[128];
	char version[64];
	bool versions;
	bool is_signed;
	bool installed;
};

/**
 * struct module_files - all that was found of flatiommu.ko
 * @fit:	for the kernel that runs; its path is "" when there is none
 * @unfit:	for another kernel, though installed for this one, or all that there is
 */
struct module_files {
	struct module_file fit, unfit;
};

bool module_is_loaded(const char *name);

/* Built in, or a file that modprobe knows. */
bool module_is_known(const char *name);

void module_find(struct module_files *files);

/* The command that loads it, or makes it first, for cure(). */
void module_load_command(char *buf, size_t size, const struct module_files *files);

/* The command that makes one that claims in a locked down kernel. */
void module_trust_command(char *buf, size_t size);

/* The command that installs the one that is made here. */
void module_install_command(char *buf, size_t size);

/* Has modprobe nothing of the kernel that runs? */
bool modules_are_missing(void);

/* Are the headers missing that modules for the running kernel are built with? */
bool headers_are_missing(void);

/* 0 also when it is there already. */
int module_load(struct tool *tool, const char *name);

/* -EWOULDBLOCK when it is in use. */
int module_unload(const char *name);

const char *kernel_release(void);

#endif
