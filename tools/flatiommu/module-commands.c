// SPDX-License-Identifier: MIT
/* Commands for cures that load flatiommu.ko, or build it first, by DKMS or from its source. */
#include <glob.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modules.h"
#include "packages.h"
#include "sysfs.h"

/* Does DKMS build by this dkms.conf for the running kernel? */
static bool builds_here(const char *config)
{
	static const char key[] = "BUILD_EXCLUSIVE_KERNEL=\"";
	char *text = file_text("%s", config), *pattern = text ? strstr(text, key) : NULL;
	bool builds = true;
	regex_t kernels;

	if (pattern) {
		pattern += strlen(key);
		pattern[strcspn(pattern, "\"\n")] = 0;
		if (!regcomp(&kernels, pattern, REG_EXTENDED | REG_NOSUB)) {
			builds = !regexec(&kernels, kernel_release(), 0, NULL, 0);
			regfree(&kernels);
		}
	}
	free(text);
	return builds;
}

/*
 * Finds the newest version of DKMS sources that a package has installed. Returns false if there
 * are none for the running kernel.
 */
static bool find_dkms(char *version, size_t size)
{
	static const char begin[] = "/usr/src/flatiommu-";
	bool builds = false;
	glob_t found;
	size_t i;

	if (glob("/usr/src/flatiommu-*/dkms.conf", 0, NULL, &found))
		return false;
	version[0] = 0;
	for (i = 0; i < found.gl_pathc; i++) {
		char this[64];

		snprintf(this, sizeof(this), "%s", found.gl_pathv[i] + strlen(begin));
		this[strcspn(this, "/")] = 0;
		if (strverscmp(this, version) < 0)
			continue;
		snprintf(version, size, "%s", this);
		builds = builds_here(found.gl_pathv[i]);
	}
	globfree(&found);
	return builds;
}

/*
 * Writes the packages that must be installed before a module can be built, as the beginning of a
 * command.
 */
static void install_first(char *buf, size_t size, bool dkms)
{
	char command[256];
	size_t len = 0;

	buf[0] = 0;
	if (headers_are_missing() && install_command(command, sizeof(command), KERNEL_HEADERS))
		len = snprintf(buf, size, "%s && ", command);
	if (dkms && !file_exists("/usr/sbin/dkms") && install_command(command, sizeof(command), DKMS))
		snprintf(buf + len, size - len, "%s && ", command);
}

void module_load_command(char *buf, size_t size, const struct module_files *files)
{
	char first[512], version[64];
	bool dkms;

	if (*files->fit.path) {
		snprintf(buf, size, "%s%s", files->fit.installed ? "modprobe flatiommu" : "insmod ",
			 files->fit.installed ? "" : files->fit.path);
		return;
	}
	dkms = find_dkms(version, sizeof(version));
	install_first(first, sizeof(first), dkms);
	snprintf(buf, size, "%s%s", first, dkms ? "dkms autoinstall && modprobe flatiommu" :
		 "make module && insmod module/flatiommu.ko");
}

void module_install_command(char *buf, size_t size)
{
	char first[512], version[64];
	bool dkms = find_dkms(version, sizeof(version));

	install_first(first, sizeof(first), dkms);
	if (dkms)
		snprintf(buf, size, "%sdkms autoinstall", first);
	else
		snprintf(buf, size, "%smake -C /lib/modules/%s/build M=$PWD/module modules_install", first,
			 kernel_release());
}

void module_trust_command(char *buf, size_t size)
{
	char first[512], version[64];
	bool dkms = find_dkms(version, sizeof(version));

	install_first(first, sizeof(first), dkms);
	if (dkms)
		snprintf(buf, size, "%secho LOCKDOWN=trust-signer >/etc/flatiommu-dkms.conf && "
			 "dkms build --force flatiommu/%s && dkms install --force flatiommu/%s", first,
			 version, version);
	else
		snprintf(buf, size, "%smake module LOCKDOWN=trust-signer", first);
}
