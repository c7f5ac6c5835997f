/* SPDX-License-Identifier: MIT */
/* The data of status, as numbers in the format of OpenMetrics. */
#ifndef METRICS_H
#define METRICS_H

#include <json-c/json.h>

#include "tool.h"

/* A text function of show(). */
void metrics_text(const struct tool *tool, struct json_object *status);

#endif
