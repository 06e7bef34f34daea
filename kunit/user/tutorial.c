// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's tutorial of RCU, as it is, in user space
 *
 * Usage: tutorial [CASE]
 *
 * Prints TAP.
 */
#include "kernel.h"

#include "../patterns.c"
