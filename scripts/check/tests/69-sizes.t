#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Sizes that a disk may say it has: logical blocks up to 64 KiB where the kernel allows that,
# physical blocks from 512 bytes, and a best size of an I/O.

set -u
. "$(dirname "$0")/configfs.sh"

load size=1M
no_udev
queue=/sys/block/mybrd-a/queue
large=()

# Blocks that are larger than a page
mkdir $cfs/a
set_ a size 64M
for size in 8192 16384 32768 65536; do
	[ $size -gt "$page" ] || continue
	if set_ a blocksize $size 2>/dev/null; then
		large+=("$size")
	else
		logged
		op put $cfs/a/blocksize $size
		refusal blocksize $size
		is "$wrong" "" "blocksize=$size is refused: this kernel has no blocks larger than a page"
		like "$line" "from 512 to $page" "and the log says what is allowed"
	fi
done
rmdir $cfs/a
diag "blocks that are larger than a page: ${large[*]:-none}"

for mode in $(modes); do
	for size in "${large[@]}"; do
		target a size=64M blocksize="$size" queue_mode="$mode"
		is "$(cd $queue && cat logical_block_size physical_block_size discard_granularity | xargs)" "$size $size $size" \
			"$mode, blocksize=$size: the disk says so"
		fill /dev/mybrd-a x "$size" "$size"
		is "$(only /dev/mybrd-a x "$size" "$size") $(only /dev/mybrd-a '\0' 0 "$size")" "0 0" "$mode: a block is written and read"
		is "$(counter mybrd-a pages)" $((size / page)) "$mode: and takes $((size / page)) pages"
		refused "$mode: half a block is refused" "Invalid argument" \
			dd if=/dev/zero of=/dev/mybrd-a oflag=direct bs=$((size / 2)) count=1 conv=notrunc
		printf buffered | dd of=/dev/mybrd-a bs=1 seek=$((3 * size + 5)) conv=notrunc,fsync status=none
		is "$(dd if=/dev/mybrd-a bs="$size" skip=3 count=1 iflag=direct status=none | tr -d '\0')" buffered \
			"$mode: a part of one, through the page cache, is not"
		discard -o "$size" -l "$size" /dev/mybrd-a
		is "$(only /dev/mybrd-a '\0' "$size" "$size") $(counter mybrd-a pages)" "0 $((size / page))" "$mode: a block is discarded"
		remove a

		# What was not flushed survives a power cut by blocks, not by pages.
		target a size=16M blocksize="$size" queue_mode="$mode" write_cache=1
		fill /dev/mybrd-a x 0 16777216
		set_ a cut 1
		set_ a power 1
		got=$(dd if=/dev/mybrd-a bs=64k iflag=direct status=none | tr 'x\0' '10' | fold -w "$size" |
			tr -s 01 | sort -u | xargs)
		is "$got" "0 1" "$mode: a power cut loses some blocks and keeps some, whole"
		remove a
	done
done

# A file system with such blocks and sectors
if [[ " ${large[*]} " == *" 16384 "* ]] && modprobe -q xfs; then
	for mode in $(modes); do
		target a size=512M blocksize=16384 queue_mode="$mode"
		ok "$mode: mkfs.xfs with blocks and sectors of 16 KiB" mkfs.xfs -q -b size=16k -s size=16k /dev/mybrd-a
		ok "$mode: mount" mount -t xfs /dev/mybrd-a /mnt
		cp -a /usr/lib/udev /mnt/
		umount /mnt
		ok "$mode: mount again" mount -t xfs /dev/mybrd-a /mnt
		is "$(sums /mnt/udev)" "$(sums /usr/lib/udev)" "$mode: its files read back the same"
		umount /mnt
		ok "$mode: it is clean" xfs_repair -n /dev/mybrd-a
		remove a
	done
fi

# A disk that plays another one
for mode in $(modes); do
	for sizes in "512 512" "512 4096" "4096 4096" "512 16384"; do
		read -r logical physical <<<"$sizes"
		target a size=64M blocksize="$logical" physical_block_size="$physical" optimal_io_size=256K queue_mode="$mode"
		is "$(cd $queue && cat logical_block_size physical_block_size minimum_io_size optimal_io_size | xargs)" \
			"$logical $physical $physical 262144" "$mode: blocks of $logical, of $physical inside, I/O of 256 KiB"
		is "$(blockdev --getss --getpbsz --getioopt /dev/mybrd-a | xargs)" "$logical $physical 262144" "$mode: ioctl() says so, too"
		ok "$mode: a write of one block" dd if=/dev/zero of=/dev/mybrd-a oflag=direct bs="$logical" count=1 conv=notrunc
		remove a
	done
	target a size=64M physical_block_size=512 blocksize=4096 queue_mode="$mode"
	is "$(get a physical_block_size)" 4096 "$mode: a physical block is no smaller than a logical one"
	remove a
done
mkdir $cfs/a
set_ a blocksize 4096
set_ a physical_block_size 4096
refused "nor can it be set to less" "Invalid" set_ a physical_block_size 512
set_ a optimal_io_size 64K
refused "optimal_io_size stays a multiple of it" "Invalid" set_ a optimal_io_size 6K
set_ a optimal_io_size 12K
refused "whichever of the two is changed" "Invalid" set_ a physical_block_size 8192
is "$(get a physical_block_size) $(get a optimal_io_size)" "4096 12288" "and both are as they were"
rmdir $cfs/a
done_testing
