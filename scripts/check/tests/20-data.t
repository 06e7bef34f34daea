#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What is read back: zeros from a hole and from whatever was discarded, zeroed
# or punched, down to the sector, and everything else untouched.

set -u
. "$(dirname "$0")/lib.sh"

size=$((1 << 20))
page=$(getconf PAGESIZE)
head -c $size /dev/urandom >/tmp/random

# The model is a plain file, on which the same is done.
model=/tmp/model
same() { dd if=/dev/mybrd bs=512k iflag=direct status=none | cmp - $model; }
restart() {
	dd if=/tmp/random of=/dev/mybrd bs=1M oflag=direct conv=notrunc status=none
	cp /tmp/random $model
}
erase_model() { dd if=/dev/zero of=$model bs=512 seek=$(($1 / 512)) count=$(($2 / 512)) conv=notrunc status=none; }

free() { discard -o "$1" -l "$2" /dev/mybrd; }
zero() { discard -z -o "$1" -l "$2" /dev/mybrd; }
# shellcheck disable=SC2317 # called by name
punch() { fallocate -p -o "$1" -l "$2" /dev/mybrd; }

# offset and length: whole pages, one sector, both ends inside a page, inside one page, long, all
ranges="0:4096 8192:65536 512:512 3584:1024 4096:512 1536:2048 66048:8704 262656:261120
	524288:262144 $((size - 4096)):4096 $((size - 512)):512 0:$size"

erases() {
	local mode=$1 how range off len wrong
	for how in free zero punch; do
		wrong=
		restart
		for range in $ranges; do
			off=${range%:*} len=${range#*:}
			"$how" "$off" "$len" || wrong+="$how $range failed; "
			erase_model "$off" "$len"
			same || { wrong+="$range; "; restart; }
		done
		is "$wrong" "" "$mode: $how reads back as zeros, sector by sector, and leaves the rest"
		case $how in
		free | punch) is "$(pages mybrd)" 0 "$mode: $how of everything frees every page" ;;
		*) is "$(pages mybrd)" $((size / page)) "$mode: $how of everything keeps every page" ;;
		esac
	done
}

for mode in $(modes); do
	load_mode "$mode" size=$size
	udev_pause
	is "$(dd if=/dev/mybrd bs=1M iflag=direct status=none | tr -d '\0' | wc -c)" 0 \
		"$mode: a new disk reads zeros"
	is "$(pages mybrd)" 0 "$mode: reading it allocates nothing"

	dd if=/tmp/random of=/dev/mybrd bs=512 seek=81 skip=81 count=1 oflag=direct conv=notrunc status=none
	truncate -s 0 $model
	truncate -s $size $model
	dd if=/tmp/random of=$model bs=512 seek=81 skip=81 count=1 conv=notrunc status=none
	ok "$mode: one sector written, zeros around it" same
	is "$(pages mybrd)" 1 "$mode: it takes one page"
	zero 0 65536
	fallocate -z -n -o 65536 -l 65536 /dev/mybrd
	is "$(pages mybrd)" $((131072 / page)) "$mode: zeroing that keeps pages fills holes"
	ok "$mode: and is still zeros but for the sector" sh -c "head -c 131072 /dev/mybrd | tr -d '\0' | wc -c | grep -qx 0"
	free 0 $size

	erases "$mode"

	# where a hole ends
	restart
	free 0 $size
	ok "$mode: one page at the far end of a hole" \
		dd if=/tmp/random of=/dev/mybrd bs="$page" seek=$((size / page - 1)) skip=$((size / page - 1)) count=1 oflag=direct conv=notrunc
	erase_model 0 $((size - page))
	ok "$mode: is where it belongs" same

	refused "$mode: nothing is written beyond the end" "No space left" \
		dd if=/dev/zero of=/dev/mybrd bs=512 seek=$((size / 512)) count=1 oflag=direct
	is "$(dd if=/dev/mybrd bs=512 skip=$((size / 512)) count=1 iflag=direct 2>/dev/null | wc -c)" 0 \
		"$mode: nothing is read beyond the end"
	udev_resume

	# through the page cache as well
	restart
	cp /tmp/random $model
	dd if=/tmp/random of=/dev/mybrd bs=4096 seek=5 count=9 conv=notrunc,fsync status=none
	dd if=/tmp/random of=$model bs=4096 seek=5 count=9 conv=notrunc status=none
	ok "$mode: buffered writes reach the disk" same

	# a disk that ends inside a page
	load_mode "$mode" size=$((page + 1536))
	head -c $((page + 1536)) /tmp/random >$model
	dd if=$model of=/dev/mybrd bs=512 oflag=direct conv=notrunc status=none
	ok "$mode: a disk that ends inside a page holds its last sector" \
		same
	discard /dev/mybrd
	is "$(pages mybrd)" 0 "$mode: a discard of all of it frees the last page too"
done

done_testing
