#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Memory that is reserved: a disk with prealloc has all its pages when power=1 returns, keeps them,
# and needs no memory afterwards. fallocate -z reserves a range of any disk, which is what saves
# the log of an XFS that is full.
# kernels: 6.1 6.12
# vm: -m 512

set -u
. "$(dirname "$0")/configfs.sh"
. "$(dirname "$0")/swap.sh"

full="No space left on device"
total=$(meminfo MemTotal)
echo -1000 >/proc/self/oom_score_adj
load size=1M mem_limit=0
no_udev

# pages_of NAME: how many it has, and how many it ever gave back
pages_of() { echo "$(counter "mybrd-$1" pages) $(counter "mybrd-$1" frees)"; }

for mode in $(modes); do
	before=$(settled_memory)
	target a size=64M queue_mode="$mode" prealloc=1
	after=$(settled_memory)
	is "$(pages_of a) $(only /dev/mybrd-a '\0' 0 67108864)" "16384 0 0" "$mode: all pages are there, and read as zeros"
	in_range $((before - after)) 65000 70000 "$mode: they are memory: $((before - after)) KiB"
	fill /dev/mybrd-a x 0 67108864
	ok "$mode: a discard" discard -o 512 -l 1M /dev/mybrd-a
	is "$(only /dev/mybrd-a '\0' 512 1048576) $(only /dev/mybrd-a x 1049088 66060000)" "0 0" "$mode: reads as zeros, and nothing else does"
	ok "$mode: a hole" fallocate -p -o 2M -l 1M /dev/mybrd-a
	ok "$mode: a zeroing" fallocate -z -o 4M -l 1M /dev/mybrd-a
	is "$(only /dev/mybrd-a '\0' 2097152 1048576) $(only /dev/mybrd-a '\0' 4194304 1048576)" "0 0" "$mode: they do, too"
	is "$(pages_of a)" "16384 0" "$mode: no page went"
	ok "$mode: it grows" set_ a size 96M
	is "$(pages_of a)" "24576 0" "$mode: with its pages"
	set_ a mem_limit 100M
	refused "$mode: but not beyond its limit" "$full" set_ a size 112M
	is "$(get a size) $(pages_of a)" "100663296 $((24576)) $(counter mybrd-a frees)" "$mode: and is as it was"
	ok "$mode: it shrinks" set_ a size 32M
	is "$(counter mybrd-a pages)" 8192 "$mode: and gives back what lies beyond the end"
	ok "$mode: a reset" set_ a reset 1
	is "$(counter mybrd-a pages) $(only /dev/mybrd-a '\0' 0 33554432)" "8192 0" "$mode: makes zeros of it"

	# What does not fit
	mkdir $cfs/b
	set_ b queue_mode "$mode"
	set_ b prealloc 1
	set_ b size 8M
	set_ b mem_limit 4M
	logged
	refused "$mode: a disk beyond its limit" "$full" set_ b power 1
	ok "$mode: is not there" [ ! -e /dev/mybrd-b -a "$(get b power)" = 0 ]
	set_ b mem_limit 0
	set_ b size 4G
	refused "$mode: nor is one larger than the memory" "$full" set_ b power 1
	ok "$mode: the system keeps a reserve ($(meminfo MemAvailable) KiB)" [ "$(meminfo MemAvailable)" -gt $((total / 32)) ]
	set_ b size 8M
	ok "$mode: a smaller one is" set_ b power 1
	remove b

	# Who shares a page may have to copy it.
	mkdir $cfs/b
	set_ b clone_of a
	logged
	op put $cfs/b/prealloc 1
	refusal prealloc 1
	is "$wrong" "" "$mode: a clone has no prealloc"
	set_ b clone_of ''
	set_ b write_cache 1
	logged
	op put $cfs/b/prealloc 1
	refusal prealloc 1
	is "$wrong" "" "$mode: nor a disk with a write cache"
	set_ b write_cache 0
	set_ b clone_of a
	refused "$mode: a disk with it has no clone" "Invalid" set_ b power 1
	rmdir $cfs/b
	remove a

	# A task that is killed while it allocates leaves nothing.
	mkdir $cfs/b
	set_ b size 200M
	set_ b queue_mode "$mode"
	set_ b prealloc 1
	killed=0
	for try in {1..20}; do
		(printf 1 >$cfs/b/power) 2>/dev/null &
		pid=$!
		sleep "0.0$((try % 10))"
		kill -9 $pid 2>/dev/null
		wait $pid 2>/dev/null
		[ "$(get b power)" = 0 ] || { [ "$(counter mybrd-b pages)" = 51200 ] && set_ b power 0; continue; }
		((++killed))
	done
	diag "$mode: $killed of 20 were killed in time"
	ok "$mode: a task that is killed leaves no disk, or a whole one" [ ! -e /dev/mybrd-b ]
	ok "$mode: some were" [ $killed -gt 0 ]
	rmdir $cfs/b
	after=$(settled_memory)
	ok "$mode: all memory is back ($before KiB free, then $after)" [ "$after" -gt $((before - 8192)) ]
done

# Swap under global pressure: not one page is refused.
dmesg -n 3	# the kernel shows a call trace with each kill, and that is no bug
for mode in $(modes); do
	target swap size=128M queue_mode="$mode" prealloc=1
	swap_out "$mode" 220
	swap_in "$mode"
	is "$(counter mybrd-swap enospc) $(pages_of swap)" "0 32768 0" "$mode: no page was refused, and none went"
	ok "$mode: swap off" swapoff /dev/mybrd-swap
	remove swap
done
dmesg -n 7

# fallocate -z reserves a range of any disk.
for mode in $(modes); do
	target z size=64M mem_limit=16M queue_mode="$mode"
	ok "$mode: fallocate -z" fallocate -z -o 1M -l 8M /dev/mybrd-z
	is "$(counter mybrd-z pages) $(only /dev/mybrd-z '\0' 1048576 8388608)" "2048 0" "$mode: gives a range its pages"
	refused "$mode: if they are there" "$full" fallocate -z -o 16M -l 12M /dev/mybrd-z
	# Where zeroing fails, 6.1 writes zeros itself, in pieces.
	[[ $(uname -r) = 6.1.* ]] || is "$(counter mybrd-z pages)" 2048 "$mode: and none of them otherwise"
	discard -o 16M -l 16M /dev/mybrd-z
	fill /dev/mybrd-z x 33554432 8388608
	refused "$mode: when the disk is full" "$full" fill /dev/mybrd-z x 50331648 65536
	ok "$mode: the range still can be written" fill /dev/mybrd-z x 1048576 8388608
	ok "$mode: fallocate -p gives it back" fallocate -p -o 1M -l 8M /dev/mybrd-z
	is "$(counter mybrd-z pages)" 2048 "$mode: page by page"
	remove z
done

# mkfs.xfs zeroes its log so. A full XFS goes on when there is more memory.
if modprobe -q xfs; then
	for mode in $(modes); do
		target x size=512M mem_limit=96M queue_mode="$mode"
		ok "$mode: mkfs.xfs" mkfs.xfs -q /dev/mybrd-x
		ok "$mode: has the pages of its log ($(counter mybrd-x pages))" [ "$(counter mybrd-x pages)" -ge 16384 ]
		mount -t xfs /dev/mybrd-x /mnt
		cp -a /usr/lib/udev /mnt/ && sync -f /mnt
		wanted=$(sums /mnt/udev)
		refused "$mode: an XFS on a full disk" "$full|Input/output error" dd if=/dev/zero of=/mnt/large bs=1M count=64 conv=fsync
		for i in {1..200}; do echo "$i" >"/mnt/small.$i"; done 2>/dev/null
		sync -f /mnt 2>/dev/null
		ok "$mode: was refused pages ($(counter mybrd-x enospc))" [ "$(counter mybrd-x enospc)" -gt 0 ]
		ok "$mode: and did not shut down" ls /mnt/udev
		ok "$mode: a higher limit while it is mounted" set_ x mem_limit 0
		sync -f /mnt
		ok "$mode: it takes data" dd if=/dev/zero of=/mnt/more bs=1M count=32 conv=fsync
		ok "$mode: umount" timeout 120 umount /mnt
		ok "$mode: xfs_repair -n finds no fault" xfs_repair -n /dev/mybrd-x
		mount -t xfs /dev/mybrd-x /mnt
		is "$(sums /mnt/udev)" "$wanted" "$mode: what was synced is there"
		umount /mnt
		remove x
	done
fi
is "$(dmesg | bugs)" "" "the log shows no bug"
done_testing
