/* SPDX-License-Identifier: MIT */
#include <string.h>

#define str_has_prefix(s, prefix) (strncmp(s, prefix, strlen(prefix)) ? 0 : strlen(prefix))
