#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# udev of Debian 12: what is on a disk is known, and what needs a disk closed
# waits for it.

set -u
. "$(dirname "$0")/udev.sh"
