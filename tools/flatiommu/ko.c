// SPDX-License-Identifier: MIT
#include "ko.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/flatiommu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../../module/address.h"
#include "holders.h"
#include "output.h"
#include "started.h"
#include "sysfs.h"
#include "wait.h"

/* The meaning of an error; in @cure, %s stands for the function's address. */
struct meaning {
	int err;
	const char *text;
	const char *cure;
};

static const struct meaning of_claim[] = {
	{ EPERM, "a claim needs root with CAP_SYS_RAWIO", "sudo flatiommu claim %s" },
	{ EACCES, "the kernel is locked down, and this module was not built for that",
	  "flatiommu doctor %s" },
	{ ENODEV, "it is being removed", NULL },
	{ EEXIST, "it is claimed already", NULL },
	{ EBUSY, "a driver is bound to it", "flatiommu bind %s" },
	/* with --wc; for other causes see why_unsupported() */
	{ EOPNOTSUPP, "--wc needs PAT of x86 processors, which this machine does not have", NULL },
	{ EINTR, "interrupted while waiting for a bind or an unbind of it", "flatiommu list %s" },
	{ EALREADY, "an IOMMU has it, and VFIO works on it without flatiommu",
	  "flatiommu bind %s" },
	{ EAFNOSUPPORT, "bus addresses cannot be used on this machine", "flatiommu doctor %s" },
	{ EPROTONOSUPPORT, "its DMA is not coherent with the processor's caches", "flatiommu doctor %s" },
	{ EAGAIN, "it was just added: try again", "flatiommu claim %s" },
	/* only with --wc, --hold or --fence */
	{ EINVAL, "not BARs such as 2 or 2+4, or an option that the module does not have", NULL },
	{ ENXIO, "a BAR that is not memory, not prefetchable, or has the MSI-X table",
	  "flatiommu doctor %s" },
	{ EADDRINUSE, "a BAR that is mapped uncached already", "flatiommu list %s" },
	{ 0, NULL, NULL }
};

static const struct meaning of_release[] = {
	{ EPERM, "a release needs root with CAP_SYS_RAWIO", "sudo flatiommu release %s" },
	{ ENODEV, "it is being removed", NULL },
	{ ENOENT, "it is not claimed", NULL },
	{ EBUSY, "a driver is bound to it", "flatiommu unbind %s" },
	{ EINTR, "interrupted while waiting for a bind or an unbind of it", "flatiommu list %s" },
	{ 0, NULL, NULL }
};

bool flat_is_loaded(void)
{
	return file_exists(FLAT_FILES);
}

/* Fails with the meaning of @err. The kernel log has the exact cause. */
static int fail_meaning(struct tool *tool, const struct meaning *meanings, int err,
			const char *address, const char *verb)
{
	const char *from = NULL, *to;

	for (; meanings->text && meanings->err != -err; meanings++)
		;
	if (meanings->cure) {
		from = meanings->cure;
		to = strstr(from, "%s");
		cure(tool, "%.*s%s", (int)(to - from), from, address);
	}
	return tool_fail(tool, err, "%s: not %s: %s", address, verb,
			 meanings->text ? meanings->text : strerror(-err));
}

/* Returns the cause of EOPNOTSUPP if it is a bridge or an untrusted device, else NULL. */
static const char *why_unsupported(const char *address)
{
	char removable[16];
	struct function f;

	if (!function_read(&f, address) && is_bridge(&f))
		return "it is a bridge: VFIO is for the functions behind it";
	file_read(removable, sizeof(removable), PCI_DEVICES "/%s/removable", address);
	return !strcmp(removable, "removable") ?
	       "it is behind an external port (Thunderbolt), whose devices the kernel does not trust" : NULL;
}

const char *any_option(const struct options *options)
{
	return options->wc ? "wc" : options->hold ? "hold" : options->fence ? "fence" : NULL;
}

int flat_claim(struct tool *tool, const char *address, const struct options *options)
{
	const char *why;
	char text[128];
	int ret;

	snprintf(text, sizeof(text), "%s%s%s%s%s", address, options->wc ? "/wc=" : "",
		 options->wc ? options->wc : "", options->hold ? "/hold" : "",
		 options->fence ? "/fence" : "");
	ret = file_write_in_time(text, FLAT_FILES "/claim");
	if (ret == -ETIMEDOUT)
		return fail_waiting(tool, address);
	why = ret == -EOPNOTSUPP ? why_unsupported(address) : NULL;
	if (why)
		return tool_fail(tool, ret, "%s: not claimed: %s", address, why);
	return ret ? fail_meaning(tool, of_claim, ret, address, "claimed") : 0;
}

int flat_release(struct tool *tool, const char *address)
{
	int ret = file_write_in_time(address, FLAT_FILES "/release");

	if (ret == -ETIMEDOUT)
		return fail_waiting(tool, address);
	return ret ? fail_meaning(tool, of_release, ret, address, "released") : 0;
}

int flat_open(void)
{
	int file = open(FLAT_NODE, O_RDWR | O_CLOEXEC);

	return file < 0 ? -errno : file;
}

void flat_close(int file)
{
	if (file >= 0)
		close(file);
}

static int get_info(int file, struct flatiommu_info *info)
{
	if (file < 0)
		return file;
	info->size = sizeof(*info);
	return ioctl(file, FLATIOMMU_INFO, info) ? -errno : 0;
}

int flat_info(int file, struct function *f)
{
	struct flatiommu_info info = { .flags = FLATIOMMU_INFO_FUNCTION };
	struct flat_address a;
	int ret;

	if (!flat_parse_address(f->address, &a))
		return -EINVAL;
	info.function.segment = a.segment;
	info.function.bus = a.bus;
	info.function.devfn = a.slot << 3 | a.function;
	ret = get_info(file, &info);
	if (!ret && !(info.out_state & FLATIOMMU_STATE_CLAIMED))
		ret = -ENOENT;
	if (ret)
		return ret;
	f->group = info.group;
	f->wc_bars = info.out_wc_bars;
	f->hold = info.out_state & FLATIOMMU_STATE_HOLD;
	f->fence = info.out_state & FLATIOMMU_STATE_FENCE;
	return 0;
}

void flat_put_options(struct json_object *o, const struct function *f)
{
	struct function asked = *f;
	struct json_object *array;
	unsigned int bar;
	int file, ret = 0;

	if (f->behind != BEHIND_FLATIOMMU) {
		asked.wc_bars = 0;
		asked.hold = asked.fence = false;
	} else if (f->wc_bars < 0) {
		file = flat_open();
		ret = flat_info(file, &asked);
		flat_close(file);
	}
	if (ret) {
		json_object_object_add(o, "wc_bars", NULL);
		json_object_object_add(o, "hold", NULL);
		json_object_object_add(o, "fence", NULL);
		return;
	}
	array = put_array(o, "wc_bars");
	for (bar = 0; bar < 6; bar++)
		if (asked.wc_bars & 1 << bar)
			json_object_array_add(array, json_object_new_int(bar));
	put_bool(o, "hold", asked.hold);
	put_bool(o, "fence", asked.fence);
}

/* Appends @text, after @between if @buf is not empty. */
static void append(char *buf, size_t size, const char *between, const char *text)
{
	size_t len = strlen(buf);

	snprintf(buf + len, size - len, "%s%s", len ? between : "", text);
}

/* Writes "2+4", or "". */
static void bars_text(char *buf, size_t size, struct json_object *bars)
{
	size_t i, n = bars ? json_object_array_length(bars) : 0;

	buf[0] = 0;
	for (i = 0; i < n; i++)
		append(buf, size, "+", json_object_get_string(json_object_array_get_idx(bars, i)));
}

static const char *const words[] = { "hold", "fence" };

/* Writes the options: @wc is before the BARs, @separator between two options. */
static void list_options(char *buf, size_t size, struct json_object *o, const char *wc,
			 const char *separator)
{
	char bars[16];
	size_t i;

	bars_text(bars, sizeof(bars), get(o, "wc_bars"));
	snprintf(buf, size, "%s%s", *bars ? wc : "", bars);
	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (json_object_get_boolean(get(o, words[i])))
			append(buf, size, separator, words[i]);
}

void options_text(char *buf, size_t size, struct json_object *o)
{
	list_options(buf, size, o, "write-combined: BAR ", ", ");
}

void options_of_claim(char *buf, size_t size, struct json_object *o)
{
	char options[32];

	list_options(options, sizeof(options), o, "wc=", "/");
	snprintf(buf, size, "%s%s", *options ? "/" : "", options);
}

int flat_uapi(void)
{
	struct flatiommu_info info = { 0 };
	int file = flat_open(), ret = get_info(file, &info);

	flat_close(file);
	return ret ? ret : (int)info.out_version;
}

/* A cure for programs that choose IOVAs. */
#define DECLARE "declare that the program looks addresses up (FLATIOMMU_DECLARE), and map from IOVA 2^46 on"
#define OTHERS "; others map at the bus address, or " DECLARE

static const struct {
	const char *cause, *cure;
} refusal_cures[] = {
	{ "virtual-address", "DPDK and SPDK: flatiommu run -- PROGRAM" OTHERS },
	{ "other-page", "chosen by the program: " DECLARE
			"; looked up by the program: look the address up again, and map each contiguous run by itself" },
	{ "lookup-iova", "map from 2^46 on where nothing is, such as at the virtual address" },
	{ "zero-page", "write to the memory before it is mapped" },
	{ "unreachable", "map other memory" },
	{ "no-bus-address", "map at the bus address, or " DECLARE },
};

/* Does the process live? If its ID has another name now, that is another process. */
static bool is_there(const char *pid, const char *name)
{
	char now[32];

	return !file_read(now, sizeof(now), "/proc/%s/comm", pid) && !strcmp(now, name);
}

/* Sets the cure again: it is not flatiommu run if that has started the program. */
static void put_cure_of_started(struct json_object *o)
{
	const char *pid = get_string(o, "pid"), *name = get_string(o, "name");
	struct started started = { 0 };
	char text[400];

	if (!name || !is_there(pid, name)) {
		put_string(o, "cure",
			   "DPDK and SPDK: flatiommu run -- PROGRAM or, if run has started it, --iova-mode=pa" OTHERS);
		return;
	}
	started_read(&started, pid);
	if (!started.by_run)
		return;
	if (started.groups)
		started_text(text, sizeof(text), &started);
	else
		snprintf(text, sizeof(text), "%s",
			 "flatiommu run has started it, and it sees no IOMMU group: it chooses virtual addresses by itself; DPDK and SPDK: --iova-mode=pa" OTHERS);
	put_string(o, "cure", text);
}

struct json_object *flat_refusals(void)
{
	char *text = file_text(FLAT_FILES "/refusals"), *line, *rest;
	struct json_object *array;

	if (!text)
		return NULL;
	array = json_object_new_array();
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char device[PCI_ADDRESS_SIZE], cause[32];
		unsigned long long count;
		struct json_object *o;
		int pid, name = 0;
		size_t i;

		if (sscanf(line, "%d %llu %19s %31s %n", &pid, &count, device, cause, &name) != 4 ||
		    !name)
			continue;
		o = add_object(array);
		put_number(o, "pid", pid);
		put_string(o, "name", line + name);
		put_number(o, "refused", count);
		put_string(o, "device", device);
		put_string(o, "cause", cause);
		put_string(o, "cure", NULL);
		for (i = 0; i < ARRAY_SIZE(refusal_cures); i++)
			if (!strcmp(cause, refusal_cures[i].cause))
				put_string(o, "cure", refusal_cures[i].cure);
		if (!strcmp(cause, "virtual-address"))
			put_cure_of_started(o);
	}
	free(text);
	return array;
}

struct json_object *flat_refusal_causes(void)
{
	char *text = file_text(FLAT_FILES "/refusal_causes"), *line, *rest;
	struct json_object *causes;

	if (!text)
		return NULL;
	causes = json_object_new_object();
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		unsigned long long count;
		char cause[32];

		if (sscanf(line, "%31s %llu", cause, &count) == 2)
			put_number(causes, cause, count);
	}
	free(text);
	return causes;
}

static void put_bytes(struct json_object *o, const char *name)
{
	unsigned long long bytes = file_number(ULLONG_MAX, FLAT_FILES "/%s", name);

	if (bytes == ULLONG_MAX)
		json_object_object_add(o, name, NULL);
	else
		put_number(o, name, (long long)bytes);
}

void flat_put_held(struct json_object *o)
{
	put_bytes(o, "held");
	put_bytes(o, "held_released_at_limit");
}
