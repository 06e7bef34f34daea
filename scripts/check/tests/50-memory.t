#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Discarded, punched and unloaded memory is free again within a second.
# vm: -m 1024

set -u
. "$(dirname "$0")/memory.sh"

memory_test
done_testing
