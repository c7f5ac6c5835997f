// SPDX-License-Identifier: MIT
/*
 * VF tokens. A program that opens a physical function on vfio-pci may set a UUID. Programs that
 * open its virtual functions must then give the same UUID (vfio_pci_core_match() in Linux).
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define EXAMPLE "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3"

static bool is_uuid(const char *text)
{
	size_t i;

	for (i = 0; i < strlen(EXAMPLE); i++)
		if (EXAMPLE[i] == '-' ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
			return false;
	return !text[i];
}

int read_token(struct flatiommu_device *device, const char *token)
{
	if (!token)
		token = secure_getenv("FLATIOMMU_VF_TOKEN");
	if (!token || !token[0])
		return 0;
	if (!is_uuid(token))
		return fail(device->flat, -EINVAL, "%s: the VF token \"%s\" is no UUID such as " EXAMPLE,
			    device->name, token);
	strcpy(device->token, token);
	return 0;
}

void token_bytes(const struct flatiommu_device *device, uint8_t bytes[16])
{
	const char *digit = device->token;
	unsigned int i, byte;

	for (i = 0; i < 16; i++, digit += 2) {
		digit += *digit == '-';
		sscanf(digit, "%2x", &byte);
		bytes[i] = (uint8_t)byte;
	}
}

/* Reads the address of the physical function, "" if this is one. */
static void read_pf(const struct flatiommu_device *device, char *pf, size_t size)
{
	char path[64], target[64];
	ssize_t length;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/physfn", device->function.bdf);
	length = readlink(path, target, sizeof(target) - 1);
	target[length > 0 ? length : 0] = 0;
	snprintf(pf, size, "%.20s", target[0] ? strrchr(target, '/') + 1 : "");
}

int explain_token(struct flatiommu_device *device, const char *step)
{
	const char *cure = device->token[0] ? "another token than this one" :
			   "FLATIOMMU_VF_TOKEN=UUID in the environment";
	int err = device->token[0] ? -EKEYREJECTED : -ENOKEY;
	char pf[24];

	read_pf(device, pf, sizeof(pf));
	if (!pf[0])
		return fail(device->flat, err, "%s: %s: %s: its virtual functions are open, so it "
			    "needs the VF token that they were opened with. Cure: %s", device->name,
			    step, ERRNO(-EACCES), cure);
	return fail(device->flat, err, "%s: %s: %s: its physical function, %s, is bound to "
		    "vfio-pci, so it needs the VF token with which that one was opened. Cure: %s",
		    device->name,
		    step, ERRNO(-EACCES), pf, cure);
}
