// SPDX-License-Identifier: MIT
/* Checks of huge pages: how many the process can have, and why not more. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"
#include "memory.h"
#include "sysfs.h"

#define NODES "/sys/devices/system/node"
#define ON_NODE NODES "/node%d/hugepages/hugepages-%llukB/nr_hugepages"

/* A lack of all pages is a problem for a program that starts now, otherwise a warning. */
static enum verdict lack(const struct doctor *doctor, bool all)
{
	return doctor->program && all ? PROBLEM : WARNING;
}

/* Are no pages free, and none in left-over files that DPDK and SPDK remove when they start? */
static bool has_none(const struct memory *memory)
{
	size_t i;

	for (i = 0; i < memory->nr_pools; i++)
		if (memory->pool[i].files.dpdk && memory->pool[i].allowed >= memory->pool[i].size)
			return false;
	return !memory_pages(memory);
}

/* Returns " (node 0: 10, node 1: 6)", or "" if there is at most one node. */
static const char *nodes_text(const struct pool *pool, char *buf, size_t size)
{
	struct names names;
	size_t i, len = 0, n = 0;
	int node;

	names_read(&names, NODES);
	for (i = 0; i < names.n && len < size; i++)
		if (sscanf(names.name[i], "node%d", &node) == 1)
			len += snprintf(buf + len, size - len, "%snode %d: %llu", n++ ? ", " : " (",
					node, pool_on_node(pool, node));
	names_free(&names);
	if (n > 1 && len < size)
		snprintf(buf + len, size - len, ")");
	else
		buf[0] = 0;
	return buf;
}

static void say_some(struct doctor *doctor, const struct pool *p)
{
	unsigned long long n = pool_available(p);
	char nodes[256], more[64] = "", limit[PATH_MAX + 64] = "", files[640] = "";

	if (p->more)
		snprintf(more, sizeof(more), ", and up to %llu more on demand", p->more);
	if (n < p->here + p->more)
		snprintf(limit, sizeof(limit), "; %s lets the process have %llu", p->limit, n);
	if (p->files.pages) {
		snprintf(files, sizeof(files), "; %llu are in files that no program has mapped",
			 p->files.pages);
		if (*p->files.names)
			mend(doctor, "rm %s", p->files.names);
	}
	say(doctor, OK, "%s: %llu of %llu are free%s%s%s%s", SIZE_TEXT(p->size), p->free, p->total,
	    nodes_text(p, nodes, sizeof(nodes)), more, limit, files);
}

static void say_limit(struct doctor *doctor, const struct pool *p, enum verdict verdict)
{
	const char *value = strstr(p->limit, "limit_in_bytes") ? "-1" : "max";

	mend(doctor, "echo %s >%s", value, p->limit);
	say(doctor, verdict, "%s: %llu of %llu are free, and %s lets the process have none",
	    SIZE_TEXT(p->size), p->free, p->total, p->limit);
}

static void say_nodes(struct doctor *doctor, const struct pool *p, enum verdict verdict)
{
	int node = atoi(doctor->memory.nodes);

	mend(doctor, "echo %llu >" ON_NODE, p->free, node, p->size >> 10);
	say(doctor, verdict, "%s: %llu are free, but none on the memory nodes that the process may use (%s)",
	    SIZE_TEXT(p->size), p->free, doctor->memory.nodes);
}

static void say_taken(struct doctor *doctor, const struct pool *p, enum verdict verdict)
{
	const char *users = doctor->memory.users;
	char files[640] = "";

	if (p->files.pages)
		snprintf(files, sizeof(files), "; %llu are in files that no program has mapped%s",
			 p->files.pages, !p->files.dpdk ? "" : p->files.dpdk < p->files.pages ?
			 ", a part of which DPDK and SPDK remove as they start" :
			 ", which DPDK and SPDK remove as they start");
	if (*p->files.names)
		mend(doctor, "rm %s", p->files.names);
	else
		mend(doctor, "echo %llu >" HUGEPAGES "/hugepages-%llukB/nr_hugepages", p->total * 2,
		     p->size >> 10);
	say(doctor, verdict, "%s: none of %llu is free%s%s%s", SIZE_TEXT(p->size), p->total, files,
	    *users ? "; programs that have some: " : "", users);
}

static void check_pools(struct doctor *doctor)
{
	const struct memory *m = &doctor->memory;
	enum verdict verdict = lack(doctor, has_none(m));
	bool any = false;
	size_t i;

	for (i = 0; i < m->nr_pools; i++) {
		const struct pool *p = &m->pool[i];

		if (!p->total && !p->more)
			continue;
		any = true;
		if (pool_available(p))
			say_some(doctor, p);
		else if (p->allowed < p->size)
			say_limit(doctor, p, verdict);
		else if (p->free)
			say_nodes(doctor, p, verdict);
		else
			say_taken(doctor, p, verdict);
	}
	if (any)
		return;
	mend(doctor, RESERVE_HUGEPAGES, hugepages_to_reserve());
	say(doctor, verdict, "none are reserved, and DPDK and SPDK need them");
}

static void check_entries(struct doctor *doctor)
{
	unsigned long long entries = memory_pages(&doctor->memory), limit = entry_limit();

	if (entries <= limit)
		return;
	mend(doctor, RAISE_ENTRY_LIMIT, entries + SPARE_ENTRIES);
	say(doctor, lack(doctor, true),
	    "VFIO maps %llu at most, and there are %llu: DPDK goes on without the rest, which is not pinned",
	    limit, entries);
}

static void check_movable(struct doctor *doctor)
{
	char *line = file_text("/proc/cmdline");
	bool by_line = line && (strstr(line, "movablecore=") || strstr(line, "kernelcore="));

	free(line);
	if (doctor->memory.movable == MOVABLE_UNSEEN)
		say(doctor, UNSEEN,
		    "only root can see whether some are in ZONE_MOVABLE, from where pinning moves "
		    "them");
	if (doctor->memory.movable != MOVABLE)
		return;
	if (!by_line)
		mend(doctor, "echo online_kernel >/sys/devices/system/memory/auto_online_blocks");
	say(doctor, WARNING,
	    "some are in ZONE_MOVABLE: pinning moves them, and DPDK then does not start; %s",
	    by_line ? "without movablecore= or kernelcore= on the kernel's command line there is no such zone" :
	    "memory that is plugged in later stays out of it");
}

/* No kernel says which huge pages are in CMA. */
static void check_cma(struct doctor *doctor)
{
	char *text = file_text("/proc/meminfo"), *at = text ? strstr(text, "CmaTotal:") : NULL;
	unsigned long kib = 0;

	if (at && sscanf(at, "CmaTotal: %lu", &kib) == 1 && kib && hugepage_bytes())
		say(doctor, OK,
		    "%lu MiB of memory are CMA: pinning moves a huge page from there, and only flatiommu "
		    "run and the library ask for its address after that",
		    kib >> 10);
	free(text);
}

void check_hugepages(struct doctor *doctor)
{
	check_pools(doctor);
	check_entries(doctor);
	check_movable(doctor);
	check_cma(doctor);
}

/* Returns the function's node, or -1 if it has none or the kernel does not know it. */
static int node_of(const struct function *f)
{
	return (int)file_number(-1, PCI_DEVICES "/%s/numa_node", f->address);
}

/* Returns the number of free pages on @node, or with -1 on all nodes. */
static unsigned long long free_on(const struct memory *memory, int node)
{
	unsigned long long n = 0;
	size_t i;

	for (i = 0; i < memory->nr_pools; i++)
		n += node < 0 ? memory->pool[i].free : pool_on_node(&memory->pool[i], node);
	return n;
}

/* Sets the cure: reserve pages on @node, of the size with the most free memory. */
static void mend_node(struct doctor *doctor, int node)
{
	const struct memory *m = &doctor->memory;
	const struct pool *most = &m->pool[0];
	size_t i;

	for (i = 1; i < m->nr_pools; i++)
		if (m->pool[i].free * m->pool[i].size > most->free * most->size)
			most = &m->pool[i];
	mend(doctor, "echo %llu >" ON_NODE, most->free, node, most->size >> 10);
}

/* Reports on a function on @node; without free pages anywhere there is nothing to report. */
static void say_node(struct doctor *doctor, const struct function *f, int node)
{
	unsigned long long n = free_on(&doctor->memory, node);

	if (n && doctor->subject) {
		say(doctor, OK, "node %d, where %llu huge pages are free", node, n);
	} else if (!n && free_on(&doctor->memory, -1)) {
		mend_node(doctor, node);
		say(doctor, WARNING,
		    "%s is on node %d, where no huge page is free: DPDK uses another node's, or "
		    "finds none",
		    f->address, node);
	}
}

/* If no function was named, checks the nodes of functions that programs can have. */
void check_nodes(struct doctor *doctor)
{
	size_t i;

	for (i = 0; i < doctor->functions.n && !doctor->named; i++) {
		const struct function *f = &doctor->functions.function[i];
		int node = is_on_vfio(f) ? node_of(f) : -1;

		if (node >= 0)
			say_node(doctor, f, node);
	}
}

void check_own_node(struct doctor *doctor)
{
	int node = node_of(doctor->subject);

	if (node >= 0 && !is_bridge(doctor->subject))
		say_node(doctor, doctor->subject, node);
}
