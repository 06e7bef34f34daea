#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The device says what is true of it in /sys/block/mybrd/queue, and iostat sees
# each I/O, or none when told not to look.

set -u
. "$(dirname "$0")/lib.sh"

queue=/sys/block/mybrd/queue
page=$(getconf PAGESIZE)

limits() {
	local mode=$1 blocksize name
	for blocksize in 512 4096; do
		load_mode "$mode" size=64M "blocksize=$blocksize"
		name="$mode, blocksize $blocksize:"
		is "$(cat $queue/logical_block_size)" "$blocksize" "$name logical block"
		is "$(cat $queue/physical_block_size)" "$page" "$name the physical block is a page"
		is "$(cat $queue/discard_granularity)" "$page" "$name the discard granularity is a page"
		ok "$name discards are advertised" [ "$(cat $queue/discard_max_bytes)" -ge $((64 << 20)) ]
		ok "$name zeroing is advertised" [ "$(cat $queue/write_zeroes_max_bytes)" -ge $((64 << 20)) ]
		is "$(cat $queue/rotational)" 0 "$name it does not rotate"
		is "$(cat $queue/zoned)" none "$name it has no zones"
		is "$(cat $queue/add_random)" 0 "$name it gives no entropy"
		is "$(cat $queue/write_cache)" "write through" "$name there is no cache to flush"
	done
	# RWF_NOWAIT is refused with EOPNOTSUPP by a device that does not advertise it
	ok "$mode: NOWAIT reads are taken" fio --name=nowait --filename=/dev/mybrd --direct=1 \
		--ioengine=pvsync2 --nowait=1 --rw=read --bs=4k --size=64k
}

# counts READS SECTORS WRITES SECTORS DISCARDS SECTORS DESCRIPTION COMMAND...
stat() { awk '{ print $1, $3, $5, $7, $12, $14 }' /sys/block/mybrd/stat; }
counts() {
	local want="$1 $2 $3 $4 $5 $6" what=$7 before after i got=()
	shift 7
	read -ra before <<<"$(stat)"
	"$@" || fail "$*"
	read -ra after <<<"$(stat)"
	for i in {0..5}; do got+=($((after[i] - before[i]))); done
	is "${got[*]}" "$want" "$what"
}
# shellcheck disable=SC2317 # called by name
write() { dd if=/dev/zero of=/dev/mybrd bs="$1" count="$2" oflag=direct conv=notrunc status=none; }
# shellcheck disable=SC2317 # called by name
read_() { dd if=/dev/mybrd of=/dev/null bs="$1" count="$2" iflag=direct status=none; }

iostat() {
	local mode=$1
	load_mode "$mode" size=64M
	udev_pause
	counts 0 0 10 80 0 0 "$mode: ten writes of 4 KiB are 10 and 80 sectors" write 4k 10
	counts 7 56 0 0 0 0 "$mode: seven reads of 4 KiB are 7 and 56 sectors" read_ 4k 7
	counts 3 3 0 0 0 0 "$mode: three reads of a sector are 3 and 3" read_ 512 3
	counts 0 0 0 0 1 2048 "$mode: a discard of 1 MiB is 1 and 2048 sectors" \
		discard -l 1M /dev/mybrd
	counts 0 0 1 2048 0 0 "$mode: zeroing 1 MiB is a write of 2048 sectors" \
		discard -z -l 1M /dev/mybrd
	is "$(awk '{ print $9 }' /sys/block/mybrd/stat)" 0 "$mode: nothing is in flight"
	echo 0 >$queue/iostats
	counts 0 0 0 0 0 0 "$mode: with queue/iostats off writes do not count" write 4k 10
	counts 0 0 0 0 0 0 "$mode: nor do reads" read_ 4k 10
	counts 0 0 0 0 0 0 "$mode: nor do discards" discard -l 1M /dev/mybrd
	echo 1 >$queue/iostats
	counts 0 0 5 40 0 0 "$mode: and on again they do" write 4k 5
	udev_resume
}

for mode in $(modes); do
	limits "$mode"
	iostat "$mode"
done

done_testing
