#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The same as 61-torture.t on four CPUs: more threads at once in one place, and
# CPUs that the host takes away in the middle of a section. And the data race
# detector, where there is one, looks at more than it would otherwise.
# kernels: kunit-6.12
# vm: -c 4 -a kcsan.skip_watch=1500

set -u
. "$(dirname "$0")/torture.sh"

torture_test 4
done_testing
