#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Writes, discards and reads of one range at once: every word that is read was
# written to that very place, or is zero. On 1, 70 and 1024 pages: one page
# that all fight for, a tree of two levels, and one that grows and shrinks.
# New pages are not cleared by this VM's kernel: zeros are the driver's doing.
# Where there is a data race detector, it looks at more than it would otherwise.
# vm: -a "init_on_alloc=0 kcsan.skip_watch=1500"

set -u
. "$(dirname "$0")/lib.sh"

seconds=${MYBRD_RACE_SECONDS:-5}

for mode in $(modes); do
	for pages in 1 70 1024; do
		load_mode "$mode" size=16M
		said=$("$race" -p $pages -t "$seconds" /dev/mybrd 2>&1)
		status=$?
		is $status 0 "$mode: $pages pages for $seconds s, every word verified"
		diag "$said"
		is "$(pages mybrd)" 0 "$mode: $pages pages: all discarded in the end"
	done
	load_mode "$mode" size=16M blocksize=4096
	said=$("$race" -p 70 -t 2 /dev/mybrd 2>&1)
	is $? 0 "$mode: 70 pages in blocks of 4096 bytes"
	diag "$said"
done

done_testing
