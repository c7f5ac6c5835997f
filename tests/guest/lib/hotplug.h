/* SPDX-License-Identifier: MIT */
/* Devices in hot-plug ports, as QEMU's monitor and the ports' registers have them. */
#ifndef TEST_HOTPLUG_H
#define TEST_HOTPLUG_H

#include <stdbool.h>

/* HOT_DEV, an nvme. Asks the guest to let it go: 0 or -EIO. */
int hot_unplug(void);
/* For wait_until(): QEMU refuses while it is not done with the device that was there. */
bool hot_plug(void *arg);
bool hot_is_there(void *arg);
bool hot_is_gone(void *arg);

/* An edu at EMPTY_DEV, that can vanish without a word; and the empty port, as it was. 0 or -errno. */
int edu_plug(void);
int edu_vanish(void);
int edu_forget(void);

#endif
