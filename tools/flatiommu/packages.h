/* SPDX-License-Identifier: MIT */
/* What is installed, by the package manager of this distribution. */
#ifndef PACKAGES_H
#define PACKAGES_H

#include <stdbool.h>
#include <stddef.h>

enum package { KERNEL_HEADERS, DKMS, MOKUTIL };

/* The command that installs it; false: nothing is known of such a package here, and @buf is "". */
bool install_command(char *buf, size_t size, enum package package);

/* Is this distribution, or one that it is like, @id of os-release(5)? */
bool is_distribution(const char *id);

#endif
