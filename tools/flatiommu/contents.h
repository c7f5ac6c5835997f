/* SPDX-License-Identifier: MIT */
/* Contents of a disk that nothing uses now. */
#ifndef CONTENTS_H
#define CONTENTS_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct contents - contents of a disk
 * @member:	kind of the volume or array that it is a member of, such as "LVM" or "MD", or ""
 * @what:	a file system such as "ext4", with its label, or a partition table, or ""
 */
struct contents {
	char member[64];
	char what[128];
};

/* Uses libblkid if it is installed. Otherwise it finds only the commonest members. */
void contents_read(struct contents *contents, int fd);

#endif
