/* SPDX-License-Identifier: MIT */
#define BIT(n) (1ul << (n))
