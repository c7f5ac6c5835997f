// SPDX-License-Identifier: MIT
/*
 * The time from a device's interrupt until the thread that waits for it runs, in microseconds. The
 * device is edu, which interrupts when a register is written to. The thread sleeps in read() of an
 * eventfd or of /dev/uioN. It has a real-time priority: otherwise the scheduler decides,
 * differently each time, which thread runs after the wake-up.
 *
 *	polling		no thread sleeps: a register is read until it shows the interrupt
 *	msi		VFIO on flatiommu.ko; on the machine intel-iommu, behind its IOMMU
 *	intx		the same with INTx, which the program must unmask
 *	uio		uio_pci_generic, which has only INTx
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices.h"
#include "edu.h"
#include "figure.h"
#include "sysfs.h"
#include "test.h"
#include "vfio.h"

#define RUNS 200
#define MANY_ROUNDS 20
#define COMMAND 4	/* in config space; INTx is disabled by a bit of its second byte */
#define INTX_DISABLE 0x400
#define BAR0_SIZE 0x100000

static const char *const devices[] = { EDU, NULL };
static const char *behind = "no IOMMU";
/* Only the last run counts. A profile has more. */
static unsigned int rounds = 2;

struct waiter {
	pthread_t thread;
	int fd;
	size_t size;	/* bytes of a read */
	int told[2];
	double woke;
};

static void *wait(void *arg)
{
	struct waiter *w = arg;
	uint64_t count;

	while (read(w->fd, &count, w->size) == (ssize_t)w->size) {
		w->woke = now();
		if (write(w->told[1], "", 1) != 1)
			break;
	}
	return NULL;
}

/* Sends one interrupt to the thread, which sleeps by then. */
static double wake(struct waiter *w, void *bar0)
{
	double start;
	char byte;

	usleep(1000);
	start = now();
	edu_raise(bar0, 1);
	must(read(w->told[0], &byte, 1) == 1 ? 0 : -EIO, "wait");
	edu_acknowledge(bar0, 1);
	return w->woke - start;
}

static void measure(const char *way, void *bar0, int fd, size_t size, void (*rearm)(void *arg), void *arg)
{
	const struct sched_param priority = { .sched_priority = 1 };
	struct waiter w = { .fd = fd, .size = size };
	double took[RUNS];
	unsigned int round = 0, i;

	must(pipe(w.told) ? -errno : 0, "pipe");
	must(-pthread_create(&w.thread, NULL, wait, &w), "thread");
	must(-pthread_setschedparam(w.thread, SCHED_FIFO, &priority), "real-time priority");
	do {
		for (i = 0; i < RUNS; i++) {
			took[i] = wake(&w, bar0);
			if (rearm)
				rearm(arg);
		}
	} while (++round < rounds);
	pthread_cancel(w.thread);
	pthread_join(w.thread, NULL);
	close(w.told[0]);
	close(w.told[1]);
	figure("wakeup", behind, 1, way, took, RUNS);
}

static void measure_polling(void *bar0)
{
	double took[RUNS];
	unsigned int round, i;

	for (round = 0; round < 2; round++) {
		for (i = 0; i < RUNS; i++) {
			double start = now();

			edu_raise(bar0, 1);
			while (!edu_reason(bar0))
				;
			took[i] = now() - start;
			edu_acknowledge(bar0, 1);
		}
	}
	figure("wakeup", behind, 1, "polling", took, RUNS);
}

static void unmask(void *arg)
{
	must(vfio_irq_mask(arg, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK), "unmask");
}

static void measure_vfio(void)
{
	static const struct {
		const char *name;
		unsigned int index;
		void (*rearm)(void *arg);
	} ways[] = {
		{ "msi", VFIO_PCI_MSI_IRQ_INDEX, NULL },
		{ "intx", VFIO_PCI_INTX_IRQ_INDEX, unmask },
	};
	struct vfio_dev edu = VFIO_DEV_INIT;
	int container, event;
	size_t i;

	must(vfio_open_alone(&edu, &container, EDU), "edu");
	measure_polling(edu.bar0);
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		event = eventfd(0, EFD_CLOEXEC);
		must(vfio_irq_enable(&edu, ways[i].index, &event, 1), ways[i].name);
		measure(ways[i].name, edu.bar0, event, 8, ways[i].rearm, &edu);
		must(vfio_irq_disable(&edu, ways[i].index), ways[i].name);
		close(event);
	}
	vfio_close(&edu);
	close_fd(&container);
}

/* Enables INTx again, which uio_pci_generic disables at each interrupt. */
static void enable_intx(void *arg)
{
	int config = *(int *)arg;
	uint16_t command;

	must(pread(config, &command, sizeof(command), COMMAND) == sizeof(command) ? 0 : -EIO, "config");
	command &= (uint16_t)~INTX_DISABLE;
	must(pwrite(config, &command, sizeof(command), COMMAND) == sizeof(command) ? 0 : -EIO, "config");
}

static void measure_uio(void)
{
	static const char pattern[] = "/sys/bus/pci/devices/" EDU "/uio/uio*";
	char path[128], node[32];
	int uio, config, bar;
	void *bar0;

	must(module_probe("uio_pci_generic"), "uio_pci_generic");
	must(pci_bind(EDU, "uio_pci_generic"), "bind");
	must(find_path(pattern, path, sizeof(path)), pattern);
	snprintf(node, sizeof(node), "/dev/%s", last_part(path));
	uio = open(node, O_RDWR | O_CLOEXEC);
	config = open("/sys/bus/pci/devices/" EDU "/config", O_RDWR | O_CLOEXEC);
	bar = open("/sys/bus/pci/devices/" EDU "/resource0", O_RDWR | O_CLOEXEC);
	must(uio < 0 || config < 0 || bar < 0 ? -errno : 0, node);
	bar0 = mmap(NULL, BAR0_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, bar, 0);
	must(bar0 == MAP_FAILED ? -errno : 0, "resource0");
	enable_intx(&config);
	measure("uio", bar0, uio, 4, enable_intx, &config);
	munmap(bar0, BAR0_SIZE);
	close(bar);
	close(config);
	close(uio);
	must(pci_unbind(EDU), "unbind");
	must(pci_bind_default(EDU), "unbind");
}

/* Any argument selects a profile. */
int main(int argc, char **argv)
{
	const char *machine = getenv("FLATIOMMU_MACHINE");

	(void)argv;
	if (argc > 1)
		rounds = MANY_ROUNDS;

	if (machine && !strcmp(machine, "intel-iommu")) {
		behind = "intel-iommu";
		must(module_probe("vfio-pci"), "vfio-pci");
		must(pci_bind(EDU, "vfio-pci"), "bind");
		measure_vfio();
		must(pci_unbind(EDU), "unbind");
		must(pci_bind_default(EDU), "unbind");
	} else {
		must(flat_begin(devices), "the module");
		measure_vfio();
		must(flat_end(devices), "the end");
		measure_uio();
	}
	printf("ok 1 - measured\n1..1\n");
	return 0;
}
