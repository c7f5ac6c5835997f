// SPDX-License-Identifier: MIT
/*
 * holder DEVICE HOW: opens a function on vfio-pci, prints a line, and waits to be killed. HOW says what it has open:
 *	all	the container, the group and the device
 *	device	the device's file alone
 *	mapping	only a mapping of a BAR
 *	child	all, in a child whose parent has ended; the line has the child's process ID
 *	thread	all, in a second thread; the first one has ended
 *	queue	no file: the device's file is in a socket
 *	given	the device's file, which another process has opened and passed to it
 */
#include <err.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int container = -1, group = -1, device = -1;

static void open_all(const char *bdf)
{
	char path[128], link[128];
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	length = readlink(path, link, sizeof(link) - 1);
	if (length < 0)
		err(1, "%s", path);
	link[length] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio%s", strrchr(link, '/'));
	container = open("/dev/vfio/vfio", O_RDWR);
	group = open(path, O_RDWR);
	if (container < 0 || group < 0 || ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		err(1, "%s", path);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (device < 0)
		err(1, "%s", bdf);
}

static void close_group(void)
{
	close(group);
	close(container);
}

static void map(void)
{
	struct vfio_region_info region = { .argsz = sizeof(region) };

	for (; region.index < 6; region.index++)
		if (!ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &region) && region.size &&
		    region.flags & VFIO_REGION_INFO_FLAG_MMAP &&
		    mmap(NULL, 4096, PROT_READ, MAP_SHARED, device, region.offset) != MAP_FAILED)
			return;
	errx(1, "no BAR can be mapped");
}

static void send_device(int socket)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &device, sizeof(int));
	if (sendmsg(socket, &message, 0) != 1)
		err(1, "sendmsg");
}

static void receive_device(int socket)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control),
	};

	if (recvmsg(socket, &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
		err(1, "recvmsg");
	memcpy(&device, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
}

static void *wait_to_be_killed(void *unused)
{
	printf("%d\n", getpid());
	fflush(stdout);
	for (;;)
		pause();
	return unused;
}

int main(int argc, char **argv)
{
	const char *how = argc == 3 ? argv[2] : "";
	int sockets[2];
	pthread_t thread;

	if (argc != 3 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		errx(2, "usage: holder DEVICE HOW");
	if (!strcmp(how, "given") && !fork()) {
		open_all(argv[1]);
		send_device(sockets[1]);
		return 0;
	}
	if (!strcmp(how, "given")) {
		wait(NULL);
		receive_device(sockets[0]);
	} else {
		open_all(argv[1]);
	}
	if (!strcmp(how, "mapping"))
		map();
	if (!strcmp(how, "queue"))
		send_device(sockets[0]);
	if (!strcmp(how, "device") || !strcmp(how, "mapping") || !strcmp(how, "queue"))
		close_group();
	if (!strcmp(how, "mapping") || !strcmp(how, "queue"))
		close(device);
	if (!strcmp(how, "child") && fork())
		return 0;
	if (!strcmp(how, "thread")) {
		if (pthread_create(&thread, NULL, wait_to_be_killed, NULL))
			errx(1, "no thread");
		pthread_exit(NULL);
	}
	wait_to_be_killed(NULL);
}
