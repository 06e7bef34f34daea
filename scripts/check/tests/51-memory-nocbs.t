#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The same as 50-memory.t where RCU callbacks run in kthreads: CONFIG_RCU_LAZY
# may hold those that nobody asked to hurry for ten seconds.
# vm: -m 1024 -a rcu_nocbs=all

set -u
. "$(dirname "$0")/memory.sh"

ok "callbacks are offloaded in this kernel" grep -q '^rcuo' /proc/[0-9]*/comm
memory_test
done_testing
