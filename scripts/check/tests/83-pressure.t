#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Where memory is short: the nodes of a sparse disk do not eat the reserve, and a disk that
# is swapped to under global pressure takes what it is given.
# kernels: 6.1 6.12
# vm: -m 512

set -u
. "$(dirname "$0")/configfs.sh"
. "$(dirname "$0")/swap.sh"

total=$(meminfo MemTotal)
echo -1000 >/proc/self/oom_score_adj
dmesg -n 3	# the kernel shows a call trace with each kill, and that is no bug

for mode in $(modes); do
	# One page in each leaf of the tree, more or less: a node of 576 bytes for each.
	load size=1M mem_limit=0
	no_udev
	target sparse size=1T queue_mode="$mode"
	sync
	echo 3 >/proc/sys/vm/drop_caches
	said=$(fio --name=sparse --filename=/dev/mybrd-sparse --direct=1 --ioengine=psync --rw=randwrite --bs=4k \
		--norandommap --randrepeat=0 --size=1T 2>&1)
	like "$said" "No space left on device" "$mode: writing onto 1 TiB at random stops with ENOSPC"
	pages=$(counter mybrd-sparse pages)
	in_range "$pages" $((total / 16)) $((total / 4)) "$mode: after a good part of the memory ($((pages / 256)) MiB of data)"
	# What the kernel calls reclaimable here is the nodes.
	left=$(($(meminfo MemAvailable) - $(meminfo SReclaimable)))
	ok "$mode: the rest of the system keeps its reserve ($left KiB; $(meminfo SReclaimable) KiB of slabs)" [ $left -gt $((total / 32)) ]
	discard /dev/mybrd-sparse
	settled mybrd-sparse
	remove sparse

	# Every page that is swapped out takes another on the disk, and each is taken; but where requests
	# wait for a worker, and many pages with them, a few are not.
	target swap size=64M queue_mode="$mode"
	swap_out "$mode" 260
	few=0
	[ "$mode" = bio ] || few=$((out / 20))
	in_range "$(counter mybrd-swap enospc)" 0 $few "$mode: none of it is refused"
	swap_in "$mode"
	ok "$mode: swap off" swapoff /dev/mybrd-swap
	remove swap
done
is "$(dmesg | bugs)" "" "the log shows no bug"
dmesg -n 7
done_testing
