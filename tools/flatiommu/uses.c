// SPDX-License-Identifier: MIT
#include "uses.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "disks.h"
#include "output.h"
#include "sysfs.h"
#include "use.h"
#include "wait.h"

/* Time limit, for a disk that does not answer or a network driver that is stuck. */
#define SECONDS 20

void use_say(struct use *use, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(use->text, sizeof(use->text), fmt, args);
	va_end(args);
}

void use_cure(struct use *use, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(use->cure, sizeof(use->cure), fmt, args);
	va_end(args);
}

/* " (nvme0n1 -> loop0 -> /mnt)" */
static void append_chain(char *text, size_t size, struct json_object *chain)
{
	size_t i, len = strlen(text);

	for (i = 0; i < json_object_array_length(chain) && len < size; i++)
		len += snprintf(text + len, size - len, "%s%s", i ? " -> " : " (",
				json_object_get_string(json_object_array_get_idx(chain, i)));
	if (len < size)
		snprintf(text + len, size - len, ")");
}

void use_add(const struct look *look, const struct use *use, struct json_object *chain)
{
	struct json_object *o = add_object(look->uses);
	char text[4096];

	snprintf(text, sizeof(text), "%s", use->text);
	if (chain && json_object_array_length(chain) > 2)
		append_chain(text, sizeof(text), chain);
	put_string(o, "kind", use->kind);
	put_string(o, "what", use->what);
	put_string(o, "text", text);
	put_string(o, "cure", use->cure);
	json_object_object_add(o, "chain", chain);
	put_bool(o, "refuses", !use->noted);
	put_bool(o, "always", use->always);
}

void shell_quote(char *to, size_t size, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789/._-+:,@";
	char *end = to + size - 6;

	if (strspn(text, plain) == strlen(text)) {
		snprintf(to, size, "%s", text);
		return;
	}
	*to++ = '\'';
	for (; *text && to < end; text++) {
		if (*text == '\'')
			to += sprintf(to, "'\\'");
		*to++ = *text;
	}
	*to++ = '\'';
	*to = 0;
}

bool is_below(const struct look *look, const char *path)
{
	char above[PCI_ADDRESS_SIZE];

	return function_above(above, sizeof(above), path) &&
	       !strcmp(above, look->function->address);
}

bool node_stat(const struct opened *opened, struct stat *st)
{
	char node[128];

	snprintf(node, sizeof(node), "/proc/%d/root%s", opened->pid, opened->node);
	return *opened->node == '/' && (!stat(node, st) || !stat(opened->node, st));
}

/* Is it the node of a disk with several controllers, one of them the function's? ng0n1: nvme0n1 */
static bool is_shared_nvme(const struct look *look, const char *path)
{
	unsigned int controller, namespace;
	struct names controllers;
	char name[64], own[300];
	bool is = false;
	int end = 0;
	size_t i;

	if (link_name(name, sizeof(name), "%s", path) ||
	    sscanf(name, "ng%un%u%n", &controller, &namespace, &end) != 2 || name[end])
		return false;
	snprintf(name, sizeof(name), "nvme%un%u", controller, namespace);
	disk_controllers(&controllers, name);
	for (i = 0; i < controllers.n && !is; i++) {
		snprintf(own, sizeof(own), "/sys/class/nvme/%.255s", controllers.name[i]);
		is = is_below(look, own);
	}
	names_free(&controllers);
	return is;
}

/* NVIDIA's driver has no devices in sysfs. */
static bool is_nvidia_node(const struct look *look, const char *node)
{
	char *text, *minor, own[64];
	unsigned int number;
	bool is = false;

	if (strncmp(node, "/dev/nvidia", strlen("/dev/nvidia")))
		return false;
	text = file_text("/proc/driver/nvidia/gpus/%s/information", look->function->address);
	minor = text ? strstr(text, "Device Minor:") : NULL;
	if (minor && sscanf(minor, "Device Minor: %u", &number) == 1) {
		snprintf(own, sizeof(own), "/dev/nvidia%u", number);
		is = !strcmp(node, own);
	}
	free(text);
	return is;
}

/* Finds open nodes of other devices than disks: NVMe controllers, sound, graphics, serial ports. */
static void find_open_nodes(const struct look *look)
{
	size_t i;

	for (i = 0; i < look->processes->n; i++) {
		const struct opened *o = &look->processes->opened[i];
		char path[64];
		struct use use = { .kind = "open", .what = o->node };
		struct stat st;

		if (!node_stat(o, &st) || !S_ISCHR(st.st_mode))
			continue;
		snprintf(path, sizeof(path), "/sys/dev/char/%u:%u", major(st.st_rdev),
			 minor(st.st_rdev));
		/* NVIDIA's driver then waits in the unbind, for as long as it takes */
		use.always = is_nvidia_node(look, o->node);
		if (!use.always && !is_below(look, path) && !is_shared_nvme(look, path))
			continue;
		use_say(&use, "%s is open by %s[%d]", o->node, o->name, o->pid);
		use_cure(&use, "kill %d", o->pid);
		use_add(look, &use, NULL);
	}
}

/* Finds programs that have a BAR by its file in sysfs, such as one that writes firmware. */
static void find_open_bars(const struct look *look)
{
	char prefix[64];
	size_t i, len;

	len = (size_t)snprintf(prefix, sizeof(prefix), PCI_DEVICES "/%s/", look->function->address);
	for (i = 0; i < look->processes->n; i++) {
		const struct opened *o = &look->processes->opened[i];
		struct use use = { .kind = "open", .what = o->node };

		if (strncmp(o->node, prefix, len))
			continue;
		use_say(&use, "its %s is open by %s[%d]", o->node + len, o->name, o->pid);
		use_cure(&use, "kill %d", o->pid);
		use_add(look, &use, NULL);
	}
}

static void look_at_all(struct look *look)
{
	look_at_disks(look);
	look_at_shares(look);
	find_open_nodes(look);
	find_open_bars(look);
	look_below(look);
	look_at_network(look);
}

/* Runs in a child, so it writes its answer as text. */
static int look_step(const void *arg, int answer)
{
	struct look look = *(const struct look *)arg;
	const char *text;
	size_t len;
	ssize_t n;

	/* open 0 to 2, so that no other file becomes standard output */
	while ((n = open("/dev/null", O_RDWR)) >= 0 && n < 3)
		;
	look.uses = json_object_new_array();
	look_at_all(&look);
	text = json_object_to_json_string(look.uses);
	for (len = strlen(text); len; text += n, len -= n) {
		n = write(answer, text, len);
		if (n < 0)
			return -errno;
	}
	return 0;
}

struct json_object *uses_of(const struct function *f, const struct processes *processes)
{
	struct look look = { .function = f, .processes = processes };
	struct use use = { .kind = "unseen", .what = f->address };
	struct json_object *uses;
	char *answer;

	if (is_on_vfio(f))
		return json_object_new_array();
	uses = wait_for(SECONDS, look_step, &look, &answer) ? NULL : json_tokener_parse(answer);
	free(answer);
	if (uses)
		return uses;
	look.uses = json_object_new_array();
	use_say(&use, "its users are not known: the kernel did not answer in %d s", SECONDS);
	use_cure(&use, "dmesg | tail");
	use_add(&look, &use, NULL);
	return look.uses;
}
