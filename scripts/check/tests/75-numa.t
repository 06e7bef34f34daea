#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Whose memory it is on a machine with two nodes: home_node says, or the CPU
# that writes.
# vm: -m 1024 -q -object -q memory-backend-ram,id=m0,size=512M -q -object -q memory-backend-ram,id=m1,size=512M -q -numa -q node,nodeid=0,cpus=0,memdev=m0 -q -numa -q node,nodeid=1,cpus=1,memdev=m1

set -u
. "$(dirname "$0")/configfs.sh"

is "$(cat /sys/devices/system/node/online)" 0-1 "the machine has two nodes"
is "$(cat /sys/devices/system/node/node?/cpulist | xargs)" "0 1" "with a CPU each"

load size=64M
no_udev
echo 1000000 >/proc/sys/vm/percpu_pagelist_high_fraction
mib=64

free_of() { awk '$3 == "MemFree:" { print $4 }' "/sys/devices/system/node/node$1/meminfo"; }

# comes_from NODE DESCRIPTION CPU: what a process on the CPU writes comes from the node
comes_from() {
	local node=$1 what=$2 cpu=$3 before=() taken=()
	echo 3 >/proc/sys/vm/drop_caches
	sleep 0.2
	before=("$(free_of 0)" "$(free_of 1)")
	taskset -c "$cpu" dd if=/dev/zero of=/dev/mybrd-a bs=1M count=$mib oflag=direct status=none
	taken=($((before[0] - $(free_of 0))) $((before[1] - $(free_of 1))))
	in_range "${taken[node]}" $((mib * 1024 * 15 / 16)) $((mib * 1024 * 5 / 4)) \
		"$what: $mib MiB come from node $node (${taken[node]} KiB)"
	in_range "${taken[1 - node]}" $((-mib * 128)) $((mib * 128)) "$what: and none from the other (${taken[1 - node]} KiB)"
}

for mode in $(modes); do
	for node in 0 1; do
		target a size=$((mib * 2))M home_node=$node queue_mode="$mode"
		comes_from $node "$mode, home_node=$node, written on CPU $((1 - node))" $((1 - node))
		remove a
	done
done

# The writer's own node. (With mq, any CPU of the hardware queue may do the writing.)
for cpu in 0 1; do
	target a size=$((mib * 2))M home_node=-1
	comes_from $cpu "home_node=-1, written on CPU $cpu" $cpu
	remove a
done

mkdir $cfs/a
bad_values $cfs/a/home_node home_node 2 63 1023 1024 99999999999 -2 01x node1 0-1
is "$wrong" "" "a node that is not there: EINVAL and one line"
is "$(get a home_node)" -1 "and nothing has changed"
rmdir $cfs/a
done_testing
