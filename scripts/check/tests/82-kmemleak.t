#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A thousand targets are made, written, read, discarded, resized and removed, and
# nothing that was allocated for them is lost: kmemleak, which looks for memory that
# nobody points to, finds none; nor where an allocation fails while one is made. Data
# pages are not its business; they are counted.
# in: check-all
# vm: -t 900 -m 512 -a kmemleak=on

set -u
. "$(dirname "$0")/configfs.sh"

leaks=/sys/kernel/debug/kmemleak
# scanned: twice, as what is seen once may be on its way from one list to another; refused where it is off
scanned() { echo scan >"$leaks" && sleep 6 && echo scan >"$leaks"; }
ok "the kernel has kmemleak, and it is on" scanned
echo clear >$leaks

load size=1M
no_udev
# A removal waits for grace periods most of its time: four go on side by side.
cycles=1000 processes=4
# cycle NAME N: the Nth life of a target; says what went wrong
cycle() {
	local dir=$cfs/$1 device=/dev/mybrd-$1 value=$(($2 % 255 + 1)) mode=bio
	(($2 % 2)) || mode=mq
	op mkdir "$dir" && op put "$dir/size" 1M && op put "$dir/queue_mode" $mode && op put "$dir/power" 1 &&
		op write "$device" 0 303104 $value && op discard "$device" 65536 65536 &&
		op check "$device" 0 65536 $value && op check "$device" 65536 65536 0 &&
		op put "$dir/size" 2M && op put "$dir/power" 0 && op rmdir "$dir" && return
	echo "# life $2 of $1: $said"
	return 1
}
pids=()
for ((process = 1; process <= processes; process++)); do
	for ((i = 1; i <= cycles / processes; i++)); do
		cycle leak$process $i || exit
	done &
	pids+=($!)
done
failed=0
for pid in "${pids[@]}"; do
	wait "$pid" || ((++failed))
done
is $failed 0 "$cycles targets come, work and go"

any_allocation_may_fail
refused=0 wrong=
for mode in bio mq; do
	left=0
	for ((nth = 1; ; nth += 5)); do
		op mkdir $cfs/fail && op put $cfs/fail/queue_mode $mode || wrong+=" $mode, $nth: $said"
		failing $nth put $cfs/fail/power 1
		if [ "$said" != ok ]; then
			((++refused))
			[[ $left = 0 && $said =~ ^(ENOMEM|EINVAL)$ ]] || wrong+=" $mode, $nth: $said, $left left"
		fi
		op put $cfs/fail/power 0
		op rmdir $cfs/fail || wrong+=" rmdir: $said"
		[ "$left$wrong" = 0 ] || break
	done
done
diag "$refused targets did not come up"
is "$wrong" "" "targets that do not come up for want of memory"
in_range $refused 21 999999 "and there are enough of those"
sleep 6
ok "kmemleak looks" scanned
is "$(grep -c mybrd $leaks)" 0 "no memory of them is lost"
unload
for _ in 1 2 3; do
	load size=1M nr_devices=3
	unload
done
sleep 6
ok "kmemleak looks again" scanned
is "$(cat $leaks)" "" "nothing is lost by loading and unloading, nor any other memory"
done_testing
