/* SPDX-License-Identifier: MIT */
/* What is on a disk that nothing uses now. */
#ifndef CONTENTS_H
#define CONTENTS_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct contents - what was found
 * @member:	"LVM", "MD" or such a thing: a part of something that will miss it; or ""
 * @what:	"ext4", with its label if it has one, or a partition table; or ""
 */
struct contents {
	char member[64];
	char what[128];
};

/* By libblkid, where it is there; without it, the commonest members alone. */
void contents_read(struct contents *contents, int fd);

#endif
