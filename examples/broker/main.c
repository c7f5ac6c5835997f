// SPDX-License-Identifier: MIT
/*
 * broker BDF [ADDRESS_BITS [WORKERS]]: DMA and interrupts in processes without any privilege. The
 * broker runs as root. It opens QEMU's edu device (docs/specs/edu.txt) and allocates memory, which
 * is pinned for as long as the broker lives. Workers (worker.c) run as nobody, one after another,
 * and get file descriptors of both. If a worker is killed, the next one goes on from there.
 */
#include <errno.h>
#include <flatiommu.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker.h"

#define NOBODY		65534
#define COPIES		8	/* of each worker */
#define MAX_KILLED	8

static int send_fds(int to, const int *fds)
{
	struct iovec byte = { .iov_base = "", .iov_len = 1 };
	union fds_message fds_message = {
		.header = {
			.cmsg_len = CMSG_LEN(NR_FDS * sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		},
	};
	struct msghdr message = {
		.msg_iov = &byte,
		.msg_iovlen = 1,
		.msg_control = &fds_message,
		.msg_controllen = sizeof(fds_message),
	};

	memcpy(CMSG_DATA(&fds_message.header), fds, NR_FDS * sizeof(int));
	return sendmsg(to, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* execl() closes all file descriptors but the first three, and ends all capabilities. */
static void become_worker(int from)
{
	if (dup2(from, STDIN_FILENO) < 0 || setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		_exit(EXIT_FAILURE);
	execl("/proc/self/exe", "broker", "worker", (char *)NULL);
	_exit(EXIT_FAILURE);
}

/* Starts a worker and waits for its end. Returns its status, as of waitpid(), or -errno. */
static int employ(const int *fds)
{
	int sockets[2], status = 0, err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		return -errno;
	err = send_fds(sockets[0], fds);
	if (!err) {
		pid = fork();
		if (!pid)
			become_worker(sockets[1]);
		if (pid < 0 || waitpid(pid, &status, 0) < 0)
			err = -errno;
	}
	close(sockets[0]);
	close(sockets[1]);
	return err ? err : status;
}

static int employ_all(struct shared *shared, unsigned int workers, const int *fds)
{
	unsigned int killed = 0;
	int status;

	while (workers) {
		shared->wanted = shared->done - shared->done % COPIES + COPIES;
		status = employ(fds);
		if (!status) {
			workers--;
			printf("copied   %d bytes, there and back, %u times\n", COPY_SIZE, shared->done);
		} else if (status > 0 && WIFSIGNALED(status) && ++killed < MAX_KILLED) {
			printf("killed   by signal %d; its memory stays where it is, for another one\n",
			       WTERMSIG(status));
		} else {
			fprintf(stderr, "broker: a worker failed\n");
			return -ECHILD;
		}
		fflush(stdout);
	}
	return 0;
}

static int run(struct flatiommu *flat, const char *bdf, unsigned int bits, unsigned int workers)
{
	const struct flatiommu_dma_options options = {
		.flags = FLATIOMMU_DMA_CONTIGUOUS | FLATIOMMU_DMA_SHARED,
		.address_bits = bits,
	};
	struct flatiommu_device *device;
	struct flatiommu_dma *dma;
	int fds[NR_FDS], err;

	fds[FD_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fds[FD_EVENT] < 0)
		return -errno;
	err = flatiommu_device_open(flat, bdf, &device);
	if (!err)
		err = flatiommu_dma_alloc(flat, sizeof(struct shared), &options, &dma);
	if (!err)
		err = flatiommu_dma_export(dma, &fds[FD_MEMORY], &fds[FD_TABLE]);
	if (!err)
		err = flatiommu_bus_master(device, true);
	if (err) {
		fprintf(stderr, "broker: %s\n", flatiommu_reason(flat));
		return err;
	}
	fds[FD_DEVICE] = flatiommu_device_fd(device);
	printf("backend  %s\n", flatiommu_backend(flat));
	fflush(stdout);
	return employ_all(dma->memory, workers, fds);
}

int main(int argc, char **argv)
{
	struct flatiommu *flat;
	int err;

	if (argc == 2 && !strcmp(argv[1], "worker"))
		return work();
	if (argc < 2 || argc > 4) {
		fprintf(stderr, "usage: broker BDF [ADDRESS_BITS [WORKERS]]\n");
		return 2;
	}
	if (flatiommu_open(&flat))
		return EXIT_FAILURE;
	err = run(flat, argv[1], argc > 2 ? (unsigned int)atoi(argv[2]) : 28,
		  argc > 3 ? (unsigned int)atoi(argv[3]) : 2);
	flatiommu_close(flat);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
