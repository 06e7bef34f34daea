#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The same with LVM, which activates what is on a disk, and 200 rounds.
# in: check-all
# vm: -m 2048 -r more

set -u
rounds=200
. "$(dirname "$0")/udev.sh"
