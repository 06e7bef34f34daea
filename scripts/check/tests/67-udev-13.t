#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The same with the udev and LVM of Debian 13
# in: check-all
# vm: -m 2048 -r 13

set -u
rounds=200
. "$(dirname "$0")/udev.sh"
