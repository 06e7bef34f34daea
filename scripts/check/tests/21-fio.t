#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# fio writes at random and verifies every block by its CRC: small and large
# blocks, unaligned ones, by read and write, Linux AIO and io_uring, and from
# several jobs at once.

set -u
. "$(dirname "$0")/lib.sh"

log=/tmp/fio.log

# verify DESCRIPTION OPTIONS...
verify() {
	local what=$1
	shift
	if fio --name=verify --filename=/dev/mybrd --direct=1 --randrepeat=1 --rw=randwrite \
		--verify=crc32c --verify_fatal=1 --do_verify=1 "$@" >$log 2>&1 &&
		grep -q 'err= 0' $log; then
		pass "$what"
	else
		fail "$what"
		diag "$(tail -n 20 $log)"
	fi
}

for mode in $(modes); do
	load_mode "$mode" size=512M

	verify "$mode: 512 byte blocks" --ioengine=psync --bs=512 --size=1M
	verify "$mode: 4 KiB blocks" --ioengine=psync --bs=4k --size=4M
	verify "$mode: 64 KiB blocks" --ioengine=psync --bs=64k --size=8M
	verify "$mode: 1 MiB blocks" --ioengine=psync --bs=1M --size=16M
	verify "$mode: blocks of 512 bytes to 128 KiB at any sector" --ioengine=psync \
		--bsrange=512-128k --blockalign=512 --size=8M
	verify "$mode: buffers that start inside a page" --ioengine=psync --bs=12k \
		--iomem_align=512 --size=4M
	verify "$mode: libaio, 16 deep" --ioengine=libaio --iodepth=16 --bs=4k --size=4M
	verify "$mode: io_uring, 16 deep" --ioengine=io_uring --iodepth=16 --bs=4k --size=4M
	verify "$mode: io_uring, large blocks" --ioengine=io_uring --iodepth=4 --bs=1M --size=16M
	verify "$mode: through the page cache" --ioengine=psync --direct=0 --bs=4k --size=4M
	verify "$mode: reads and writes mixed" --ioengine=libaio --iodepth=8 --rw=randrw --bs=8k --size=4M
	verify "$mode: some of what was written is trimmed and reads as zeros" --ioengine=psync --bs=4k \
		--size=2M --trim_percentage=30 --trim_backlog=16 --trim_verify_zero=1
	verify "$mode: four jobs side by side" --ioengine=psync --numjobs=4 --offset_increment=64M \
		--bs=4k --size=1M --group_reporting

	# what none of them may have done
	ok "$mode: a wrong byte is seen by this test" bash -c '
		fio --name=v --filename=/dev/mybrd --direct=1 --ioengine=psync --rw=write --bs=4k --size=64k \
			--verify=crc32c --do_verify=0 --verify_state_save=0 >/dev/null &&
		dd if=/dev/urandom of=/dev/mybrd bs=512 seek=9 count=1 oflag=direct conv=notrunc status=none &&
		! fio --name=v --filename=/dev/mybrd --direct=1 --ioengine=psync --rw=read --bs=4k --size=64k \
			--verify=crc32c --verify_fatal=1 --verify_state_save=0 >/dev/null 2>&1'
done

done_testing
