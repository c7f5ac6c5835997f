/* SPDX-License-Identifier: MIT */
/* Routes of an interface, in all tables and both families. */
#ifndef ROUTES_H
#define ROUTES_H

#include <stdbool.h>

/**
 * struct routes - routes through an interface
 * @carries_default:	the default route goes through it
 * @n:		number of other routes, without those that an address brings with it
 * @first:	one of these other routes
 */
struct routes {
	bool carries_default;
	unsigned int n;
	char first[64];
};

/* @interface: index in our network namespace */
void routes_read(struct routes *routes, unsigned int interface);

#endif
