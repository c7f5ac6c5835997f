/* SPDX-License-Identifier: MIT */
/* The devices of the machine, as in ../devices.sh. */
#ifndef TEST_DEVICES_H
#define TEST_DEVICES_H

#define NVME "0000:00:04.0"
#define NIC "0000:00:05.0"
#define EDU "0000:00:06.0"
#define TESTDEV "0000:00:07.0"
/* an nvme with SR-IOV, and the first of its VFs */
#define SRIOV_PF "0000:01:00.0"
#define SRIOV_VF0 "0000:01:00.1"
/* two functions of one slot: an nvme and an edu */
#define FN0 "0000:02:00.0"
#define FN1 "0000:02:00.1"
/* a root port */
#define BRIDGE "0000:00:08.0"
/* an nvme in a hot-plug port; QEMU calls them hotdev and hot1 */
#define HOT_DEV "0000:04:00.0"
/* a device that is plugged into the other port, hot0 */
#define HOT_EMPTY_DEV "0000:03:00.0"
/* BAR 2 is memory */
#define SHM "0000:00:0c.0"

/* an empty hot-plug port, which QEMU calls hot0, and the device that may be plugged into it */
#define EMPTY_PORT "0000:00:0a.0"
#define EMPTY_SLOT "0000:03:00"
#define EMPTY_DEV "0000:03:00.0"

#endif
