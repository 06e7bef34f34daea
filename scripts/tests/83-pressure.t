#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Where memory is short: the nodes of a sparse disk do not eat the reserve, and a disk that
# is swapped to under global pressure takes what it is given.
# kernels: 6.1 6.12
# vm: -m 512

set -u
. "$(dirname "$0")/configfs.sh"

total=$(meminfo MemTotal)
echo -1000 >/proc/self/oom_score_adj
dmesg -n 3	# the kernel shows a call trace with each kill, and that is no bug
swapped_out() { awk '$1 == "pswpout" { print $2 }' /proc/vmstat; }

# hog MIB: so much memory, of which no two pages are the same
hog() {
	sh -c 'echo 1000 >/proc/self/oom_score_adj; exec perl -e "
		push @memory, pack(q(N), \$_) x (1 << 10) for 1 .. \$ARGV[0] << 8" "$0"' "$1"
}
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

	# A process that is too large, with swap on a disk: every page that is swapped out takes another,
	# and a node now and then, so that nothing is won. But each of them is taken, until swap is full
	# and the process is killed.
	target swap size=64M queue_mode="$mode"
	mkswap /dev/mybrd-swap >/dev/null
	ok "$mode: swap on it" swapon /dev/mybrd-swap
	marker "swap: begin $mode"
	before=$(swapped_out)
	hog $(($(meminfo MemAvailable) / 1024 + 100))
	is $? 137 "$mode: a process that is larger than the memory gets killed"
	in_range $(($(swapped_out) - before)) $((63 * 256)) $((100 * 256)) "$mode: when swap is full (swapped out: $(($(swapped_out) - before)) pages)"
	# 6.1 has a worker write what an mq disk is asked to, when many pages are under way.
	some=0
	[[ $mode != mq || $(uname -r) != 6.1.* ]] || some=8192
	in_range "$(counter mybrd-swap enospc)" 0 $some "$mode: no page was refused until then"
	in_range "$(log_since "swap: begin $mode" | grep -c 'Write-error')" 0 $((some ? 100 : 0)) "$mode: which the log says"
	ok "$mode: swap off" swapoff /dev/mybrd-swap
	remove swap
done
is "$(dmesg | bugs)" "" "the log shows no bug"
dmesg -n 7
done_testing
