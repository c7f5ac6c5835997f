// SPDX-License-Identifier: MIT
/*
 * A small driver of virtio network cards in a process, on libflatiommu.
 *
 * Two cards that are wired to each other send each other frames, and each frame is compared with
 * what was sent. Each card has a thread that sends and a thread that receives.
 *
 * The way of a frame to the wire: main() -> run() -> send_frames() -> net_send() -> queue_put() ->
 * queue_notify(), which writes the doorbell. The way back: receive_frames() -> net_receive() ->
 * queue_take().
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <flatiommu.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "../log.h"
#include "net.h"

#define EXIT_USAGE	2
#define TIMEOUT_MS	20000
/* Maximum number of frames on their way: fewer than a card has buffers. */
#define WINDOW		64
#define ETHERTYPE	0x88b5	/* IEEE 802: for local experiments */
#define HEADER		(6 + 6 + 2 + sizeof(uint64_t))

struct options {
	bool irq;
	uint64_t frames;
	const char *bdf[2];
};

/**
 * struct direction - frames from one card to the other
 * @error: -errno of the first thread that failed, or 0
 */
struct direction {
	struct net *from;
	struct net *to;
	uint64_t frames;
	_Atomic uint64_t received;
	_Atomic int error;
	pthread_t sender;
	pthread_t receiver;
};

/* Running threads read @stop. Waiting threads poll @stop_fd, an eventfd. */
static atomic_bool stop;
static int stop_fd;

static void request_stop(void)
{
	const uint64_t one = 1;

	stop = true;
	if (write(stop_fd, &one, sizeof(one)) < 0)
		return;
}

static void on_signal(int signal)
{
	int saved = errno;

	(void)signal;
	request_stop();
	errno = saved;
}

static void usage(FILE *to)
{
	fputs("usage: virtio-net [--poll | --irq] [--frames N] BDF BDF\n"
	      "\n"
	      "Each of two virtio network cards that are wired to each other sends N frames (10000) to the\n"
	      "other one, which compares them with what was sent.\n"
	      "\n"
	      "  --irq       sleep until an MSI-X vector fires its eventfd (default)\n"
	      "  --poll      look at the queues all the time\n"
	      "  --frames N  each way\n"
	      "\n"
	      "The functions must be bound to vfio-pci.\n", to);
}

/* Makes frame @number, which has its own length and bytes. Returns its length. */
static size_t make_frame(uint8_t *frame, const uint8_t *from, const uint8_t *to, uint64_t number)
{
	uint64_t state = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
	size_t length = NET_FRAME_MIN + state % (NET_FRAME_MAX - NET_FRAME_MIN + 1), i;

	memcpy(frame, to, 6);
	memcpy(frame + 6, from, 6);
	frame[12] = ETHERTYPE >> 8;
	frame[13] = ETHERTYPE & 0xff;
	memcpy(frame + 14, &number, sizeof(number));
	for (i = HEADER; i < length; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		frame[i] = (uint8_t)state;
	}
	return length;
}

/* The first error ends all four threads. */
static void *finish(struct direction *d, int err)
{
	int none = 0;

	if (err) {
		atomic_compare_exchange_strong(&d->error, &none, err);
		request_stop();
	}
	return NULL;
}

static void *send_frames(void *arg)
{
	const struct timespec pause = { .tv_nsec = 100000 };
	uint8_t frame[NET_FRAME_MAX];
	struct direction *d = arg;
	uint64_t number;
	size_t length;
	int err = 0;

	for (number = 0; number < d->frames && !err; number++) {
		while (number - d->received >= WINDOW && !stop)
			nanosleep(&pause, NULL);
		if (stop)
			return finish(d, -ECANCELED);
		length = make_frame(frame, d->from->mac, d->to->mac, number);
		err = net_send(d->from, frame, length, TIMEOUT_MS);
	}
	if (err == -ETIMEDOUT)
		log_error("%s: its queue had no room in %d s", d->from->name, TIMEOUT_MS / 1000);
	return finish(d, err);
}

static bool is_ours(const uint8_t *frame, size_t length)
{
	return length >= HEADER && frame[12] == ETHERTYPE >> 8 && frame[13] == (ETHERTYPE & 0xff);
}

static int compare(const struct direction *d, const uint8_t *frame, size_t length)
{
	uint8_t wanted[NET_FRAME_MAX];
	size_t wanted_length = make_frame(wanted, d->from->mac, d->to->mac, d->received);
	uint64_t number;

	if (length == wanted_length && !memcmp(frame, wanted, length))
		return 0;
	memcpy(&number, frame + 14, sizeof(number));
	log_error("%s: frame %llu, of %zu bytes, is not as it was sent: number %llu, %zu bytes",
		  d->to->name, (unsigned long long)d->received, wanted_length,
		  (unsigned long long)number, length);
	return -EBADMSG;
}

static void *receive_frames(void *arg)
{
	uint8_t frame[NET_FRAME_MAX];
	struct direction *d = arg;
	size_t length;
	int err = 0;

	while (d->received < d->frames && !err) {
		if (stop)
			return finish(d, -ECANCELED);
		err = net_receive(d->to, frame, &length, TIMEOUT_MS);
		if (err == -ETIMEDOUT)
			log_error("%s: frame %llu did not come in %d s", d->to->name,
				  (unsigned long long)d->received, TIMEOUT_MS / 1000);
		if (err || !is_ours(frame, length))
			continue;
		err = compare(d, frame, length);
		if (!err)
			d->received++;
	}
	return finish(d, err);
}

static int run(struct net *cards, uint64_t frames)
{
	struct direction ways[2] = {
		{ .from = &cards[0], .to = &cards[1], .frames = frames },
		{ .from = &cards[1], .to = &cards[0], .frames = frames },
	};
	struct {
		pthread_t *thread;
		void *(*function)(void *arg);
		struct direction *way;
	} threads[] = {
		{ &ways[0].receiver, receive_frames, &ways[0] },
		{ &ways[1].receiver, receive_frames, &ways[1] },
		{ &ways[0].sender, send_frames, &ways[0] },
		{ &ways[1].sender, send_frames, &ways[1] },
	};
	unsigned int i, started;
	int err = 0;

	for (started = 0; started < 4 && !err; started++)
		err = -pthread_create(threads[started].thread, NULL, threads[started].function,
				      threads[started].way);
	if (err) {
		log_error("a thread: %s", strerror(-err));
		started--;
		request_stop();
	}
	for (i = 0; i < started; i++)
		pthread_join(*threads[i].thread, NULL);
	for (i = 0; i < 2; i++) {
		printf("%s -> %s: %llu frames\n", ways[i].from->name, ways[i].to->name,
		       (unsigned long long)ways[i].received);
		if (!err || err == -ECANCELED)
			err = ways[i].error ? ways[i].error : err;
	}
	return err;
}

static int drive(struct flatiommu *flat, const struct options *o)
{
	struct net cards[2] = { { .asked_for = -1 }, { .asked_for = -1 } };
	struct flatiommu_pool *pool;
	int err;

	/* A pool needs no device; only its objects do. */
	err = flatiommu_pool_create(flat, NULL, &pool);
	if (err) {
		log_error("%s", flatiommu_reason(flat));
		return err;
	}
	err = net_open(&cards[0], flat, pool, o->bdf[0], o->irq, stop_fd);
	if (!err)
		err = net_open(&cards[1], flat, pool, o->bdf[1], o->irq, stop_fd);
	if (!err) {
		printf("backend %s: %s\n", flatiommu_backend(flat), flatiommu_isolated(flat) ?
		       "an IOMMU translates" : "bus addresses, no isolation");
		err = run(cards, o->frames);
	}
	net_close(&cards[1]);
	net_close(&cards[0]);
	flatiommu_pool_destroy(pool);
	return err;
}

/* Returns 0, -EINVAL, or 1 for --help. */
static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option table[] = {
		{ "poll", no_argument, NULL, 'p' },
		{ "irq", no_argument, NULL, 'i' },
		{ "frames", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	char *end;
	int c;

	*o = (struct options){ .irq = true, .frames = 10000 };
	while ((c = getopt_long(argc, argv, "h", table, NULL)) != -1) {
		switch (c) {
		case 'p':
		case 'i':
			o->irq = c == 'i';
			break;
		case 'n':
			errno = 0;
			o->frames = strtoull(optarg, &end, 0);
			/* strtoull() accepts a minus sign, and wraps around. */
			if (optarg[0] < '0' || optarg[0] > '9' || errno || *end) {
				log_error("--frames %s: not a number", optarg);
				return -EINVAL;
			}
			break;
		case 'h':
			return 1;
		default:
			return -EINVAL;
		}
	}
	if (argc - optind != 2) {
		log_error("two functions are needed, not %d", argc - optind);
		return -EINVAL;
	}
	o->bdf[0] = argv[optind];
	o->bdf[1] = argv[optind + 1];
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct flatiommu *flat;
	struct options o;
	int err;

	err = parse_options(&o, argc, argv);
	if (err) {
		usage(err > 0 ? stdout : stderr);
		return err > 0 ? EXIT_SUCCESS : EXIT_USAGE;
	}
	stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (stop_fd < 0) {
		log_error("an eventfd: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	err = flatiommu_open(&flat);
	if (err) {
		log_error("%s", strerror(-err));
		return EXIT_FAILURE;
	}
	err = drive(flat, &o);
	flatiommu_close(flat);
	if (err == -ECANCELED)
		log_error("stopped by a signal");
	if (!err && (fflush(stdout) || ferror(stdout))) {
		log_error("output: %s", strerror(errno));
		err = -EIO;
	}
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
