// SPDX-License-Identifier: MIT
/*
 * Lines of the kernel's log, of Linux 6.1 to 7.3:
 *
 *	DMAR: DRHD: handling fault status reg 2
 *	DMAR: [DMA Write NO_PASID] Request device [00:06.0] fault addr ... [fault reason 0x05] ...
 *	DMAR: [DMA Read PASID 0x1] Request device [00:06.0] ...
 *	vfio-pci 0000:00:06.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=... address=... flags=...]
 *	AMD-Vi: Event logged [IO_PAGE_FAULT device=0000:00:06.0 domain=... address=... flags=...]
 */
#include "faults.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096ull

/* flags of AMD's events */
#define AMD_WRITE 0x20

/* Parses the address before @end. */
static bool parse_function(char *function, const char *text, const char *end)
{
	const char *last = text ? strstr(text, end) : NULL;
	char word[PCI_ADDRESS_SIZE];
	size_t n;

	if (!last)
		return false;
	n = (size_t)(last - text);
	if (n >= sizeof(word))
		return false;
	snprintf(word, sizeof(word), "%.*s", (int)n, text);
	return address_parse(function, PCI_ADDRESS_SIZE, word);
}

/* Returns the text after @name, or NULL. */
static const char *after(const char *text, const char *name)
{
	const char *at = text ? strstr(text, name) : NULL;

	return at ? at + strlen(name) : NULL;
}

static bool parse_number(unsigned long long *number, const char *text)
{
	if (!text || !isxdigit((unsigned char)*text))
		return false;
	*number = strtoull(text, NULL, 16);
	return true;
}

static bool parse_intel(struct fault *fault, const char *line)
{
	const char *access = after(line, "[DMA "), *function = after(access, " device ["), *reason;

	if (!function || (strncmp(access, "Read", 4) && strncmp(access, "Write", 5)))
		return false;
	fault->write = *access == 'W';
	if (!parse_function(fault->function, function, "]") ||
	    !parse_number(&fault->address, after(function, " fault addr ")))
		return false;
	reason = after(after(function, "[fault reason "), "] ");
	snprintf(fault->reason, sizeof(fault->reason), "%s", reason ? reason : "");
	return true;
}

/* The function is named in the event, or with its driver before it. */
static bool parse_amd(struct fault *fault, const char *line)
{
	const char *event = after(line, "Event logged [IO_PAGE_FAULT ");
	unsigned long long flags;

	if (!event || (!parse_function(fault->function, after(event, "device="), " ") &&
		       !parse_function(fault->function, after(line, " "), ": AMD-Vi: ")))
		return false;
	if (!parse_number(&fault->address, after(event, "address=")) ||
	    !parse_number(&flags, after(event, "flags=")))
		return false;
	fault->write = flags & AMD_WRITE;
	fault->reason[0] = '\0';
	return true;
}

bool fault_parse(struct fault *fault, const char *line)
{
	if (!strncmp(line, "DMAR: ", strlen("DMAR: ")))
		return parse_intel(fault, line);
	return strstr(line, "AMD-Vi: ") && parse_amd(fault, line);
}

/*
 * A record is "PRIORITY,NUMBER,TIME,FLAGS;LINE\n". The priority of a program's record has a facility
 * above its lowest 3 bits.
 */
enum fault_record fault_parse_record(struct fault *fault, const char *record)
{
	static const char some[] = "DMAR: DRHD: handling fault status reg ";
	const char *line = strchr(record, ';');
	char text[512];

	if (!line || strtoul(record, NULL, 10) >> 3)
		return FAULT_NONE;
	snprintf(text, sizeof(text), "%.*s", (int)strcspn(line + 1, "\n"), line + 1);
	if (!strncmp(text, some, strlen(some)))
		return FAULT_SOME;
	return fault_parse(fault, text) ? FAULT_ONE : FAULT_NONE;
}

/* Returns the bytes between the page of @address and the pages of the memory, or 0 if it is one. */
static unsigned long long distance(const struct near *near, unsigned long long address)
{
	unsigned long long page = address & ~(PAGE - 1), start = near->address & ~(PAGE - 1);
	unsigned long long end = (near->address + near->length + PAGE - 1) & ~(PAGE - 1);

	if (page < start)
		return start - page;
	return page < end ? 0 : page + PAGE - end;
}

void near_find(struct near *near, const char *path, unsigned long long address)
{
	unsigned long long least = ~0ull, this;
	FILE *file = fopen(path, "re");
	struct near other;
	char line[256], word[8];

	*near = (struct near){ 0 };
	if (!file)
		return;
	other.found = true;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%7s %d %llx %llx %llx", word, &other.pid, &other.address, &other.length,
			   &other.memory) != 5)
			continue;
		other.freed = !strcmp(word, "unmap");
		this = distance(&other, address);
		/* At the same distance the latest line counts. */
		if (this <= least) {
			*near = other;
			least = this;
		}
	}
	fclose(file);
}

void near_text(char *text, int size, const struct near *near, unsigned long long address)
{
	unsigned long long gap = distance(near, address);
	const char *side = address < near->address ? "in front of" : "behind";
	char where[64];

	if (!gap)
		snprintf(where, sizeof(where), "in");
	else if (gap == PAGE)
		snprintf(where, sizeof(where), "in the page right %s", side);
	else
		snprintf(where, sizeof(where), "%llu bytes %s", gap - PAGE, side);
	snprintf(text, (size_t)size, "%s a buffer of process %d%s: %#llx to %#llx, %llu bytes at %#llx in the process",
		 where, near->pid, near->freed ? ", freed by now" : "", near->address,
		 near->address + near->length - 1, near->length, near->memory);
}
