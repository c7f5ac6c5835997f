// SPDX-License-Identifier: MIT
#include "keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packages.h"
#include "sysfs.h"
#include "tool.h"

#define EFI_VARIABLES "/sys/firmware/efi/efivars"
#define FRAMEWORK "/etc/dkms/framework.conf"
#define FRAMEWORK_MORE "/etc/dkms/framework.conf.d"

/* The key that DKMS makes, and the one that Ubuntu makes for DKMS. */
static const struct signing_key dkms_own = { "/var/lib/dkms/mok.pub", "/var/lib/dkms/mok.key" };
static const struct signing_key shim_own = {
	"/var/lib/shim-signed/mok/MOK.der", "/var/lib/shim-signed/mok/MOK.priv",
};

/* Reads the last NAME=value of a shell's file. @buf does not change if there is none. */
static void read_setting(char *buf, size_t size, const char *name, const char *path)
{
	char *text = file_text("%s", path), *line, *rest;
	size_t len = strlen(name);

	for (line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
		line += strspn(line, " \t");
		if (strncmp(line, name, len) || line[len] != '=')
			continue;
		line += len + 1;
		line += strspn(line, "\"'");
		snprintf(buf, size, "%.*s", (int)strcspn(line, "\"' \t#"), line);
	}
	free(text);
}

/* Reads the key in DKMS's configuration. DKMS reads its files in this order; the last counts. */
static void read_configured(struct signing_key *key)
{
	struct names names;
	char path[PATH_MAX];
	size_t i;

	memset(key, 0, sizeof(*key));
	read_setting(key->certificate, sizeof(key->certificate), "mok_certificate", FRAMEWORK);
	read_setting(key->private, sizeof(key->private), "mok_signing_key", FRAMEWORK);
	names_read(&names, FRAMEWORK_MORE);
	for (i = 0; i < names.n; i++) {
		const char *dot = strrchr(names.name[i], '.');

		if (!dot || strcmp(dot, ".conf"))
			continue;
		snprintf(path, sizeof(path), FRAMEWORK_MORE "/%s", names.name[i]);
		read_setting(key->certificate, sizeof(key->certificate), "mok_certificate", path);
		read_setting(key->private, sizeof(key->private), "mok_signing_key", path);
	}
	names_free(&names);
}

/* Reads a binary file, to be freed. Returns NULL if it cannot be read. */
static unsigned char *read_bytes(const char *path, size_t *length)
{
	FILE *file = fopen(path, "re");
	unsigned char *bytes = NULL;
	size_t room = 0;
	FILE *to;
	int c;

	*length = 0;
	to = file ? open_memstream((char **)&bytes, &room) : NULL;
	while (to && (c = getc(file)) != EOF)
		putc(c, to);
	if (to) {
		fclose(to);
		*length = room;
	}
	if (file)
		fclose(file);
	return bytes;
}

/* An element of DER, as certificates have it. It begins at @whole. */
struct element {
	const unsigned char *whole, *contents, *end;
};

static bool read_element(struct element *e, const unsigned char *at, const unsigned char *end)
{
	size_t length, n;

	e->whole = at;
	if (end - at < 2)
		return false;
	length = at[1];
	at += 2;
	if (length & 0x80) {
		n = length & 0x7f;
		if (n > 3 || (size_t)(end - at) < n)
			return false;
		for (length = 0; n; n--)
			length = length << 8 | *at++;
	}
	e->contents = at;
	e->end = at + length;
	return length <= (size_t)(end - at);
}

#define DER_VERSION 0xa0

/*
 * Has this certificate's key signed the module? The signature names the certificate by its issuer
 * and, directly after that, its serial number (RFC 5280 4.1, RFC 5652 10.2.4).
 */
static bool has_signed(const unsigned char *certificate, size_t length, const unsigned char *module,
		       size_t module_length)
{
	struct element outer, body, serial, algorithm, issuer;
	const unsigned char *end = certificate + length;
	unsigned char name[4096];
	size_t serial_size, issuer_size;

	if (!read_element(&outer, certificate, end) ||
	    !read_element(&body, outer.contents, outer.end) ||
	    !read_element(&serial, body.contents, body.end))
		return false;
	if (*serial.whole == DER_VERSION && !read_element(&serial, serial.end, body.end))
		return false;
	if (!read_element(&algorithm, serial.end, body.end) ||
	    !read_element(&issuer, algorithm.end, body.end))
		return false;
	serial_size = serial.end - serial.whole;
	issuer_size = issuer.end - issuer.whole;
	if (issuer_size + serial_size > sizeof(name))
		return false;
	memcpy(name, issuer.whole, issuer_size);
	memcpy(name + issuer_size, serial.whole, serial_size);
	return module && memmem(module, module_length, name, issuer_size + serial_size);
}

bool key_of(struct signing_key *key, const char *module)
{
	struct signing_key candidates[3];
	size_t n_module = 0, n, i;
	unsigned char *bytes = module ? read_bytes(module, &n_module) : NULL, *certificate;
	bool found = false, ubuntu = is_distribution("ubuntu");

	read_configured(&candidates[0]);
	candidates[1] = ubuntu ? shim_own : dkms_own;
	candidates[2] = ubuntu ? dkms_own : shim_own;
	memset(key, 0, sizeof(*key));
	for (i = 0; i < ARRAY_SIZE(candidates) && !found; i++) {
		if (!*candidates[i].certificate)
			continue;
		certificate = read_bytes(candidates[i].certificate, &n);
		found = certificate && has_signed(certificate, n, bytes, n_module);
		if (certificate && (found || !*key->certificate))
			*key = candidates[i];
		free(certificate);
	}
	free(bytes);
	return found;
}

bool key_is_known(const struct signing_key *key)
{
	/* shim's list, and firmware's */
	static const char *const lists[] = {
		EFI_VARIABLES "/MokListRT-605dab50-e046-4300-abb6-3dd810dd8b23",
		EFI_VARIABLES "/db-d719b2cb-3d3a-4596-a3bc-dad00e67656f",
	};
	size_t n_certificate, n, i;
	unsigned char *certificate = read_bytes(key->certificate, &n_certificate), *list;
	bool known = !certificate || !file_exists(EFI_VARIABLES);

	for (i = 0; i < ARRAY_SIZE(lists) && !known; i++) {
		list = read_bytes(lists[i], &n);
		known = list && memmem(list, n, certificate, n_certificate);
		free(list);
	}
	free(certificate);
	return known;
}
