/* SPDX-License-Identifier: MIT */
/* Processes with less privilege than root. */
#ifndef TEST_CAPS_H
#define TEST_CAPS_H

/* uid and gid 65534 without any capability. 0 or -errno, as with the others. */
int become_nobody(void);
/* The same with this capability alone. */
int become_nobody_with(int capability);
int drop_capability(int capability);

#endif
