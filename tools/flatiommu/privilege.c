// SPDX-License-Identifier: MIT
#include "privilege.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

void lack_text(char *buf, size_t size, int capability, const char *name)
{
	if (in_user_namespace())
		snprintf(buf, size, "this is a user namespace (LXC, rootless Podman), and %s "
			 "counts only outside of it: run it outside, or pass in a device that a "
			 "process outside has opened",
			 name);
	else if (prctl(PR_CAPBSET_READ, capability) != 1)
		snprintf(buf, size, "%s is missing, and nobody here can get it: start this "
			 "container or service with it (--cap-add %s, CapabilityBoundingSet=%s)",
			 name, name + strlen("CAP_"), name);
	else if (geteuid())
		snprintf(buf, size, "%s is missing: root has it, or a service with AmbientCapabilities=%s", name,
			 name);
	else
		snprintf(buf, size, "%s is missing, though root may have it here: it was dropped "
			 "before this was started", name);
}

int need_privilege(struct tool *tool, const char *command)
{
	char lack[400];

	if (geteuid() && !in_user_namespace()) {
		cure(tool, "sudo flatiommu %s", command);
		return tool_fail(tool, -EPERM, "%s: only root may", command);
	}
	if (!has_capability(CAP_SYS_RAWIO)) {
		lack_text(lack, sizeof(lack), CAP_SYS_RAWIO, "CAP_SYS_RAWIO");
		return tool_fail(tool, -EPERM, "%s: %s", command, lack);
	}
	if (access("/sys/bus/pci/drivers_probe", W_OK) && errno == EROFS)
		return tool_fail(tool, -EROFS, "%s: /sys is read-only, as in a container: do it on the host", command);
	return 0;
}
