// SPDX-License-Identifier: MIT
/*
 * A small NVMe driver in a process, on libflatiommu.
 *
 * The way of a read to the hardware: main() -> drive() -> run() -> copy_read() -> nvme_start() ->
 * submit(), which writes the doorbell. The way back: nvme_finish() -> complete() -> reap().
 *
 * The driver runs with an IOMMU and, with flatiommu, without one. It need not know which:
 * set_prps() uses the segments that the data buffer has, one or many.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <flatiommu.h>
#include <getopt.h>
#include <linux/pci_regs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copy.h"
#include "../log.h"
#include "nvme.h"

#define EXIT_USAGE 2

struct options {
	bool irq;
	bool stats;
	unsigned int qdepth;
	const char *bdf;
	const char *command;
	uint64_t lba;
	uint64_t count;
};

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

/* No SA_RESTART: a read of stdin has to return so that the controller is shut down in order. */
static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

static void usage(FILE *to)
{
	fputs("usage: nvme [--poll | --irq] [--qdepth N] [--stats] BDF COMMAND\n"
	      "\n"
	      "  BDF info                     group, backend and vectors; starts no DMA\n"
	      "  BDF identify                 the controller and its first namespace\n"
	      "  BDF read FIRST_LBA COUNT     blocks to stdout\n"
	      "  BDF write FIRST_LBA          blocks from stdin, to its end\n"
	      "\n"
	      "  --irq       sleep until an MSI-X vector fires its eventfd (default)\n"
	      "  --poll      look at the completion queue all the time\n"
	      "  --qdepth N  commands in flight, 1 to 256 (default 16)\n"
	      "  --stats     commands, completions by interrupt and wakeups, on stderr\n"
	      "\n"
	      "The function must be bound to vfio-pci.\n", to);
}

static bool parse_number(const char *text, uint64_t *value)
{
	char *end;

	/* strtoull() accepts a minus sign, and wraps around. */
	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 0);
	return !errno && !*end;
}

static int parse_command(struct options *o, int argc, char **argv)
{
	static const struct {
		const char *name;
		int numbers;
	} commands[] = { { "info", 0 }, { "identify", 0 }, { "read", 2 }, { "write", 1 } };
	uint64_t *const numbers[] = { &o->lba, &o->count };
	size_t i;
	int k;

	if (argc < 2)
		return -EINVAL;
	o->bdf = argv[0];
	o->command = argv[1];
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(o->command, commands[i].name))
			continue;
		if (argc - 2 != commands[i].numbers) {
			log_error("%s takes %d numbers, not %d", o->command, commands[i].numbers,
				  argc - 2);
			return -EINVAL;
		}
		for (k = 0; k < commands[i].numbers; k++) {
			if (!parse_number(argv[2 + k], numbers[k])) {
				log_error("%s: not a number", argv[2 + k]);
				return -EINVAL;
			}
		}
		return 0;
	}
	log_error("%s: no such command", o->command);
	return -EINVAL;
}

/* Returns 0, -EINVAL, or 1 for --help. */
static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option table[] = {
		{ "poll", no_argument, NULL, 'p' },
		{ "irq", no_argument, NULL, 'i' },
		{ "qdepth", required_argument, NULL, 'q' },
		{ "stats", no_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	uint64_t number;
	int c;

	*o = (struct options){ .irq = true, .qdepth = 16 };
	while ((c = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		switch (c) {
		case 'p':
			o->irq = false;
			break;
		case 'i':
			o->irq = true;
			break;
		case 'q':
			if (!parse_number(optarg, &number) || !number || number > NVME_QDEPTH_MAX) {
				log_error("--qdepth %s: not a number from 1 to %d", optarg,
					  NVME_QDEPTH_MAX);
				return -EINVAL;
			}
			o->qdepth = (unsigned int)number;
			break;
		case 's':
			o->stats = true;
			break;
		case 'h':
			return 1;
		default:
			return -EINVAL;
		}
	}
	return parse_command(o, argc - optind, argv + optind);
}

static void print_version(const struct nvme *n)
{
	printf("version    NVMe %u.%u.%u\n", n->version >> 16, n->version >> 8 & 0xff,
	       n->version & 0xff);
}

static int show_info(struct flatiommu *flat, struct flatiommu_device *device)
{
	struct flatiommu_device_info info;
	uint16_t vendor, product;
	int vectors[3], i, err;
	struct nvme n;

	err = nvme_probe(&n, flat, device);
	if (err)
		return err;
	err = flatiommu_config_read16(device, PCI_VENDOR_ID, &vendor);
	if (!err)
		err = flatiommu_config_read16(device, PCI_DEVICE_ID, &product);
	for (i = 0; i < 3 && !err; i++) {
		vectors[i] = flatiommu_irq_vectors(device, (enum flatiommu_irq)i);
		err = vectors[i] < 0 ? vectors[i] : 0;
	}
	if (!err)
		err = flatiommu_device_get_info(device, &info);
	if (err) {
		log_error("%s", flatiommu_reason(flat));
		return err;
	}
	printf("device     %s [%04x:%04x]\n", n.name, vendor, product);
	if (info.group >= 0)
		printf("group      %d\n", info.group);
	printf("backend    %s: %s\n", flatiommu_backend(flat), flatiommu_isolated(flat) ?
	       "an IOMMU translates" : "bus addresses, no isolation");
	printf("vectors    MSI-X %d, MSI %d, INTx %d\n", vectors[FLATIOMMU_IRQ_MSIX],
	       vectors[FLATIOMMU_IRQ_MSI], vectors[FLATIOMMU_IRQ_INTX]);
	printf("reset      %s\n", info.flags & FLATIOMMU_DEVICE_CAN_RESET ? "yes" : "no");
	printf("BAR0       %zu bytes\n", n.regs_size);
	print_version(&n);
	printf("queues     up to %u entries\n", NVME_CAP_MQES(n.cap) + 1);
	return 0;
}

static int show_identity(const struct nvme *n)
{
	printf("model      %s\n", n->model);
	printf("serial     %s\n", n->serial);
	printf("firmware   %s\n", n->firmware);
	print_version(n);
	if (n->mdts_bytes == SIZE_MAX)
		printf("transfer   no limit");
	else
		printf("transfer   up to %zu bytes", n->mdts_bytes);
	printf(", here %zu at queue depth %u\n", n->max_transfer, n->qdepth);
	printf("cache      %s\n", n->write_cache ? "volatile, flushed after a write" : "none");
	if (n->nsid)
		printf("namespace  %u: %llu blocks of %u bytes\n", n->nsid,
		       (unsigned long long)n->blocks, n->block_size);
	else
		printf("namespace  none\n");
	return 0;
}

static int run(struct nvme *n, const struct options *o)
{
	if (!strcmp(o->command, "read"))
		return copy_read(n, o->lba, o->count, STDOUT_FILENO, &stop);
	if (!strcmp(o->command, "write"))
		return copy_write(n, o->lba, STDIN_FILENO, &stop);
	return show_identity(n);
}

static int drive(struct flatiommu *flat, const struct options *o)
{
	struct flatiommu_device *device;
	struct nvme n;
	int err;

	err = flatiommu_device_open(flat, o->bdf, &device);
	if (err) {
		log_error("%s", flatiommu_reason(flat));
		return err;
	}
	if (!strcmp(o->command, "info"))
		return show_info(flat, device);
	err = nvme_open(&n, flat, device, o->qdepth, o->irq);
	if (err)
		return err;
	err = run(&n, o);
	nvme_close(&n);
	if (o->stats)
		log_error("stats: commands=%llu irq_completions=%llu wakeups=%llu",
			  (unsigned long long)n.stats.commands,
			  (unsigned long long)n.stats.irq_completions,
			  (unsigned long long)n.stats.wakeups);
	return err;
}

int main(int argc, char **argv)
{
	struct flatiommu *flat;
	struct options o;
	int err;

	err = parse_options(&o, argc, argv);
	if (err) {
		usage(err > 0 ? stdout : stderr);
		return err > 0 ? EXIT_SUCCESS : EXIT_USAGE;
	}
	if (!strcmp(o.command, "read") && isatty(STDOUT_FILENO)) {
		log_error("read writes raw blocks; redirect stdout to a file");
		return EXIT_USAGE;
	}
	catch_signals();

	err = flatiommu_open(&flat);
	if (err) {
		log_error("%s", strerror(-err));
		return EXIT_FAILURE;
	}
	err = drive(flat, &o);
	/* After nvme_close() the device does not reach the buffers any more. */
	flatiommu_close(flat);
	if (err == -EINTR)
		log_error("stopped by a signal");
	if (!err && (fflush(stdout) || ferror(stdout))) {
		log_error("output: %s", strerror(errno));
		err = -EIO;
	}
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
