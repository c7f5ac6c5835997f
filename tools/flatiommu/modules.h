/* SPDX-License-Identifier: MIT */
/* Kernel modules: loaded, available, and fit for the running kernel. */
#ifndef MODULES_H
#define MODULES_H

#include <limits.h>
#include <stdbool.h>

#include "tool.h"

/**
 * struct module_file - a file with a module
 * @path:	the file
 * @release:	release of the kernel that it was built for, or "" if it cannot be read
 * @version:	version of the module, or "" if it cannot be read
 * @versions:	it has the versions of the symbols that it uses, so another kernel may load it
 * @is_signed:	it has a signature, by any key
 * @installed:	modprobe knows it; otherwise insmod is needed
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
 * struct module_files - the files of flatiommu.ko that were found
 * @fit:	a file for the running kernel; its path is "" if there is none
 * @unfit:	a file for another kernel, if it is installed for this one or there is no other file
 */
struct module_files {
	struct module_file fit, unfit;
};

bool module_is_loaded(const char *name);

/* Is the module built in, or does modprobe know it? */
bool module_is_known(const char *name);

void module_find(struct module_files *files);

/* Writes the command that loads flatiommu.ko, or builds and loads it, for cure(). */
void module_load_command(char *buf, size_t size, const struct module_files *files);

/* Writes the command that builds a module that claims in a locked down kernel. */
void module_trust_command(char *buf, size_t size);

/* Writes the command that installs the module. */
void module_install_command(char *buf, size_t size);

/* Are all modules of the running kernel missing, for example after its package was updated? */
bool modules_are_missing(void);

/* Are the headers missing that modules for the running kernel are built with? */
bool headers_are_missing(void);

/* Loads a module. Returns 0 also if it is loaded already. */
int module_load(struct tool *tool, const char *name);

/* Unloads a module. Returns -EWOULDBLOCK if it is in use. */
int module_unload(const char *name);

const char *kernel_release(void);

#endif
