#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Where the driver meets the rest of the kernel: plugs and merged requests, clones of
# device mapper and md, io_uring, libaio, the page cache, loop devices. Random stacks,
# random operations, power cuts among them, everything that is read compared with a model.
# Seeds begin at 1, or at MYBRD_SEAMS_SEED; a long run begins somewhere else each time. Nine
# of them have met each stack.
# vm: -a init_on_alloc=0

set -u
. "$(dirname "$0")/configfs.sh"

long=${MYBRD_SEAMS_SECONDS:-}
seconds=${long:-40}
seed=${MYBRD_SEAMS_SEED:-${long:+$(date +%s)}}
log=/tmp/seams.log
modes=$(modes | tr ' ' ,)

load size=1M
no_udev

# A file and not a pipe: a task that hangs would keep a pipe open. What the file says is told
# at once, in case that the whole machine hangs.
"$payload/seams" --seed "${seed:-1}" --seconds "$seconds" --cases 9 --modes "$modes" >$log 2>&1 &
seams=$!
tail -n +1 -f --pid=$seams $log | sed -u 's/^/# /'
wait $seams
status=$?
is $status 0 "$modes: all that was read in $seconds s was right, and nothing hangs"

# counted NAME: what the program says of it
counted() { grep -o " $1=[0-9.]*" $log | sed 's/.*=//'; }

left_out=$(sed -n 's/^seams: left out: *//p' $log)
if debug_kernel; then
	diag "left out: $left_out"
else
	is "$left_out" nothing "no stack is left out"
fi
[ "$left_out" != nothing ] || left_out=
wanted=(operations ios bytes compared)
for mode in $(modes); do wanted+=("$mode"); done
for what in "${wanted[@]}"; do
	in_range "$(counted "$what")" 1 999999999999 "$what: $(counted "$what")"
done
# Each kind, if it did not end early; a debug kernel has no time for many cases.
if [ $status = 0 ] && ! debug_kernel; then
	wanted=(plain dm-linear dm-stripe md-raid0 md-raid5 loop loop-direct sync libaio io_uring
		polled mmap fsync flsbuf discard zeroout punch zero-range race grow shrink cycle
		buffered vectored fixed linked nowait eagain cloned cached flushes fua cut lost kept)
	[[ $modes != *mq* ]] || wanted+=(scheduler merges)
	for what in "${wanted[@]}"; do
		[[ " $left_out " = *" $what "* ]] ||
			in_range "$(counted "$what")" 1 999999999999 "$what: $(counted "$what")"
	done
fi
done_testing
