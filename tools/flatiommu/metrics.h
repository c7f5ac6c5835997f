/* SPDX-License-Identifier: MIT */
/* What status knows, as numbers in the text of OpenMetrics. */
#ifndef METRICS_H
#define METRICS_H

#include <json-c/json.h>

#include "tool.h"

/* For show() */
void metrics_text(const struct tool *tool, struct json_object *status);

#endif
