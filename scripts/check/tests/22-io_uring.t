#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# io_uring asks not to wait, first, and lets a worker ask again: with any scheduler and in
# batches no write into a hole fails or gets lost, nearly none needs a worker, and polling
# comes to an end.

set -u
. "$(dirname "$0")/configfs.sh"

load size=1M
no_udev
for module in mq-deadline kyber-iosched bfq; do modprobe -q $module; done
events=/sys/kernel/tracing
log=/tmp/fio.log
io=$(rounds 8M 1M)

# first_writes OPTIONS...: onto an empty disk, and each block verified
first_writes() {
	discard /dev/mybrd-u
	timeout -s KILL 120 fio --name=write --filename=/dev/mybrd-u --ioengine=io_uring --direct=1 --rw=write \
		--bs=4k --size="$io" --verify=crc32c --verify_fatal=1 "$@" >"$log" 2>&1 && grep -q 'err= 0' "$log" && return
	tail -n 20 "$log"
	return 1
}

# in_each_way WHERE
in_each_way() {
	ok "$1: one at a time" first_writes
	ok "$1: eight at a time" first_writes --iodepth=8
	ok "$1: in batches of eight" first_writes --iodepth=16 --iodepth_batch_submit=8 --iodepth_batch_complete_min=8
	ok "$1: in batches, from fixed buffers" first_writes --iodepth=16 --iodepth_batch_submit=16 --fixedbufs --registerfiles
	ok "$1: by a thread that polls the queue" first_writes --iodepth=8 --sqthread_poll=1
	ok "$1: anywhere, in batches of 512 bytes" first_writes --iodepth=16 --iodepth_batch_submit=16 --bs=512 --rw=randwrite --size=256k
}

for mode in $(modes); do
	target u size=64M queue_mode="$mode"
	if [ "$mode" = mq ]; then
		for scheduler in $(tr -d '[]' </sys/block/mybrd-u/queue/scheduler); do
			echo "$scheduler" >/sys/block/mybrd-u/queue/scheduler
			in_each_way "mq, $scheduler"
		done
	else
		in_each_way "$mode"
		echo 1 >$events/events/io_uring/io_uring_queue_async_work/enable
		echo >$events/trace
		ok "$mode: first writes once more" first_writes --do_verify=0
		workers=$(grep -c 'io_uring_queue_async_work:' $events/trace)
		echo 0 >$events/events/io_uring/io_uring_queue_async_work/enable
		in_range "$workers" 0 2 "$mode: a worker does those only that need more than a leaf"
	fi

	# A worker's polled writes are asked again for ever on 6.1 if they are sent back.
	if [ "$mode" = bio ] || [[ $(uname -r) = 6.1.* ]]; then
		ok "$mode: polled" first_writes --hipri --iodepth=8
		ok "$mode: polled in batches" first_writes --hipri --iodepth=16 --iodepth_batch_submit=8
	else
		refused "$mode: polling is refused" "Operation not supported" first_writes --hipri
	fi
	remove u
done
done_testing
