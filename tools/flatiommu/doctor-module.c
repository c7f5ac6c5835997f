// SPDX-License-Identifier: MIT
/* Checks of the machine: flatiommu.ko, the key that it is signed with, and lockdown. */
#include <stdio.h>
#include <string.h>

#include "doctor.h"
#include "keys.h"
#include "ko.h"
#include "modules.h"
#include "packages.h"
#include "sysfs.h"

#define SECURE_BOOT "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

void check_lockdown(struct doctor *doctor)
{
	char mode[64], secure[8] = "", command[1024];
	struct signing_key key;

	if (file_read(mode, sizeof(mode), "/sys/kernel/security/lockdown")) {
		if (file_exists("/sys/kernel/security/lockdown"))
			say(doctor, UNSEEN, "only root can see whether the kernel is locked down");
		else
			say(doctor, OK, "this kernel has none, or securityfs is not mounted");
		return;
	}
	if (strstr(mode, "[none]")) {
		say(doctor, OK, "off");
		return;
	}
	file_read(secure, sizeof(secure), SECURE_BOOT);
	key_of(&key, NULL);
	module_trust_command(command, sizeof(command));
	mend_here(doctor, "%s", command);
	say(doctor, PROBLEM,
	    "the kernel is locked down%s: claims fail, by design, unless the module was built for it, and signed%s%s",
	    secure[4] == 1 ? ", as Secure Boot is on" : "",
	    *key.certificate ? "; the key here is " : "", key.certificate);
}

static bool is_enforced(void)
{
	char enforce[8], lockdown[64];

	file_read(enforce, sizeof(enforce), "/sys/module/module/parameters/sig_enforce");
	file_read(lockdown, sizeof(lockdown), "/sys/kernel/security/lockdown");
	return *enforce == 'Y' || (*lockdown && !strstr(lockdown, "[none]"));
}

/* The cure signs the module with the machine's key, or with one that is still to be made. */
static void say_unsigned(struct doctor *doctor, const char *module, const char *load)
{
	struct signing_key key;

	key_of(&key, NULL);
	mend(doctor, "/lib/modules/%s/build/scripts/sign-file sha256 %s %s %s && %s",
	     kernel_release(), *key.private ? key.private : "MOK.key",
	     *key.certificate ? key.certificate : "MOK.crt", module, load);
	say(doctor, PROBLEM, "%s is not signed, and this kernel loads signed modules only", module);
}

/* Reports a module that is signed with a key unknown to firmware. The cure imports the key. */
static bool say_unknown_key(struct doctor *doctor, const char *module)
{
	struct signing_key key;
	char install[256] = "";

	/* A module that DKMS has compressed does not show who has signed it. */
	if (!key_of(&key, module) && !strstr(module, "/updates/dkms/"))
		return false;
	if (!*key.certificate || key_is_known(&key))
		return false;
	if (!file_exists("/usr/bin/mokutil"))
		install_command(install, sizeof(install), MOKUTIL);
	mend(doctor, "%s%smokutil --import %s", install, *install ? " && " : "", key.certificate);
	say(doctor, PROBLEM,
	    "%s is signed with the key of %s, which this machine does not know: import it by mokutil and reboot",
	    module, key.certificate);
	return true;
}

static void say_missing(struct doctor *doctor, const struct module_files *files)
{
	const struct module_file *unfit = &files->unfit;
	char headers[160] = "";

	if (!*files->fit.path && headers_are_missing())
		snprintf(headers, sizeof(headers),
			 "; the kernel's headers (/lib/modules/%.80s/build) are missing, too", kernel_release());
	if (*unfit->path)
		say(doctor, PROBLEM, "%s is built for %s, and %s runs%s", unfit->path,
		    *unfit->release ? unfit->release : "another kernel", kernel_release(), headers);
	else
		say(doctor, PROBLEM, "there is no flatiommu.ko for %s; make it from its source%s",
		    kernel_release(), headers);
}

void check_module(struct doctor *doctor)
{
	char command[PATH_MAX + 640];
	struct module_files files;

	if (flat_is_loaded()) {
		char loaded[64] = "";

		file_read(loaded, sizeof(loaded), "/sys/module/flatiommu/version");
		module_find(&files);
		if (*files.fit.version && strcmp(files.fit.version, loaded)) {
			mend(doctor, "flatiommu unbind --all && modprobe -r flatiommu && modprobe flatiommu");
			say(doctor, WARNING,
			    "flatiommu %s is loaded, and %s is installed: it is used after all functions were given back and the module was loaded again",
			    loaded, files.fit.version);
			return;
		}
		say(doctor, OK, "flatiommu is loaded; %u functions are claimed",
		    doctor->behind[BEHIND_FLATIOMMU]);
		return;
	}
	if (!is_wanted(doctor)) {
		say(doctor, OK, "not loaded, and not needed beside an IOMMU");
		return;
	}
	if (file_number(0, "/proc/sys/kernel/modules_disabled")) {
		say(doctor, PROBLEM,
		    "flatiommu is not loaded, and this kernel loads no module any more (kernel.modules_disabled) before it is rebooted");
		return;
	}
	module_find(&files);
	if (!*files.fit.path && modules_are_missing()) {
		say(doctor, PROBLEM,
		    "there is no flatiommu.ko for %s, nor any other module: a newer kernel was installed since it was booted, or this is a container",
		    kernel_release());
		return;
	}
	module_load_command(command, sizeof(command), &files);
	if (*files.fit.path)
		mend(doctor, "%s", command);
	else
		mend_here(doctor, "%s", command);
	if (*files.unfit.path || !*files.fit.path)
		say_missing(doctor, &files);
	else if (!files.fit.is_signed && is_enforced())
		say_unsigned(doctor, files.fit.path, command);
	else if (is_enforced() && say_unknown_key(doctor, files.fit.path))
		return;
	else if (*files.fit.release && strcmp(files.fit.release, kernel_release()))
		say(doctor, WARNING,
		    "%s is built for %s; %s loads it only if its symbols are the same",
		    files.fit.path, files.fit.release, kernel_release());
	else
		say(doctor, WARNING, "flatiommu is not loaded; bind loads it");
}
