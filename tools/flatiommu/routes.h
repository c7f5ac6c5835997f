/* SPDX-License-Identifier: MIT */
/* Routes of an interface, in all tables and both families. */
#ifndef ROUTES_H
#define ROUTES_H

#include <stdbool.h>

/**
 * struct routes - what goes through an interface
 * @carries_default:	all that has no other route
 * @n:		how many others somebody has made; not those that an address brings with it
 * @first:	one of them
 */
struct routes {
	bool carries_default;
	unsigned int n;
	char first[64];
};

/* @interface: its number in our network namespace */
void routes_read(struct routes *routes, unsigned int interface);

#endif
