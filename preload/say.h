/* SPDX-License-Identifier: MIT */
#ifndef PRELOAD_SAY_H
#define PRELOAD_SAY_H

/* A line on standard error, without a newline; of many the first ones. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
