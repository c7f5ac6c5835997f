/* SPDX-License-Identifier: MIT */
/* Keys of this machine that sign modules. */
#ifndef KEYS_H
#define KEYS_H

#include <limits.h>
#include <stdbool.h>

/**
 * struct signing_key - a key, by its files
 * @certificate: file of the certificate, which firmware's list must have; "": there is no key
 * @private:	file of the private key, or "" if it is not known
 */
struct signing_key {
	char certificate[PATH_MAX];
	char private[PATH_MAX];
};

/*
 * Gets the key that has signed @module. If that cannot be seen, if no key has, or if @module is
 * NULL: the key that DKMS uses. Returns whether a signature was seen.
 */
bool key_of(struct signing_key *key, const char *module);

/* Has firmware or shim the certificate? Also true if they have no readable list. */
bool key_is_known(const struct signing_key *key);

#endif
