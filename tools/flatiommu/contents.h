/* SPDX-License-Identifier: MIT */
/* Contents of a disk that nothing uses now. */
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

/* Uses libblkid if it is installed; without it, finds the commonest members only. */
void contents_read(struct contents *contents, int fd);

#endif
