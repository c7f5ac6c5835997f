// SPDX-License-Identifier: MIT
#include "memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup.h"
#include "privilege.h"
#include "sysfs.h"

#define NODES "/sys/devices/system/node"

const char *size_text(unsigned long long size, char *buf, size_t len)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	size_t i = 0;

	while (i + 1 < ARRAY_SIZE(units) && size && !(size & 1023)) {
		size >>= 10;
		i++;
	}
	snprintf(buf, len, "%llu %s", size, units[i]);
	return buf;
}

/* Is @number in a list such as "0-1,3"? */
static bool is_listed(const char *list, unsigned long number)
{
	unsigned long first, last;
	char *end;

	for (; *list; list = *end ? end + 1 : end) {
		first = last = strtoul(list, &end, 10);
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (first <= number && number <= last)
			return true;
	}
	return false;
}

static unsigned long long number_of(const char *key, const char *pid)
{
	char *text = file_text("/proc/%s/status", pid), *line = text ? strstr(text, key) : NULL;
	unsigned long long number = line ? strtoull(line + strlen(key), NULL, 10) : 0;

	free(text);
	return number;
}

static void nodes_of(char *nodes, size_t size, const char *pid)
{
	static const char key[] = "\nMems_allowed_list:";
	char *text = file_text("/proc/%s/status", pid), *line = text ? strstr(text, key) : NULL;

	nodes[0] = 0;
	if (line) {
		line += strlen(key);
		line += strspn(line, " \t");
		snprintf(nodes, size, "%.*s", (int)strcspn(line, "\n"), line);
	}
	free(text);
}

unsigned long long pool_on_node(const struct pool *pool, int node)
{
	return file_number(0, NODES "/node%d/hugepages/hugepages-%llukB/free_hugepages", node,
			   pool->size >> 10);
}

/* Returns the free pages on @nodes. A kernel without NUMA has no nodes. */
static unsigned long long free_on(const struct pool *pool, const char *nodes)
{
	unsigned long long sum = 0;
	struct names names;
	bool any = false;
	size_t i;
	int node;

	names_read(&names, NODES);
	for (i = 0; i < names.n; i++) {
		if (sscanf(names.name[i], "node%d", &node) != 1)
			continue;
		any = true;
		if (is_listed(nodes, (unsigned long)node))
			sum += pool_on_node(pool, node);
	}
	names_free(&names);
	return any && *nodes ? sum : pool->free;
}

/* Reads hugetlb.2MB.max, and hugetlb.2MB.rsvd.max, which limits reservations. */
static void read_limit(struct pool *pool, const struct cgroup *cgroup)
{
	static const char *const kinds[] = { "", "rsvd." };
	char limit[64], use[64], where[PATH_MAX], size[16];
	unsigned int shift = pool->size >> 30 ? 30 : pool->size >> 20 ? 20 : 10;
	unsigned long long left;
	size_t i;

	snprintf(size, sizeof(size), "%llu%s", pool->size >> shift, shift == 30 ? "GB" : shift == 20 ? "MB" : "KB");
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		snprintf(limit, sizeof(limit), "hugetlb.%s.%s%s", size, kinds[i],
			 cgroup->v1 ? "limit_in_bytes" : "max");
		snprintf(use, sizeof(use), "hugetlb.%s.%s%s", size, kinds[i],
			 cgroup->v1 ? "usage_in_bytes" : "current");
		left = cgroup_left(cgroup, limit, use, NULL, where, sizeof(where));
		if (left < pool->allowed) {
			pool->allowed = left;
			strcpy(pool->limit, where);
		}
	}
}

static unsigned long long of_pool(const struct pool *pool, const char *name)
{
	return file_number(0, HUGEPAGES "/hugepages-%llukB/%s_hugepages", pool->size >> 10, name);
}

static unsigned long long less(unsigned long long a, unsigned long long b)
{
	return a > b ? a - b : 0;
}

static void pool_read(struct pool *pool, const char *pid, const struct memory *memory,
		      struct hugeusers *users)
{
	pool->total = of_pool(pool, "nr");
	pool->free = less(of_pool(pool, "free"), of_pool(pool, "resv"));
	pool->more = less(of_pool(pool, "nr_overcommit"), of_pool(pool, "surplus"));
	pool->here = free_on(pool, memory->nodes);
	pool->allowed = ~0ULL;
	if (pool->total <= pool->free)
		return;
	if (!users->pids)
		hugeusers_read(users);
	hugefiles_read(&pool->files, pid, pool->size, users);
}

static void read_pools(struct memory *memory, const char *pid)
{
	struct hugeusers users = { 0 };
	unsigned long long kib;
	struct names sizes;
	size_t i;

	names_read(&sizes, HUGEPAGES);
	for (i = 0; i < sizes.n && memory->nr_pools < POOLS_MAX; i++) {
		if (sscanf(sizes.name[i], "hugepages-%llukB", &kib) != 1)
			continue;
		memory->pool[memory->nr_pools].size = kib << 10;
		pool_read(&memory->pool[memory->nr_pools++], pid, memory, &users);
	}
	names_free(&sizes);
	strcpy(memory->users, users.text);
	hugeusers_free(&users);
}

static void read_limits(struct memory *memory, const char *pid)
{
	struct cgroup cgroup;
	bool huge = false;
	size_t i;

	memory->allowed = ~0ULL;
	if (cgroup_find(&cgroup, pid, "memory")) {
		huge = cgroup.huge;
		memory->allowed = cgroup.v1 ?
			cgroup_left(&cgroup, "memory.limit_in_bytes", "memory.usage_in_bytes",
				    "total_inactive_file", memory->limit, sizeof(memory->limit)) :
			cgroup_left(&cgroup, "memory.max", "memory.current", "inactive_file",
				    memory->limit, sizeof(memory->limit));
	}
	for (i = 0; huge && i < memory->nr_pools; i++) {
		memory->pool[i].allowed = memory->allowed;
		strcpy(memory->pool[i].limit, memory->limit);
	}
	if (!cgroup_find(&cgroup, pid, "hugetlb"))
		return;
	for (i = 0; i < memory->nr_pools; i++)
		read_limit(&memory->pool[i], &cgroup);
}

/* "Max locked memory         8388608              unlimited            bytes": soft, hard limit */
static unsigned long long memlock_of(const char *pid)
{
	static const char key[] = "Max locked memory";
	char *text = file_text("/proc/%s/limits", pid), *line = text ? strstr(text, key) : NULL, *end;
	unsigned long long limit = ~0ULL;

	if (line) {
		limit = strtoull(line + strlen(key), &end, 10);
		if (end == line + strlen(key))
			limit = ~0ULL;
	}
	free(text);
	return limit;
}

static void service_of(char *service, size_t size, const char *pid)
{
	char *text = file_text("/proc/%s/cgroup", pid), *end = text ? strstr(text, ".service") : NULL;

	if (end) {
		end[strlen(".service")] = 0;
		snprintf(service, size, "%s", strrchr(text, '/') + 1);
	}
	free(text);
}

void memory_read(struct memory *memory, const char *pid)
{
	memset(memory, 0, sizeof(*memory));
	nodes_of(memory->nodes, sizeof(memory->nodes), pid);
	read_pools(memory, pid);
	read_limits(memory, pid);
	memory->movable = hugepage_bytes() ? movable_read(memory->pool[0].size) : NOT_MOVABLE;
	service_of(memory->service, sizeof(memory->service), pid);
	memory->memlock = memlock_of(pid);
	memory->locked = (number_of("\nVmLck:", pid) + number_of("\nVmPin:", pid)) << 10;
}

unsigned long long pool_available(const struct pool *pool)
{
	unsigned long long n = pool->here < pool->free ? pool->here : pool->free;

	n += pool->more;
	return pool->allowed / pool->size < n ? pool->allowed / pool->size : n;
}

unsigned long long memory_pages(const struct memory *memory)
{
	unsigned long long n = 0;
	size_t i;

	for (i = 0; i < memory->nr_pools; i++)
		n += pool_available(&memory->pool[i]);
	return n;
}

unsigned long long memory_bytes(const struct memory *memory)
{
	unsigned long long n = 0;
	size_t i;

	for (i = 0; i < memory->nr_pools; i++)
		n += pool_available(&memory->pool[i]) * memory->pool[i].size;
	return n;
}

unsigned long long hugepage_bytes(void)
{
	unsigned long long bytes = 0, kib;
	struct names sizes;
	size_t i;

	names_read(&sizes, HUGEPAGES);
	for (i = 0; i < sizes.n; i++)
		if (sscanf(sizes.name[i], "hugepages-%llukB", &kib) == 1)
			bytes += kib * 1024 * file_number(0, HUGEPAGES "/%s/nr_hugepages",
							  sizes.name[i]);
	names_free(&sizes);
	return bytes;
}

unsigned long long entry_limit(void)
{
	return file_number(~0ULL, ENTRY_LIMIT);
}

static unsigned long long meminfo(const char *text, const char *key)
{
	const char *line = text ? strstr(text, key) : NULL;

	return line ? strtoull(line + strlen(key), NULL, 10) * 1024 : 0;
}

unsigned long long default_hugepage(void)
{
	char *text = file_text("/proc/meminfo");
	unsigned long long size = meminfo(text, "Hugepagesize:");

	free(text);
	return size;
}

unsigned long long hugepages_to_reserve(void)
{
	unsigned long long available, size, bytes = 1ULL << 30;
	char *text = file_text("/proc/meminfo");

	available = meminfo(text, "MemAvailable:");
	size = meminfo(text, "Hugepagesize:");
	free(text);
	if (available / 4 < bytes)
		bytes = available / 4;
	if (!size || bytes < size)
		return 1;
	return bytes / size < 64 ? bytes / size : bytes / size & ~63ULL;
}

bool may_lock(unsigned long long bytes)
{
	return has_capability(CAP_IPC_LOCK) || bytes <= memlock_of("self");
}
