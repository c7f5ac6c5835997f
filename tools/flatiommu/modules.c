// SPDX-License-Identifier: MIT
#include "modules.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "packages.h"
#include "progress.h"
#include "sysfs.h"
#include "wait.h"

#define MODULES "/lib/modules"
#define MODULE_SECONDS 120

const char *kernel_release(void)
{
	static struct utsname uts;

	if (!*uts.release)
		uname(&uts);
	return uts.release;
}

bool module_is_loaded(const char *name)
{
	char state[16];

	if (!file_read(state, sizeof(state), "/sys/module/%s/initstate", name))
		return !strcmp(state, "live");
	/* a built-in module has no initstate */
	return file_exists("/sys/module/%s", name);
}

/* Finds a module in depmod's list. A line is the file and then the files it depends on. */
static bool find_listed(char *path, size_t size, const char *list, const char *name)
{
	char *text = file_text(MODULES "/%s/%s", kernel_release(), list), *line, *rest;
	bool found = false;

	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line && !found;
	     line = strtok_r(NULL, "\n", &rest)) {
		const char *base, *c;
		size_t i;

		line[strcspn(line, ":")] = 0;
		base = strrchr(line, '/');
		base = base ? base + 1 : line;
		/* file names have - or _ for _ in the module's name */
		for (i = 0, c = base; name[i] && *c; i++, c++)
			if (*c != name[i] && !(*c == '-' && name[i] == '_'))
				break;
		found = !name[i] && !strncmp(c, ".ko", 3);
		if (found)
			snprintf(path, size, MODULES "/%s/%s", kernel_release(), line);
	}
	free(text);
	return found;
}

bool module_is_known(const char *name)
{
	char path[PATH_MAX];

	return find_listed(path, sizeof(path), "modules.dep", name) ||
	       find_listed(path, sizeof(path), "modules.builtin", name);
}

/* Copies the string after @key, cut to @size, or "" if there is none. */
static void copy_info(char *buf, size_t size, const char *text, size_t length, const char *key,
		      size_t key_size)
{
	const char *found = memmem(text, length, key, key_size);

	buf[0] = 0;
	if (!found)
		return;
	found += key_size;
	snprintf(buf, size, "%.*s", (int)strnlen(found, text + length - found), found);
}

/* Reads properties that only the file itself shows; a compressed file shows none. */
static void inspect(struct module_file *file)
{
	static const char signature[] = "~Module signature appended~\n", magic[] = "vermagic=";
	/* not srcversion */
	static const char version[] = "\0version=";
	const char *text;
	struct stat st;
	int fd;

	file->release[0] = file->version[0] = 0;
	file->is_signed = file->versions = false;
	fd = open(file->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) || st.st_size < (off_t)sizeof(signature))
		goto close;
	text = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (text == MAP_FAILED)
		goto close;
	file->is_signed = !memcmp(text + st.st_size - strlen(signature), signature,
				  strlen(signature));
	copy_info(file->version, sizeof(file->version), text, st.st_size, version,
		  sizeof(version) - 1);
	copy_info(file->release, sizeof(file->release), text, st.st_size, magic, sizeof(magic) - 1);
	file->versions = strstr(file->release, " modversions");
	file->release[strcspn(file->release, " ")] = 0;
	munmap((void *)text, st.st_size);
close:
	close(fd);
}

static bool fits(const struct module_file *file)
{
	return !*file->release || !strcmp(file->release, kernel_release()) || file->versions;
}

/* Looks beside this program: where it was built, nothing needs to be installed. */
static bool find_beside(struct module_file *file)
{
	static const char *const places[] = { "../flatiommu.ko", "../../module/flatiommu.ko" };
	char self[PATH_MAX / 2], path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t i;

	if (len < 0)
		return false;
	self[len] = 0;
	*strrchr(self, '/') = 0;
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(path, sizeof(path), "%s/%s", self, places[i]);
		if (!realpath(path, file->path))
			continue;
		inspect(file);
		if (fits(file))
			return true;
	}
	file->path[0] = 0;
	return false;
}

/* Looks where modules_install and DKMS put the module, for kernels that match @release. */
static bool find_glob(struct module_file *file, const char *release)
{
	static const char *const places[] = { "updates", "updates/dkms", "extra" };
	char pattern[PATH_MAX];
	glob_t found;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(pattern, sizeof(pattern), MODULES "/%s/%s/flatiommu.ko*", release,
			 places[i]);
		if (glob(pattern, 0, NULL, &found))
			continue;
		snprintf(file->path, sizeof(file->path), "%s", found.gl_pathv[0]);
		globfree(&found);
		inspect(file);
		return true;
	}
	return false;
}

void module_find(struct module_files *files)
{
	struct module_file *fit = &files->fit, *unfit = &files->unfit;

	memset(files, 0, sizeof(*files));
	if (find_listed(fit->path, sizeof(fit->path), "modules.dep", "flatiommu")) {
		fit->installed = true;
		inspect(fit);
		if (fits(fit))
			return;
		*unfit = *fit;
		memset(fit, 0, sizeof(*fit));
	}
	if (find_beside(fit))
		return;
	/* depmod may not have been run */
	if (find_glob(fit, kernel_release()) && fits(fit))
		return;
	memset(fit, 0, sizeof(*fit));
	if (!*unfit->path)
		find_glob(unfit, "*");
}

bool modules_are_missing(void)
{
	return !file_exists(MODULES "/%s/modules.dep", kernel_release());
}

bool headers_are_missing(void)
{
	return !file_exists(MODULES "/%s/build", kernel_release());
}

static int program_step(const void *arg, int answer)
{
	char *const *argv = arg;
	int status;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		open("/dev/null", O_RDWR);
		dup2(answer, STDOUT_FILENO);
		dup2(answer, STDERR_FILENO);
		/* a user's PATH on Debian has no /sbin */
		setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
		execvp(argv[0], argv);
		dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -ENOEXEC;
}

/*
 * Runs a program, and keeps the last line of its output, which says why it failed. There is a time
 * limit, because a driver that is loaded probes functions that other processes may block.
 */
static int run_program(char *said, int size, char *const argv[])
{
	char *text, *last;
	int ret;

	progress("%s %s", argv[0], argv[1]);
	ret = wait_for(MODULE_SECONDS, program_step, argv, &text);
	progress_done();

	if (text && *text && text[strlen(text) - 1] == '\n')
		text[strlen(text) - 1] = 0;
	last = text ? strrchr(text, '\n') : NULL;
	snprintf(said, size, "%s", last ? last + 1 : text ? text : "");
	if (ret == -ETIMEDOUT)
		snprintf(said, size, "%s has not ended in %d s", argv[0], MODULE_SECONDS);
	free(text);
	return ret;
}

static int load_flatiommu(struct tool *tool)
{
	char said[256], command[PATH_MAX + 128];
	char *argv[] = { "insmod", NULL, NULL };
	struct module_files files;

	module_find(&files);
	if (!*files.fit.path) {
		module_load_command(command, sizeof(command), &files);
		cure(tool, "%s", command);
		if (*files.unfit.path)
			return tool_fail(tool, -ENOEXEC, "flatiommu: %s is for %s, not for %s",
					 files.unfit.path, files.unfit.release, kernel_release());
		return tool_fail(tool, -ENOENT, "flatiommu: there is no module for %s%s", kernel_release(),
				 headers_are_missing() ? ", nor the kernel's headers to make one" : "");
	}
	if (files.fit.installed)
		argv[0] = "modprobe";
	argv[1] = files.fit.installed ? "flatiommu" : files.fit.path;
	if (run_program(said, sizeof(said), argv)) {
		cure(tool, "flatiommu doctor");
		return tool_fail(tool, -ENOEXEC, "flatiommu: cannot be loaded: %s", said);
	}
	return 0;
}

int module_load(struct tool *tool, const char *name)
{
	char said[256];
	char *argv[] = { "modprobe", (char *)name, NULL };

	if (module_is_loaded(name))
		return 0;
	if (!strcmp(name, "flatiommu"))
		return load_flatiommu(tool);
	if (run_program(said, sizeof(said), argv)) {
		cure(tool, "flatiommu doctor");
		return tool_fail(tool, -ENOEXEC, "%s: cannot be loaded: %s", name, said);
	}
	return 0;
}

static int unload_step(const void *arg, int answer)
{
	(void)answer;
	return syscall(SYS_delete_module, (const char *)arg, O_NONBLOCK) ? -errno : 0;
}

/* Tries more than once: another list or status may have /dev/flatiommu open for a moment. */
int module_unload(const char *name)
{
	const struct timespec moment = { .tv_nsec = 50 * 1000 * 1000 };
	int tries = strcmp(name, "flatiommu") ? 1 : 20, ret;

	while ((ret = wait_for(CHANGE_SECONDS, unload_step, name, NULL)) == -EWOULDBLOCK && --tries)
		nanosleep(&moment, NULL);
	return ret;
}
