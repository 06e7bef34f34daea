#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A load that fails half-way leaves nothing: the allocations of an insmod with two
# disks fail, one in every load, from the first to the last of the module's own. They
# are many, so that only each sixth part of a disk has one that does, or each
# MYBRD_FAIL_STEPth. Unloading takes some, too, and never fails. Needs fault injection, so
# it runs on the debug kernel.
# kernels: kunit-6.12

set -u
. "$(dirname "$0")/configfs.sh"

any_allocation_may_fail
modprobe -q configfs || true
udev_pause
traces() {
	local file
	for file in /sys/module/mybrd /dev/mybrd /dev/mybrd-1 "$debugfs" $cfs; do
		[ ! -e "$file" ] || printf '%s ' "$file"
	done
}

# unload_ [NTH]: with that allocation failing. Who has a disk open for a moment holds the module.
unload_() {
	for _ in {1..50}; do
		failing "${1:-0}" unload mybrd && return
		sleep 0.05
	done
	return 1
}
# allocations PARAMETERS: sets $error, where there is one, and $made to how many a load makes
allocations() {
	error=
	failing 1000000 load "$ko" "$1" || error=$said
	made=$((1000000 - left))
	[ -n "$error" ] || unload_ || error=$said
}
state() {
	state=gone
	{ read -r state </sys/module/mybrd/initstate; } 2>/dev/null
}

# opener FILE: open it as soon as it is there, and tell where the load then fails. It is not kept
# for long, as a module that is in use stays.
opener() {
	local state
	while :; do
		op open "$1" || { op nap 1; continue; }
		state
		[ "$state" = live ] || sleep 0.2
		state
		[ "$state" = live ] || printf ' %s:%s' "$1" "$state" >>/tmp/opened
		op close
		sleep 0.3
	done
}

failing_loads() {
	local mode=$1 step=${2:-} params="size=1M queue_mode=$1 nr_devices=2" one two disk begin end error made missed
	local openers=() file nth loads=0 refused=0 wrong='' left_behind='' least unloads=0
	allocations "$params"	# what the kernel does once only
	allocations "size=1M queue_mode=$mode"
	one=$made
	allocations "$params"
	two=$made
	disk=$((two - one))
	# A load that is refused for its parameters takes what the kernel needs before the module begins,
	# and a little after it. That is not the module's: the kernel warns where some of it fails.
	allocations "size=0"
	begin=$made
	((begin <= one - disk)) || begin=$((one - disk))
	begin=$((begin - 10))
	diag "$mode: a load makes $one allocations with one disk, $two with two, $begin of them the kernel's own"
	is "$error" EINVAL "$mode: a bad parameter is refused"
	ok "$mode: there are allocations that can fail" [ $begin -gt 0 -a $disk -gt 20 ]
	# Somebody opens what there is as soon as it is there. Nobody gets anything of a load that fails,
	# which could not end while they keep a disk, and does not wait for them to close a file.
	rm -f /tmp/opened
	for file in /dev/mybrd "$debugfs/targets" "$debugfs/target/mybrd"; do
		opener "$file" &
		openers+=($!)
	done
	step=${step:-$((disk / 6))}
	# The last few come and go with what the kernel has at hand: the end is where one is missed.
	for ((nth = begin + 1; nth <= 2 * two; nth += step)); do
		if failing $nth load "$ko" "$params"; then
			missed=$left
			unload_ || { wrong+=" rmmod $said:$nth"; break; }
			[ "$missed" = 0 ] || break
		else
			((++refused))
			# device_add() makes an EINVAL of some
			[[ $left = 0 && $said =~ ^(ENOMEM|EINVAL)$ ]] || wrong+=" $said:$nth"
			file=$(traces)
			left_behind+=${file:+" $file:$nth"}
		fi
		((++loads))
	done
	kill -KILL "${openers[@]}"
	wait "${openers[@]}" 2>/dev/null
	is "$(cat /tmp/opened 2>/dev/null)" "" "$mode: nobody opened a disk or a file of a load that was refused"
	diag "$loads allocations failed, $refused times the load did"
	end=$((begin + loads * step))
	in_range $end $((two - disk / 2 + 1)) $((two + disk / 2 - 1)) \
		"$mode: each allocation in turn failed, up to the last, in steps of $step"
	# Without some of what mq has in debugfs a load goes on.
	least=$((loads / 2))
	[ "$mode" = bio ] || least=$((loads / 5))
	in_range $refused $((least + 1)) $loads "$mode: many of them made the load fail"
	is "$wrong" "" "$mode: every refusal was ENOMEM (or an EINVAL), and what got by unloads"
	is "$left_behind" "" "$mode: nothing is left of a load that was refused"

	wrong=
	for ((nth = 1; nth <= 1000; nth += 5)); do
		op load "$ko" "$params" && unload_ $nth || wrong+=" $said:$nth"
		missed=$left
		file=$(traces)
		wrong+=${file:+" $file:$nth"}
		[ -z "$wrong" ] || break
		((++unloads))
		[ "$missed" = 0 ] || break
	done
	diag "$unloads times an allocation of rmmod failed"
	is "$wrong" "" "$mode: unloading ends, whichever allocation fails, and leaves nothing"
	in_range $unloads 2 1000 "$mode: and some did"
}
failing_loads bio "${MYBRD_FAIL_STEP:-}"
failing_loads mq
udev_resume

load nr_devices=3 size=1M
ok "and a load with no failure works" [ -b /dev/mybrd-2 ]
done_testing
