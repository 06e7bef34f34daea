#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Module parameters. Good ones do what they say; a bad one is refused with
# EINVAL and exactly one log line, which names it and its value, and nothing is
# left behind.

set -u
. "$(dirname "$0")/configfs.sh"

modprobe -q configfs || true

# What a refused load must not leave behind
leftovers() { ls -d /sys/module/mybrd /dev/mybrd* /sys/block/mybrd* "$debugfs" 2>/dev/null; }

# the check for leftovers sees a loaded module
load
ok "a loaded module is what leftovers looks for" [ "$(leftovers | wc -l)" -ge 4 ]
unload
is "$(leftovers)" "" "and an unloaded one leaves nothing"

# bad PARAMETER VALUE [OTHERS]
bad() {
	local wrong left
	logged
	op load "$ko" "$1=$2 ${3:-}"
	[ "$said" != ok ] || rmmod mybrd
	refusal "$1" "$2"
	left=$(leftovers)
	is "$wrong${left:+left behind: $left}" "" "$1='$2' ${3:-} is refused: EINVAL, one line that names it, nothing left"
}

logged
for value in 0 -1 -512 -1G 1Gx 1GG x K 1000 513 99999999999G 16E 17179869185G 16777217T 18446744073709551616 \
	18446744073709552128 9223372036854775807 9223372036854775808 1.5G 0G ''; do
	bad size "$value"
done
bad size 5632 blocksize=4096	# a multiple of 512, not of the block size
bad size 512 blocksize=1024
for value in -1 257 1000000 4294967297 99999999999999999999 two 1x ''; do
	bad nr_devices "$value"
done
for value in 0 -512 1 256 511 513 1000 1536 3072 4095 131072 1073741824 4294967808 512x 4Kx ''; do
	bad blocksize "$value"
done

# What a file may have: bytes of 63 bits, or pages of 32 bits
largest=9223372036854775296
[ "$(getconf LONG_BIT)" = 64 ] || largest=$(((1 << 32) * page - page))
if [ $largest != 9223372036854775296 ]; then
	bad size 16T
	bad size $((largest + 512))
fi

# good SIZE BYTES
good() {
	load "size=$1" || return
	is "$(blockdev --getsize64 /dev/mybrd)" "$2" "size=$1: the device has $2 bytes"
	is "$(cat /sys/block/mybrd/size)" $(($2 / 512)) "size=$1: sysfs says so in sectors"
}
good 512 512
good 1536 1536
good 64M 67108864
good 64m 67108864
good 3G 3221225472
good 2T 2199023255552
good $largest "$largest"
ok "the last sector of the largest disk takes a write" \
	dd if=/dev/zero of=/dev/mybrd oflag=direct bs=512 seek=$((largest / 512 - 1)) count=1 conv=notrunc
is "$(pages mybrd)" 1 "and that is one page"

load
is "$(blockdev --getsize64 /dev/mybrd)" 1073741824 "the default size is 1G"
is "$(blockdev --getss /dev/mybrd)" 512 "the default block size is 512"
is "$(awk 'NR > 1 { print $2 }' "$debugfs/targets")" mybrd "by default there is one device"

for value in 512 1024 2048 4096; do
	load "blocksize=$value" size=64M
	is "$(cat /sys/block/mybrd/queue/logical_block_size)" "$value" \
		"blocksize=$value is the logical block size"
done
refused "a write of less than a block is refused" "Invalid argument" \
	dd if=/dev/zero of=/dev/mybrd oflag=direct bs=512 count=1

done_testing
