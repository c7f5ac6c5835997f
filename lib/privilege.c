// SPDX-License-Identifier: MIT
/* Why this process has no CAP_SYS_RAWIO. */
#include "capability.h"
#include "internal.h"

const char *why_no_rawio(void)
{
	if (in_user_namespace())
		return "this is a user namespace (LXC, rootless Podman), and CAP_SYS_RAWIO counts "
		       "only outside of it. Cure: run it outside, or import a device that a "
		       "process outside has opened (flatiommu_device_import)";
	if (has_capability(CAP_SYS_RAWIO))
		return NULL;
	if (!geteuid())
		return "root has no CAP_SYS_RAWIO here. Cure: give it to this container or service "
		       "(--cap-add SYS_RAWIO, CapabilityBoundingSet=)";
	return "this user has no CAP_SYS_RAWIO. Cure: run it as root, or with CAP_SYS_RAWIO "
	       "(AmbientCapabilities= of a service)";
}
