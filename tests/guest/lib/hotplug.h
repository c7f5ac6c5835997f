/* SPDX-License-Identifier: MIT */
/* Devices in hot-plug ports, by QEMU's monitor and the ports' registers. */
#ifndef TEST_HOTPLUG_H
#define TEST_HOTPLUG_H

#include <stdbool.h>

/* Unplugs HOT_DEV, an nvme, with the guest's consent. Returns 0 or -EIO. */
int hot_unplug(void);
/* Plugs it in, for wait_until(): QEMU refuses until it has removed the earlier device. */
bool hot_plug(void *arg);
bool hot_is_there(void *arg);
bool hot_is_gone(void *arg);

/* Plug an edu in at EMPTY_DEV, which can vanish without notice, and empty the port again. Return 0 or -errno. */
int edu_plug(void);
int edu_vanish(void);
int edu_forget(void);

#endif
