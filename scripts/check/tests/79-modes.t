#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What only queue_mode=mq has, on the same data: I/O schedulers, several
# hardware queues, few tags, and requests made of many bios.

set -u
. "$(dirname "$0")/configfs.sh"

load size=1M
no_udev
for module in mq-deadline kyber-iosched bfq; do modprobe -q $module; done
queue=/sys/block/mybrd-a/queue
log=/tmp/fio.log

# verify DESCRIPTION OPTIONS...
verify() {
	local what=$1
	shift
	if fio --name=verify --filename=/dev/mybrd-a --direct=1 --randrepeat=1 --ioengine=libaio --iodepth=16 \
		--verify=crc32c --verify_fatal=1 --do_verify=1 "$@" >$log 2>&1 && grep -q 'err= 0' $log; then
		pass "$what"
	else
		fail "$what"
		diag "$(tail -n 20 $log)"
	fi
}
race_() { "$race" -p 70 -t 3 /dev/mybrd-a; }

target a size=64M queue_mode=mq submit_queues=2 hw_queue_depth=32
schedulers=$(tr -d '[]' <$queue/scheduler)
diag "schedulers: $schedulers"
ok "there are several" [ "$(wc -w <<<"$schedulers")" -ge 3 ]
for scheduler in $schedulers; do
	echo "$scheduler" >$queue/scheduler
	like "$(cat $queue/scheduler)" "\[$scheduler\]" "$scheduler is there"
	for bs in 512 4k 128k; do
		size=4M
		[ $bs != 512 ] || size=256k
		verify "$scheduler: random writes of $bs" --rw=randwrite --bs=$bs --size=$size
	done
	discard /dev/mybrd-a
	ok "$scheduler: race on 70 pages" race_
	is "$(counter mybrd-a pages)" 0 "$scheduler: all discarded in the end"
done
remove a

# One queue, one tag; and changing the scheduler under load
target a size=64M queue_mode=mq hw_queue_depth=1
verify "one tag: 16 at a time" --rw=randwrite --bs=4k --size=2M
remove a
target a size=64M queue_mode=mq
(
	for _ in {1..5}; do
		for scheduler in $schedulers; do echo "$scheduler" >$queue/scheduler; done
	done
) &
verify "while the scheduler changes" --rw=randwrite --bs=4k --size=4M
wait $!

# Small bios become large requests; one that has no space takes no other with it.
echo mq-deadline >$queue/scheduler
merged() { awk '{ print $6 }' /sys/block/mybrd-a/stat; }
before=$(merged)
verify "neighbours submitted together" --rw=write --bs=512 --size=512k --iodepth=64 --iodepth_batch=64 --iodepth_batch_complete=64
ok "are merged ($(($(merged) - before)) times)" [ "$(merged)" -gt "$before" ]
discard /dev/mybrd-a
settled mybrd-a
set_ a mem_limit 128K
fill /dev/mybrd-a y 0 32768
before=$(merged)
fio --name=fill --filename=/dev/mybrd-a --direct=1 --ioengine=libaio --rw=write --bs=4k --size=256k --iodepth=64 \
	--iodepth_batch=64 --iodepth_batch_complete=64 --buffer_pattern=0x78 --continue_on_error=write >$log 2>&1
diag "$(counter mybrd-a pages) pages of 64 at a limit of 32, $(counter mybrd-a enospc) refusals, $(($(merged) - before)) merges"
is "$(merged)" $((before + 63)) "64 neighbours make one request"
is "$(counter mybrd-a pages) $(counter mybrd-a enospc)" "32 32" "of which those are done that fit, and the others refused"
is "$(only /dev/mybrd-a x 0 131072) $(only /dev/mybrd-a '\0' 131072 131072)" "0 0" "each page is written, or a hole"
remove a

# A nowait write goes into a hole, too, and none of that is in the log.
for mode in $(modes); do
	target a size=64M queue_mode="$mode"
	marker "nowait: begin $mode"
	for page in 5 6 70 9000; do
		op write-nowait /dev/mybrd-a $((page << 12)) 4096 97
		is "$said" ok "$mode: a nowait write into a hole: page $page"
	done
	for page in 5 9000; do
		op write-nowait /dev/mybrd-a $((page << 12)) 4096 98
		is "$said" ok "$mode: and over what is there: page $page"
	done
	is "$(log_since "nowait: begin $mode" | grep mybrd-a)" "" "$mode: none of which is in the log"
	remove a
done

# 6.1 lets people say that there is a cache to flush, and sends flushes from then on.
for mode in $(modes); do
	target a size=64M queue_mode="$mode"
	echo "write back" >$queue/write_cache 2>/dev/null || true
	ok "$mode: flushes, write_cache being '$(cat $queue/write_cache)'" \
		dd if=/dev/zero of=/dev/mybrd-a bs=64k count=3 oflag=sync conv=fsync status=none
	remove a
done

# Counted in both modes alike
for mode in $(modes); do
	target a size=64M queue_mode="$mode"
	[ "$mode" = bio ] || echo none >$queue/scheduler
	dd if=/dev/zero of=/dev/mybrd-a bs=64k count=10 oflag=direct status=none
	dd if=/dev/mybrd-a of=/dev/null bs=4k count=7 iflag=direct status=none
	discard -l 1M /dev/mybrd-a
	is "$(awk '{ print $1, $3, $5, $7, $12, $14 }' /sys/block/mybrd-a/stat)" "7 56 10 1280 1 2048" \
		"$mode: reads, writes and discards are counted once"
	is "$(awk '{ print $9 }' /sys/block/mybrd-a/stat)" 0 "$mode: nothing is in flight"
	remove a
done
done_testing
