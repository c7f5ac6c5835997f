// SPDX-License-Identifier: MIT
/*
 * Frames with known contents, which a test sends through a foreign program.
 *	frames make COUNT SEED FIFO	a pcap file to stdout
 *	frames check COUNT SEED FIFO	reads COUNT frames of a pcap file from stdin, in any order, as they come from
 *					a network, and prints the number of frames, and of those that were not made
 *					or that came twice
 * "check" reports its progress to "make" through FIFO: without that, a fast sender would lose frames.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEP 64		/* frames for each byte in FIFO */
#define WINDOW 256	/* frames on their way, at most: what a ring of vmxnet3 holds */

#define MAGIC 0xa1b2c3d4
#define MAGIC_NANOSECONDS 0xa1b23c4d

#define INDEX 14	/* where its number is: behind the Ethernet header */
#define MIN_FRAME 60
#define MAX_FRAME 1514

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, sigfigs, snaplen, network;
};

struct frame_header {
	uint32_t seconds, microseconds, captured, length;
};

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Most are small, as on a network, so that there can be many. */
static uint32_t make_frame(unsigned char *frame, uint64_t index, uint64_t seed)
{
	static const unsigned char header[] = {
		0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01, 0x88, 0xb5, /* for experiments */
	};
	uint64_t state = (index + 1) * 0x9e3779b97f4a7c15 + seed, value;
	uint32_t length, i;

	value = next(&state);
	length = MIN_FRAME + (uint32_t)(value >> 8) % (value % 8 ? 68 : MAX_FRAME - MIN_FRAME + 1);
	memcpy(frame, header, sizeof(header));
	memcpy(frame + INDEX, &index, sizeof(index));
	for (i = INDEX + sizeof(index); i < length; i += sizeof(value)) {
		value = next(&state);
		memcpy(frame + i, &value, sizeof(value));
	}
	return length;
}

static int make(uint64_t count, uint64_t seed, int fifo)
{
	struct file_header file = {
		.magic = MAGIC, .major = 2, .minor = 4, .snaplen = 65535, .network = 1,
	};
	struct frame_header header = { 0 };
	unsigned char frame[MAX_FRAME + sizeof(uint64_t)];
	uint64_t i;
	char byte;

	fwrite(&file, sizeof(file), 1, stdout);
	for (i = 0; i < count; i++) {
		if (i % STEP == 0) {
			fflush(stdout);
			if (i >= WINDOW && read(fifo, &byte, 1) != 1)
				return 1;
		}
		header.length = header.captured = make_frame(frame, i, seed);
		fwrite(&header, sizeof(header), 1, stdout);
		fwrite(frame, header.length, 1, stdout);
	}
	return fflush(stdout) || ferror(stdout);
}

static int check(uint64_t count, uint64_t seed, int fifo)
{
	struct file_header file;
	struct frame_header header;
	unsigned char frame[MAX_FRAME + sizeof(uint64_t)], got[65536];
	uint64_t i, index, wrong = 0;
	bool *seen = calloc(count, sizeof(*seen));

	if (!seen || fread(&file, sizeof(file), 1, stdin) != 1 ||
	    (file.magic != MAGIC && file.magic != MAGIC_NANOSECONDS))
		return 2;
	for (i = 0; i < count; i++) {
		if (fread(&header, sizeof(header), 1, stdin) != 1 || header.captured > sizeof(got) ||
		    (header.captured && fread(got, header.captured, 1, stdin) != 1))
			break;
		memcpy(&index, got + INDEX, sizeof(index));
		if (header.captured < MIN_FRAME || index >= count || seen[index] ||
		    header.captured != make_frame(frame, index, seed) || memcmp(got, frame, header.captured) != 0)
			wrong++;
		else
			seen[index] = true;
		if (i % STEP == STEP - 1 && write(fifo, "", 1) != 1)
			break;
	}
	free(seen);
	printf("%llu frames, %llu wrong\n", (unsigned long long)i, (unsigned long long)wrong);
	return i != count || wrong;
}

int main(int argc, char **argv)
{
	bool checks = argc == 5 && !strcmp(argv[1], "check");
	int fifo;

	if (!checks && (argc != 5 || strcmp(argv[1], "make") != 0)) {
		fprintf(stderr, "usage: frames make|check COUNT SEED FIFO\n");
		return 2;
	}
	/* for both, so that neither waits for the other to open it, nor ends with it */
	fifo = open(argv[4], O_RDWR);
	if (fifo < 0) {
		perror(argv[4]);
		return 2;
	}
	return (checks ? check : make)(strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0), fifo);
}
