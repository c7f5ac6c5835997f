// SPDX-License-Identifier: MIT
/* Check of a function's config space: does it answer, and how many interrupts has it? */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "doctor.h"

#define PATIENCE 2000

/* Config space. Most users may read only its first 64 bytes, but the vectors are after these. */
struct config {
	unsigned char byte[256];
};

/* Reads the file. Returns the number of bytes, or 0. */
static ssize_t read_file(struct config *config, const char *address)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/config", address);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : pread(fd, config, sizeof(*config), 0);
	if (fd >= 0)
		close(fd);
	return n > 0 ? n : 0;
}

static void hand_over(int to, const char *address)
{
	struct config config;
	ssize_t n = read_file(&config, address);

	_exit(write(to, &config, (size_t)n) != n);
}

/*
 * While a function is being reset, a reader of the file sleeps in the kernel, where no signal wakes
 * it. So a child reads.
 */
static ssize_t read_config(struct config *config, const char *address)
{
	struct pollfd answer = { .events = POLLIN };
	int ends[2], ready;
	ssize_t n = 0;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	child = fork();
	if (!child)
		hand_over(ends[1], address);
	close(ends[1]);
	answer.fd = ends[0];
	ready = child < 0 ? 0 : poll(&answer, 1, PATIENCE);
	if (ready > 0)
		n = read(ends[0], config, sizeof(*config));
	close(ends[0]);
	if (child > 0 && ready <= 0)
		kill(child, SIGKILL);
	else if (child > 0)
		waitpid(child, NULL, 0);
	return ready > 0 ? n : -ETIMEDOUT;
}

/*
 * Are command and status all ones? Some of their bits are always 0 if the function answers. The ids
 * do not tell: a virtual function's are all ones (PCIe 9.3.4.1.1).
 */
static bool is_silent(const struct config *config)
{
	static const unsigned char ones[4] = { 0xff, 0xff, 0xff, 0xff };

	return !memcmp(&config->byte[PCI_COMMAND], ones, sizeof(ones));
}

static void say_silent(struct doctor *doctor)
{
	const struct function *f = doctor->subject;
	struct config pf;

	if (!*f->pf)
		say(doctor, PROBLEM, "it does not answer: removed, or without power");
	else if (read_config(&pf, f->pf) < (ssize_t)sizeof(pf) || is_silent(&pf))
		say(doctor, PROBLEM,
		    "it does not answer, nor does its physical function, %s: removed, or without "
		    "power",
		    f->pf);
	else
		say(doctor, PROBLEM, "it does not answer, but its physical function, %s, does", f->pf);
}

void check_vectors(struct doctor *doctor)
{
	unsigned int at, msi = 0, msix = 0, steps;
	struct config config;
	ssize_t n = read_config(&config, doctor->subject->address);

	if (n == -ETIMEDOUT) {
		say(doctor, WARNING, "config space cannot be read for %d s: it is being reset, or "
		    "hangs",
		    PATIENCE / 1000);
		return;
	}
	if (n < (ssize_t)sizeof(config)) {
		say(doctor, UNSEEN, "only root can see how many it has");
		return;
	}
	if (is_silent(&config)) {
		say_silent(doctor);
		return;
	}
	at = config.byte[PCI_STATUS] & PCI_STATUS_CAP_LIST ?
	     config.byte[PCI_CAPABILITY_LIST] & ~3U : 0;
	for (steps = 0; at >= 0x40 && at < 0xfc && steps < 48; steps++) {
		unsigned int flags = config.byte[at + 2] | config.byte[at + 3] << 8;

		if (config.byte[at] == PCI_CAP_ID_MSI)
			msi = 1U << ((flags & PCI_MSI_FLAGS_QMASK) >> 1);
		else if (config.byte[at] == PCI_CAP_ID_MSIX)
			msix = (flags & PCI_MSIX_FLAGS_QSIZE) + 1;
		at = config.byte[at + 1] & ~3U;
	}
	/* a virtual function has no INTx */
	say(doctor, OK, "MSI-X %u, MSI %u, INTx %s", msix, msi,
	    config.byte[PCI_INTERRUPT_PIN] && !*doctor->subject->pf ? "yes" : "no");
}
