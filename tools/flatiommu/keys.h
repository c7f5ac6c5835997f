/* SPDX-License-Identifier: MIT */
/* This machine's own keys, which sign modules. */
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
 * Gets the key that has signed @module. If that cannot be seen, if no key has, or if @module is
 * NULL: the key that DKMS uses. Returns whether a signature was seen.
 */
bool key_of(struct signing_key *key, const char *module);

/* Has firmware or shim the certificate? Also true if they have no readable list. */
bool key_is_known(const struct signing_key *key);

#endif
