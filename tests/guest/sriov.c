// SPDX-License-Identifier: MIT
/*
 * A virtual function has no INTx, so uio can deliver none of its interrupts; claimed and on
 * vfio-pci it delivers MSI-X. The physical function stays with the kernel's driver.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "devices.h"
#include "mem.h"
#include "nvme.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define PF_DIR "/sys/bus/pci/devices/" SRIOV_PF "/"
#define VF_DIR "/sys/bus/pci/devices/" SRIOV_VF0 "/"

/* Virtualization Management: NVM Express Base Specification 2.0, 5.31. */
#define VIRT_MGMT 0x1c
#define VIRT_PRIMARY 1		/* takes effect with the next reset */
#define VIRT_OFFLINE 7
#define VIRT_ASSIGN 8
#define VIRT_ONLINE 9
#define VIRT_QUEUES 0
#define VIRT_VECTORS 1

/* Identify: 5.17.2.16 and 5.17.2.17. */
#define CNS_PRIMARY 0x14
#define CNS_SECONDARIES 0x15

/* A pair of admin queues and one of I/O queues, and a vector for each. */
#define QUEUES 2
#define VECTORS 2

struct primary {
	__le16 controller;
	uint8_t reserved2[38];
	__le16 queues;		/* flexible ones that it keeps for itself */
	uint8_t reserved42[30];
	__le16 vectors;
	uint8_t reserved74[4022];
};

static_assert(sizeof(struct primary) == 4096, "5.17.2.16");

struct secondaries {
	uint8_t count;
	uint8_t reserved1[31];
	struct {
		__le16 controller;
		__le16 primary;
		uint8_t online;
		uint8_t reserved5[3];
		__le16 function;
		__le16 queues;
		__le16 vectors;
		uint8_t reserved14[18];
	} list[127];
};

static_assert(sizeof(struct secondaries) == 4096, "5.17.2.17");

static struct vfio_dev dev = VFIO_DEV_INIT;
static struct nvme nvme;
static int container = -1, events[VECTORS] = { -1, -1 };
static struct primary primary;
static uint32_t secondary;

/* A command to the PF, by way of the kernel's driver. A page of data, or none. */
static int admin(uint8_t opcode, uint32_t cdw10, uint32_t cdw11, void *data)
{
	struct nvme_admin_cmd command = {
		.opcode = opcode,
		.addr = (uintptr_t)data,
		.data_len = data ? PAGE : 0,
		.cdw10 = cdw10,
		.cdw11 = cdw11,
	};
	char path[256], node[300];
	int fd, ret = find_path(PF_DIR "nvme/nvme*", path, sizeof(path));

	if (ret)
		return ret;
	snprintf(node, sizeof(node), "/dev/%s", last_part(path));
	fd = open(node, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = ioctl(fd, NVME_IOCTL_ADMIN_CMD, &command);
	close(fd);
	return ret < 0 ? -errno : ret ? -EIO : 0;
}

static int manage(uint32_t controller, uint32_t resource, uint32_t action, uint32_t count)
{
	return admin(VIRT_MGMT, controller << 16 | resource << 8 | action, count, NULL);
}

/* How many of the flexible queues and vectors the PF has for itself. */
static int set_primary(uint32_t queues, uint32_t vectors)
{
	uint32_t id = from_le16(primary.controller);
	char path[256];
	int ret = manage(id, VIRT_QUEUES, VIRT_PRIMARY, queues);

	if (!ret)
		ret = manage(id, VIRT_VECTORS, VIRT_PRIMARY, vectors);
	if (!ret)
		ret = find_path(PF_DIR "nvme/nvme*/reset_controller", path, sizeof(path));
	if (!ret)
		ret = write_text(path, "1");
	return ret ? ret : wait_until(nvme_is_live, SRIOV_PF) ? 0 : -ETIMEDOUT;
}

static int begin(void **state)
{
	(void)state;
	expect(0, flat_load());
	expect(0, module_probe("uio_pci_generic"));
	assert_true(wait_until(nvme_is_live, SRIOV_PF));
	expect(0, admin(NVME_ADMIN_IDENTIFY, CNS_PRIMARY, 0, &primary));
	expect(0, set_primary(0, 0));
	/* The kernel's driver would wait for a controller that is offline. */
	expect(0, write_text(PF_DIR "sriov_drivers_autoprobe", "0"));
	expect(0, write_text(PF_DIR "sriov_numvfs", "1"));
	return 0;
}

static int end(void **state)
{
	int i, ret;

	(void)state;
	nvme_stop(&nvme);
	vfio_close(&dev);
	close_fd(&container);
	for (i = 0; i < VECTORS; i++)
		close_fd(&events[i]);
	pci_unbind(SRIOV_VF0);
	pci_give_back(SRIOV_VF0);
	if (secondary)
		manage(secondary, 0, VIRT_OFFLINE, 0);
	ret = write_text(PF_DIR "sriov_numvfs", "0");
	if (!ret)
		ret = write_text(PF_DIR "sriov_drivers_autoprobe", "1");
	if (!ret)
		ret = set_primary(from_le16(primary.queues), from_le16(primary.vectors));
	return ret ? ret : flat_unload();
}

static void has_no_intx(void **state)
{
	char path[256], node[300];
	uint32_t count;
	int fd;

	(void)state;
	assert_int_equal(read_number(VF_DIR "irq"), 0);
	expect(0, pci_bind(SRIOV_VF0, "uio_pci_generic"));
	expect(0, find_path(VF_DIR "uio/uio*", path, sizeof(path)));
	snprintf(node, sizeof(node), "/dev/%s", last_part(path));
	fd = open(node, O_RDWR | O_CLOEXEC);
	assert_int_not_equal(fd, -1);
	assert_int_equal(read(fd, &count, sizeof(count)), -1);
	expect(-EIO, -errno);
	close(fd);
	expect(0, pci_unbind(SRIOV_VF0));
}

static void bring_online(void)
{
	static struct secondaries s;
	unsigned int i;

	expect(0, admin(NVME_ADMIN_IDENTIFY, CNS_SECONDARIES, 0, &s));
	for (i = 0; i < s.count; i++)
		if (from_le16(s.list[i].function) == 1)
			break;
	assert_int_not_equal(i, s.count);
	assert_false(s.list[i].online);
	secondary = from_le16(s.list[i].controller);
	expect(0, manage(secondary, VIRT_QUEUES, VIRT_ASSIGN, QUEUES));
	expect(0, manage(secondary, VIRT_VECTORS, VIRT_ASSIGN, VECTORS));
	expect(0, manage(secondary, 0, VIRT_ONLINE, 0));
}

static void delivers_msix(void **state)
{
	int i;

	(void)state;
	bring_online();
	expect(0, pci_take(SRIOV_VF0));
	container = expect_good(vfio_container());
	expect(0, vfio_open(&dev, container, SRIOV_VF0));
	expect(0, vfio_reset(&dev));
	expect(0, vfio_irq_count(&dev, VFIO_PCI_INTX_IRQ_INDEX));
	assert_true(vfio_irq_count(&dev, VFIO_PCI_MSIX_IRQ_INDEX) >= VECTORS);
	for (i = 0; i < VECTORS; i++)
		events[i] = expect_good(event_new());
	expect(0, vfio_irq_enable(&dev, VFIO_PCI_MSIX_IRQ_INDEX, events, VECTORS));
	expect(0, nvme_start(&nvme, &dev, container));
	nvme.event = events[0];

	expect(0, nvme_identify(&nvme, NVME_CNS_CONTROLLER));
	assert_memory_equal(((struct nvme_id_ctrl *)nvme.data)->sn, "flat1", 5);

	expect(0, nvme_set_queues(&nvme, 1));
	expect(0, nvme_create_queue(&nvme, 1, 1));
	assert_int_equal(event_take(events[0]), 0);
	assert_int_equal(event_take(events[1]), 0);
	nvme_submit_flush(&nvme, 1);
	assert_int_equal(event_wait(events[1]), 1);
	expect(0, nvme_reap(&nvme, 1));
	assert_int_equal(event_take(events[0]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_no_intx),
		cmocka_unit_test(delivers_msix),
	};

	return run_group(tests, begin, end);
}
