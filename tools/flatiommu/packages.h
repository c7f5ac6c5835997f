/* SPDX-License-Identifier: MIT */
/* Packages and the package manager of this distribution. */
#ifndef PACKAGES_H
#define PACKAGES_H

#include <stdbool.h>
#include <stddef.h>

enum package { KERNEL_HEADERS, DKMS, MOKUTIL };

/* Writes the command that installs a package, or "" and returns false if none is known. */
bool install_command(char *buf, size_t size, enum package package);

/* Is this distribution, or one that it is like, @id of os-release(5)? */
bool is_distribution(const char *id);

#endif
