/* SPDX-License-Identifier: MIT */
/* Filters of tc, which take frames from a network interface, or send them to it. */
#ifndef FILTERS_H
#define FILTERS_H

#include <stdbool.h>

/* Has the interface filters for what it receives or sends? @interface is its index. */
bool has_filters(unsigned int interface);

/* Does an action redirect or mirror frames to the interface? */
bool is_redirected_to(unsigned int interface);

#endif
