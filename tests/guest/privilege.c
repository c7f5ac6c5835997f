// SPDX-License-Identifier: MIT
/* Only a program with CAP_SYS_RAWIO may take a device over, whatever the modes of the nodes are. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "caps.h"
#include "devices.h"
#include "edu.h"
#include "kmsg.h"
#include "mem.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

static const char *const devices[] = { EDU, NULL };

enum step { OPEN_CONTAINER, OPEN_GROUP, SET_CONTAINER, SET_IOMMU, OPEN_DEVICE, MAP, DONE };

/* What a child does, and how far it came; in memory that it shares with us. */
struct attempt {
	int (*change)(void);
	enum step failed;
	int result;
};

static struct attempt *attempt;
static char *pages;
static uint64_t bus[2];

static int begin(void **state)
{
	int ret = flat_begin(devices);

	(void)state;
	if (ret)
		return ret;
	attempt = mem_shared(1);
	pages = mem_shared(2);
	if (!attempt || !pages)
		return -1;
	bus[0] = bus_address(pages);
	bus[1] = bus_address(pages + PAGE);
	return vfio_open_to_all(EDU);
}

static int end(void **state)
{
	(void)state;
	mem_free(attempt, PAGE);
	mem_free(pages, 2 * PAGE);
	return flat_end(devices);
}

static int no_change(void)
{
	return 0;
}

static int become_root_without(void)
{
	return drop_capability(CAP_SYS_RAWIO);
}

static int become_nobody_with_rawio(void)
{
	return become_nobody_with(CAP_SYS_RAWIO);
}

/* DMA to a page that root has looked the address of up for it. */
static int use(struct vfio_dev *edu)
{
	int ret = vfio_set_bus_master(edu, true);

	if (!ret)
		ret = edu_load(edu->bar0, bus[0], EDU_COPY);
	return ret ? ret : edu_store(edu->bar0, bus[1], EDU_COPY);
}

static int take_over(struct attempt *a)
{
	struct vfio_dev edu = VFIO_DEV_INIT;
	int container, ret;

	edu.bdf = EDU;
	a->failed = OPEN_CONTAINER;
	container = vfio_container();
	if (container < 0)
		return container;
	a->failed = OPEN_GROUP;
	edu.group = vfio_group(EDU);
	if (edu.group < 0)
		return edu.group;
	a->failed = SET_CONTAINER;
	ret = vfio_set_container(edu.group, container);
	if (ret)
		return ret;
	a->failed = SET_IOMMU;
	ret = vfio_set_iommu(container);
	if (ret)
		return ret;
	a->failed = OPEN_DEVICE;
	ret = vfio_open_device(&edu);
	if (ret)
		return ret;
	a->failed = MAP;
	ret = vfio_map(container, pages, bus[0], PAGE);
	if (!ret)
		ret = vfio_map(container, pages + PAGE, bus[1], PAGE);
	if (ret)
		return ret;
	a->failed = DONE;
	return use(&edu);
}

static int child(void *arg)
{
	struct attempt *a = arg;

	a->result = a->change();
	if (!a->result)
		a->result = take_over(a);
	return 0;
}

/* What the child says of itself goes to @attempt. Returns its pid. */
static pid_t try_as(int (*change)(void))
{
	pid_t pid;

	*attempt = (struct attempt){ .change = change };
	fill(pages, PAGE, 1);
	memset(pages + PAGE, 0, PAGE);
	expect(0, log_mark());
	pid = expect_good(child_begin(child, attempt));
	expect(0, child_end(pid));
	return pid;
}

static void expect_to_work(int (*change)(void))
{
	try_as(change);
	expect(0, attempt->result);
	assert_int_equal(attempt->failed, DONE);
	assert_true(is_filled(pages + PAGE, EDU_COPY, 1));
	assert_int_equal(log_count("flatiommu"), 0);
}

static void expect_no_permission(int (*change)(void))
{
	unsigned int lines;
	const char *line;
	char name[32];
	pid_t pid = try_as(change);

	expect(-EPERM, attempt->result);
	assert_int_equal(attempt->failed, SET_CONTAINER);
	line = log_lines("flatiommu", &lines);
	assert_int_equal(lines, 1);
	assert_non_null(strstr(line, EDU));
	assert_non_null(strstr(line, "CAP_SYS_RAWIO"));
	snprintf(name, sizeof(name), "privilege.t[%d]", (int)pid);
	assert_non_null(strstr(line, name));
	/* Nothing is left half taken. */
	expect_to_work(no_change);
}

static void nobody_may_not(void **state)
{
	(void)state;
	expect_no_permission(become_nobody);
}

static void root_without_it_may_not(void **state)
{
	(void)state;
	expect_no_permission(become_root_without);
}

static void nobody_with_it_may(void **state)
{
	(void)state;
	expect_to_work(become_nobody_with_rawio);
}

static int send_fds(int to, const int fds[2])
{
	char byte = 0, control[CMSG_SPACE(2 * sizeof(int))] = "";
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(header), fds, 2 * sizeof(int));
	return sendmsg(to, &message, 0) == 1 ? 0 : -errno;
}

static int receive_fds(int from, int fds[2])
{
	char byte, control[CMSG_SPACE(2 * sizeof(int))];
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;

	if (recvmsg(from, &message, MSG_CMSG_CLOEXEC) != 1)
		return -EIO;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_len != CMSG_LEN(2 * sizeof(int)))
		return -EIO;
	memcpy(fds, CMSG_DATA(header), 2 * sizeof(int));
	return 0;
}

/* Without privilege: maps what it is given, and lets the device copy. */
static int use_what_comes(void *arg)
{
	const int *sockets = arg;
	struct vfio_dev edu = VFIO_DEV_INIT;
	int fds[2], ret = become_nobody();

	if (!ret)
		ret = receive_fds(sockets[1], fds);
	if (ret)
		return ret;
	edu.fd = fds[1];
	ret = vfio_use_device(&edu);
	if (!ret)
		ret = vfio_map(fds[0], pages, bus[0], PAGE);
	if (!ret)
		ret = vfio_map(fds[0], pages + PAGE, bus[1], PAGE);
	return ret ? ret : use(&edu);
}

static void open_fds_may_be_passed(void **state)
{
	struct vfio_dev edu = VFIO_DEV_INIT;
	int sockets[2], container;
	pid_t pid;

	(void)state;
	fill(pages, PAGE, 2);
	memset(pages + PAGE, 0, PAGE);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	pid = expect_good(child_begin(use_what_comes, sockets));
	close(sockets[1]);
	container = expect_good(vfio_container());
	expect(0, vfio_open(&edu, container, EDU));
	expect(0, send_fds(sockets[0], (int[]){ container, edu.fd }));
	expect(0, child_end(pid));
	close(sockets[0]);
	assert_true(is_filled(pages + PAGE, EDU_COPY, 2));
	vfio_close(&edu);
	close_fd(&container);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_may_not),
		cmocka_unit_test(root_without_it_may_not),
		cmocka_unit_test(nobody_with_it_may),
		cmocka_unit_test(open_fds_may_be_passed),
	};

	return run_group(tests, begin, end);
}
