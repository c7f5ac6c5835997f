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
 * Gets the key of this machine that has signed @module, and returns true. If none has, if that
 * cannot be seen, or if @module is NULL: gets the key that DKMS uses, and returns false.
 */
bool key_of(struct signing_key *key, const char *module);

/*
 * Has firmware or shim the certificate? Also true if the certificate cannot be read, or the machine
 * has no EFI variables.
 */
bool key_is_known(const struct signing_key *key);

#endif
