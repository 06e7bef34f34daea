#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Readers, writers, discarders, resizers, and targets and clones that come and
# go, all at once, on the driver's own functions: no page is seen after it was
# freed, no word that nobody wrote, no target after its memory went, and no
# reader is overtaken by a grace period. A clone has what its origin had at one
# moment, and then what its own writer leaves there. Kernels without KUnit do not export the functions.
# kernels: kunit-6.12

set -u
. "$(dirname "$0")/torture.sh"

torture_test 2
done_testing
