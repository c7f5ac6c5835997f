// SPDX-License-Identifier: MIT
/* faults: lines of the kernel's log about refused accesses, and which buffer is the nearest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../tools/flatiommu/faults.h"

#define CHECK(is_so) do { if (!(is_so)) die(#is_so, __LINE__); } while (0)

static void die(const char *what, int line)
{
	fprintf(stderr, "faults: line %d: not so: %s\n", line, what);
	exit(EXIT_FAILURE);
}

static const struct {
	const char *line, *function;
	unsigned long long address;
	bool write;
	const char *reason;
} good[] = {
	{ "DMAR: [DMA Write NO_PASID] Request device [00:06.0] fault addr 0x3e5d2000 [fault reason 0x05] PTE Write access is not set",
	  "0000:00:06.0", 0x3e5d2000, true, "PTE Write access is not set" },
	{ "DMAR: [DMA Read NO_PASID] Request device [02:00.1] fault addr 0x1000 [fault reason 0x06] PTE Read access is not set",
	  "0000:02:00.1", 0x1000, false, "PTE Read access is not set" },
	{ "DMAR: [DMA Write PASID 0x1] Request device [0001:00:1f.7] fault addr 0xfffffffffffff000 [fault reason 0x58] SM: ...",
	  "0001:00:1f.7", 0xfffffffffffff000, true, "SM: ..." },
	{ "DMAR: [DMA Write] Request device [00:06.0] PASID ffffffff fault addr 1000 [fault reason 05] PTE Write access is not set",
	  "0000:00:06.0", 0x1000, true, "PTE Write access is not set" },
	{ "AMD-Vi: Event logged [IO_PAGE_FAULT device=00:06.0 domain=0x0012 address=0x1238 flags=0x0020]",
	  "0000:00:06.0", 0x1238, true, "" },
	{ "AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:00:06.0 domain=0x0012 address=0x1000 flags=0x0000]",
	  "0000:00:06.0", 0x1000, false, "" },
	{ "vfio-pci 0000:00:06.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0011 address=0x1000 flags=0x0030]",
	  "0000:00:06.0", 0x1000, true, "" },
};

static const char *const bad[] = {
	"DMAR: DRHD: handling fault status reg 2",
	"DMAR: [INTR-REMAP] Request device [00:06.0] fault index 0x4 [fault reason 0x25] Blocked a compatibility format interrupt request",
	"DMAR: [DMA Write NO_PASID] Request device [00:46.0] fault addr 0x1000 [fault reason 0x05] x",
	"DMAR: [DMA Write NO_PASID] Request device [00:06.0 fault addr 0x1000",
	"DMAR: [DMA Write NO_PASID] Request device [00:06.0] fault addr",
	"DMAR: [DMA Wrong NO_PASID] Request device",
	"e1000e 0000:00:06.0: DMAR: [DMA Write NO_PASID] Request device [00:06.0] fault addr 0x1000",
	"AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x0012 address=0x1000 flags=0x0020]",
	"AMD-Vi: Event logged [IO_PAGE_FAULT device=00:06.0 domain=0x0012 address= flags=0x0020]",
	"AMD-Vi: Event logged [INVALID_DEVICE_REQUEST device=00:06.0 pasid=0x00000 address=0x1000 flags=0x0a00]",
	"AMD-Vi: ", "DMAR: ", "",
};

static void lines(void)
{
	char record[512];
	struct fault fault;
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		CHECK(fault_parse(&fault, good[i].line));
		CHECK(!strcmp(fault.function, good[i].function) && fault.address == good[i].address);
		CHECK(fault.write == good[i].write && !strcmp(fault.reason, good[i].reason));
		snprintf(record, sizeof(record), "3,1432,5034502,-;%s\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:06.0\n",
			 good[i].line);
		memset(&fault, 0, sizeof(fault));
		CHECK(fault_parse_record(&fault, record) == FAULT_ONE && !strcmp(fault.reason, good[i].reason));
		/* a program wrote it */
		*record = '9';
		CHECK(fault_parse_record(&fault, record) == FAULT_NONE);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(!fault_parse(&fault, bad[i]));
	CHECK(fault_parse_record(&fault, "") == FAULT_NONE && fault_parse_record(&fault, "3,1,2,-") == FAULT_NONE);
	CHECK(fault_parse_record(&fault, "3,1,2,-;DMAR: DRHD: handling fault status reg 2\n") == FAULT_SOME);
	CHECK(fault_parse_record(&fault, "9,1,2,-;DMAR: DRHD: handling fault status reg 2\n") == FAULT_NONE);
}

static const char *text_of(const char *path, unsigned long long address)
{
	static char text[300];
	struct near near;

	near_find(&near, path, address);
	if (!near.found)
		return "";
	near_text(text, sizeof(text), &near, address);
	return text;
}

#define STARTS(text, with) CHECK(!strncmp(text, with, strlen(with)))

static void buffers(void)
{
	char path[] = "/tmp/flatiommu-unit.XXXXXX";
	FILE *file;

	CHECK(mkstemp(path) >= 0);
	CHECK(!*text_of(path, 0x1000));
	file = fopen(path, "w");
	CHECK(file && fputs("map 12 0x10000 0x2000 0x7f0000000000\n"
			    "map 12 0x20100 0x800 0x7f0000010100\n"
			    "map 13 0x30000 0x1000 0x7f0000000000\n"
			    "unmap 13 0x30000 0x1000 0x7f0000000000\n"
			    "no line\n", file) >= 0 && !fclose(file));
	CHECK(!strcmp(text_of(path, 0x12000), "in the page right behind a buffer of process 12: 0x10000 to 0x11fff, 8192 bytes at 0x7f0000000000 in the process"));
	STARTS(text_of(path, 0x12fff), "in the page right behind a buffer of process 12: 0x10000");
	STARTS(text_of(path, 0xf000), "in the page right in front of a buffer of process 12: 0x10000");
	STARTS(text_of(path, 0xe000), "4096 bytes in front of a buffer of process 12: 0x10000");
	STARTS(text_of(path, 0x13000), "4096 bytes behind a buffer of process 12: 0x10000");
	STARTS(text_of(path, 0x20000), "in a buffer of process 12: 0x20100 to 0x208ff, 2048 bytes");
	STARTS(text_of(path, 0x21000), "in the page right behind a buffer of process 12: 0x20100");
	STARTS(text_of(path, 0x30000), "in a buffer of process 13, freed by now: 0x30000");
	STARTS(text_of(path, 0xffffffffffffffff), "18446744073709346816 bytes behind a buffer of process 13");
	STARTS(text_of(path, 0), "61440 bytes in front of a buffer of process 12: 0x10000");
	/* the latest one counts */
	file = fopen(path, "a");
	CHECK(file && fputs("map 14 0x30000 0x2000 0x7f0000000000\n", file) >= 0 && !fclose(file));
	STARTS(text_of(path, 0x30000), "in a buffer of process 14: 0x30000");
	CHECK(!unlink(path));
	CHECK(!*text_of(path, 0x10000));
}

int main(void)
{
	lines();
	buffers();
	return EXIT_SUCCESS;
}
