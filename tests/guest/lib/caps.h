/* SPDX-License-Identifier: MIT */
/* Processes with less privilege than root. */
#ifndef TEST_CAPS_H
#define TEST_CAPS_H

/* Changes to uid and gid 65534 without any capability. Returns 0 or -errno, like the others. */
int become_nobody(void);
/* The same, with only this capability. */
int become_nobody_with(int capability);
int drop_capability(int capability);

#endif
