#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A live target changes its size: growing works at any time and shows at once;
# shrinking needs the disk to itself, frees exactly what lies beyond the new
# end, and a later grow reads zeros there.

set -u
. "$(dirname "$0")/configfs.sh"

load size=1M
no_udev
head -c 1M /dev/urandom >/tmp/random

bytes() { echo "$(get a size) $(blockdev --getsize64 /dev/mybrd-a) $(($(cat /sys/block/mybrd-a/size) * 512))"; }

resize() {
	local mode=$1 size sizes pages=256 wrong=''

	# With a file system on it
	target a size=64M queue_mode="$mode"
	mkfs.ext4 -q -F /dev/mybrd-a
	mount /dev/mybrd-a /mnt
	cp /tmp/random /mnt/
	ok "$mode: size=128M on a mounted disk" set_ a size 128M
	is "$(bytes)" "134217728 134217728 134217728" "$mode: the disk has the new size at once"
	ok "$mode: resize2fs while it is mounted" resize2fs /dev/mybrd-a
	ok "$mode: the file system has the new size" [ "$(df -m --output=size /mnt | tail -n 1)" -gt 100 ]
	refused "$mode: shrinking a mounted disk is refused" "busy" set_ a size 64M
	is "$(bytes)" "134217728 134217728 134217728" "$mode: and changes nothing"
	dd if=/dev/zero of=/mnt/more bs=1M count=70 status=none
	umount /mnt
	ok "$mode: what was there is intact" fsck.ext4 -fn /dev/mybrd-a
	mount /dev/mybrd-a /mnt
	ok "$mode: and reads the same" cmp /tmp/random /mnt/random
	umount /mnt
	remove a

	# Open, and a partition open
	target a size=8M queue_mode="$mode"
	exec {fd}</dev/mybrd-a
	refused "$mode: shrinking an open disk is refused" "busy" set_ a size 4M
	ok "$mode: growing one is not" set_ a size 16M
	is "$(blockdev --getsize64 /dev/mybrd-a)" 16777216 "$mode: the open disk is larger"
	ok "$mode: and takes data at its new end" fill /dev/mybrd-a x 16711680 65536
	exec {fd}>&-
	printf 'label: gpt\nstart=1M,size=14M\n' | sfdisk -q --no-tell-kernel /dev/mybrd-a
	blockdev --rereadpt /dev/mybrd-a
	exec {fd}</dev/mybrd-a1
	refused "$mode: shrinking while a partition is open is refused" "busy" set_ a size 4M
	exec {fd}>&-

	# A partition that reaches beyond the new end has nothing there.
	discard /dev/mybrd-a1
	ok "$mode: shrinking under a partition that nobody has open" set_ a size 4M
	before=$(counter mybrd-a pages)
	refused "$mode: the partition takes no data beyond the disk's end" "error|No space" \
		fill /dev/mybrd-a1 x 12582912 65536
	is "$(counter mybrd-a pages)" "$before" "$mode: and no page is there"
	remove a

	# Page by page. What is written is 256 pages; the model is a file.
	target a size=1M queue_mode="$mode"
	dd if=/tmp/random of=/dev/mybrd-a bs=64k oflag=direct status=none
	cp /tmp/random /tmp/model
	is "$(counter mybrd-a pages) $(counter mybrd-a inserts) $(counter mybrd-a frees)" "256 256 0" "$mode: 1 MiB is 256 pages"
	sizes="524288 1048576 42496 4096000 42496 45056 512 1048576"
	for _ in {1..12}; do sizes+=" $(((RANDOM * 32768 + RANDOM) % 4096 * 512 + 512))"; done
	for size in $sizes; do
		set_ a size "$size" || wrong+="size=$size failed; "
		[ "$pages" -le $(((size + 4095) / 4096)) ] || pages=$(((size + 4095) / 4096))
		truncate -s "$size" /tmp/model
		settled mybrd-a
		is "$(bytes) $(counter mybrd-a pages) $(counter mybrd-a frees)" "$size $size $size $pages $((256 - pages))" \
			"$mode: size=$size leaves $pages pages, the rest is freed"
		dd if=/dev/mybrd-a bs=512k iflag=direct status=none | cmp - /tmp/model || wrong+="$size: contents differ; "
		cmp /dev/mybrd-a /tmp/model || wrong+="$size: contents differ in the page cache; "
	done
	is "$wrong" "" "$mode: after each step it reads as a file that was truncated alike"
	remove a

	# The last page of a disk that ends inside one
	target a size=$((4096 * 3)) queue_mode="$mode"
	fill /dev/mybrd-a x 0 12288
	set_ a size $((4096 + 1536))
	settled mybrd-a
	is "$(counter mybrd-a pages)" 2 "$mode: a disk that ends inside a page keeps that page"
	set_ a size 12288
	is "$(only /dev/mybrd-a x 0 5632) $(only /dev/mybrd-a '\0' 5632 6656)" "0 0" \
		"$mode: and reads zeros from its old end on when it grows"
	is "$(counter mybrd-a pages)" 2 "$mode: growing allocates nothing"
	one_line=$(set_ a size 1000 2>&1)
	like "$one_line" "Invalid argument" "$mode: a size that is no multiple of the block size is refused"
	is "$(bytes)" "12288 12288 12288" "$mode: and changes nothing"
	remove a
}

for mode in $(modes); do resize "$mode"; done
done_testing
