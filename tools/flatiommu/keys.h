/* SPDX-License-Identifier: MIT */
/* Keys of this machine's own that modules are signed with. */
#ifndef KEYS_H
#define KEYS_H

#include <limits.h>
#include <stdbool.h>

/**
 * struct signing_key - a key, by its files
 * @certificate: what firmware's list is to have; "": there is no key
 * @private:	what signs, where that is known
 */
struct signing_key {
	char certificate[PATH_MAX];
	char private[PATH_MAX];
};

/*
 * The one that has signed @module or, where that cannot be seen, or nothing has, and with NULL, the one
 * that DKMS takes. Returns whether it was seen to have signed.
 */
bool key_of(struct signing_key *key, const char *module);

/* Has firmware or shim the certificate? True also where they have no list that can be read. */
bool key_is_known(const struct signing_key *key);

#endif
