#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The write cache and the power cut: what was flushed survives, what was not is lost, kept, or
# chosen by a seed; nothing hangs, whatever is in flight; and the disk comes back.

set -u
. "$(dirname "$0")/configfs.sh"

load nr_devices=1 size=1M
no_udev

dev=/dev/mybrd-d
# disk MODE [ATTRIBUTE=VALUE]...
disk() { local mode=$1; shift; target d size=8M write_cache=1 queue_mode="$mode" "$@"; }
# flush: what fsync does
flush() { sync $dev; }
dirty() { counter mybrd-d dirty_pages; }
# back: power, once nobody has the disk open
back() { set_ d power 1; }
# put CHARACTER OFFSET LENGTH: direct writes of 4 KiB, and no flush
put() {
	head -c "$3" /dev/zero | tr '\0' "$1" |
		dd of=$dev bs=4k seek="$2" oflag=direct,seek_bytes conv=notrunc iflag=fullblock status=none
}
# has CHARACTER OFFSET LENGTH
has() { [ "$(only "$dev" "$@")" = 0 ]; }

attributes() {
	local mode=$1
	mkdir "$cfs/d"
	is "$(get d write_cache) $(get d state) $(get d power)" "0 off 0" "$mode: no cache and no power at first"
	refused "$mode: write_cache takes 0 or 1" "Invalid" set_ d write_cache 2
	refused "$mode: there is no power to cut" "No such device" set_ d cut lose
	set_ d queue_mode "$mode"
	set_ d write_cache 1
	set_ d size 8M
	set_ d power 1
	is "$(get d write_cache) $(get d state)" "1 on" "$mode: both read back"
	refused "$mode: write_cache can't change under power" "busy" set_ d write_cache 0
	refused "$mode: a cut of no known kind" "Invalid" set_ d cut slowly
	like "$(dmesg)" "cut='slowly': must be lose, keep, unplug or a decimal number" "$mode: and the log says what is"
	is "$(cat /sys/block/mybrd-d/queue/write_cache)" "write back" "$mode: the kernel knows of the cache"
	is "$(cat /sys/block/mybrd-d/queue/fua)" 1 "$mode: and of FUA"
	remove d
	target d size=8M queue_mode="$mode"
	is "$(cat /sys/block/mybrd-d/queue/write_cache)" "write through" "$mode: another disk has none"
	remove d
}

lose() {
	local mode=$1 flushes
	disk "$mode"
	put a 0 1048576
	is "$(dirty)" $((1048576 / page)) "$mode: pages that were written are dirty"
	flushes=$(counter mybrd-d flushes)
	flush
	is "$(dirty)" 0 "$mode: a flush makes them stable"
	ok "$mode: and is counted" [ "$(counter mybrd-d flushes)" -gt "$flushes" ]
	put b 0 65536
	put c 2097152 65536
	blkdiscard -o 524288 -l 65536 $dev
	ok "$mode: what readers see is the latest" has b 0 65536
	ok "$mode: the power is cut" set_ d cut lose
	is "$(get d state) $(get d power)" "cut 0" "$mode: and the state says so"
	refused "$mode: a read fails" "Input/output error" dd if=$dev of=/dev/null bs=4k count=1 iflag=direct status=none
	refused "$mode: a write fails" "Input/output error" put x 0 4096
	refused "$mode: a flush fails" "Input/output error" dd if=/dev/zero of=$dev bs=4k count=1 oflag=direct,sync status=none
	refused "$mode: it can't be cut twice" "No such device" set_ d cut lose
	refused "$mode: nor reset" "No such device" set_ d reset 1
	refused "$mode: nor resized" "No such device" set_ d size 16M
	is "$(blockdev --getsize64 $dev)" 8388608 "$mode: it keeps its size"
	exec {fd}<$dev
	refused "$mode: no power while it is open" "busy" set_ d power 1
	refused "$mode: and it does not go" "busy" set_ d power 0
	exec {fd}>&-
	ok "$mode: the power is back" back
	is "$(get d state) $(get d power) $(counter mybrd-d cuts)" "on 1 1" "$mode: and all say so"
	ok "$mode: what was flushed is there" has a 0 524288
	ok "$mode: what was not is lost" has '\0' 2097152 65536
	ok "$mode: what was discarded reads as zeros" has '\0' 524288 65536
	is "$(counter mybrd-d pages)" $(((1048576 - 65536) / page)) "$mode: and there is no page more"
	put z 0 8388608
	set_ d cut lose
	ok "$mode: a disk without power goes" remove d
}

keep_and_fua() {
	local mode=$1
	disk "$mode"
	put a 0 65536
	set_ d cut keep
	back
	ok "$mode: keep loses nothing" has a 0 65536
	head -c 4096 /dev/zero | tr '\0' f | dd of=$dev bs=4k oflag=direct,dsync conv=notrunc status=none
	put g 4096 61440
	set_ d cut lose
	back
	ok "$mode: FUA makes its own write stable" has f 0 4096
	ok "$mode: and no other" has a 4096 61440
	echo "write through" >/sys/block/mybrd-d/queue/write_cache
	put t 131072 65536
	set_ d cut lose
	back
	ok "$mode: with write through, all is stable at once" has t 131072 65536
	echo "write back" >/sys/block/mybrd-d/queue/write_cache
	put v 131072 4096
	echo "write through" >/sys/block/mybrd-d/queue/write_cache
	put v 135168 4096
	echo "write back" >/sys/block/mybrd-d/queue/write_cache
	set_ d cut lose
	back
	ok "$mode: a write then makes earlier ones stable, too" has v 131072 8192
	put t 131072 8192
	flush
	put u 131072 65536
	set_ d cut lose
	back
	ok "$mode: and with write back it is not" has t 131072 65536
	remove d
	target d size=8M queue_mode="$mode"
	put a 0 65536
	set_ d cut lose
	back
	ok "$mode: a disk without a cache loses nothing" has a 0 65536
	remove d
}

# blocks: a letter for each block of 512 bytes of the first 64 KiB
blocks() { dd if=$dev bs=64k count=1 iflag=direct status=none | fold -w 512 | cut -c 1 | tr -d '\n'; }

seeds() {
	local mode=$1 size got again torn=0 block
	for size in 512 4096; do
		disk "$mode" blocksize=$size
		put o 0 65536
		flush
		put n 0 65536
		set_ d cut 12345
		back
		got=$(blocks)
		like "$got" "o.*n|n.*o" "$mode: a seed loses some of the blocks of $size"
		for ((block = 0; block < 128; block += size / 512)); do
			[[ ${got:block:size / 512} =~ ^(n+|o+)$ ]] || torn=$((torn + 1))
		done
		is $torn 0 "$mode: and tears none"
		put o 0 65536
		flush
		put n 0 65536
		set_ d cut 12345
		back
		again=$(blocks)
		is "$again" "$got" "$mode: the same seed has the same outcome"
		put o 0 65536
		flush
		put n 0 65536
		set_ d cut 54321
		back
		ok "$mode: another seed has another" [ "$(blocks)" != "$got" ]
		[ $size != 512 ] || echo "$got" >/tmp/seed."$mode"
		remove d
	done
	# holes: what is lost of a page that was one reads as zeros
	disk "$mode"
	put n 0 65536
	set_ d cut 12345
	back
	is "$(dd if=$dev bs=64k count=1 iflag=direct status=none | tr '\0' o | fold -w 512 | cut -c 1 | tr -d '\n')" \
		"$(cat /tmp/seed."$mode")" "$mode: what is lost where nothing was reads as zeros"
	remove d
}

clones() {
	local mode=$1
	disk "$mode"
	put a 0 1048576
	flush
	put b 0 65536
	target c clone_of=d write_cache=1 queue_mode="$mode"
	is "$(only /dev/mybrd-c b 0 65536)" 0 "$mode: a clone has what readers see"
	set_ d cut lose
	is "$(only /dev/mybrd-c b 0 65536)" 0 "$mode: a cut of its origin does not change it"
	fill /dev/mybrd-c c 0 131072
	set_ c cut 99
	set_ c power 1
	back
	ok "$mode: nor the other way round" has a 0 1048576
	is "$(only /dev/mybrd-c 'bca' 0 131072)" 0 "$mode: a clone has a cache of its own"
	set_ c power 0
	set_ c power 1
	is "$(only /dev/mybrd-c a 0 1048576)" 0 "$mode: a clone of what survived"
	fill /dev/mybrd-c x 0 65536
	set_ c reset 1
	set_ c cut lose
	set_ c power 1
	is "$(only /dev/mybrd-c a 0 1048576)" 0 "$mode: what a reset brings back is stable"
	put d 4194304 65536
	set_ d size $((4194304 + 2048))
	set_ d size 8M
	set_ d cut lose
	back
	ok "$mode: what a shrink took away does not come back" has '\0' 4196352 65536
	remove c d
}

limits() {
	local mode=$1
	disk "$mode" mem_limit=1M
	put a 0 1048576
	flush
	ok "$mode: a disk at its limit is overwritten" put b 0 1048576
	is "$(counter mybrd-d pages)" $((1048576 / page)) "$mode: with no page more"
	refused "$mode: beyond it there is no space" "No space" put c 2097152 4096
	set_ d cut lose
	back
	ok "$mode: and the old content is there" has a 0 1048576
	remove d
	# The module's limit counts both, and a flush makes room.
	echo 2M >/sys/module/mybrd/parameters/mem_limit
	disk "$mode"
	put a 0 1048576
	flush
	put b 0 524288
	ok "$mode: at the module's limit a write flushes first" put c 0 1048576
	ok "$mode: and is whole" has c 0 1048576
	remove d
	echo 4M >/sys/module/mybrd/parameters/mem_limit
	disk "$mode"
	put a 0 2621440
	flush
	ok "$mode: so does a zeroing, which may copy all there is" blkdiscard -z -l 2621440 $dev
	ok "$mode: and it is whole" has '\0' 0 2621440
	remove d
	echo 50% >/sys/module/mybrd/parameters/mem_limit
}

# What the kernel remembers of the old content: errors, and partitions
stale() {
	local mode=$1
	disk "$mode"
	exec {fd}<>$dev
	printf x >&$fd
	set_ d cut lose
	exec {fd}>&-
	back
	ok "$mode: the first fsync after a cut hears of no old error" \
		dd if=/dev/zero of=$dev bs=4k count=1 conv=fsync,notrunc status=none
	echo 'start=8, size=8192, type=83' | sfdisk -q $dev 2>/dev/null
	blockdev --rereadpt $dev
	ok "$mode: a partition" [ -b ${dev}1 ]
	mkfs.ext4 -q -F ${dev}1 2>/dev/null
	flush
	set_ d cut lose
	back
	mount ${dev}1 /mnt
	refused "$mode: is mounted after a cut, and known to be" "in use|mounted" mkfs.ext4 -q ${dev}1 </dev/null
	umount /mnt
	printf 'label: gpt\nsize=4M\n' | sfdisk -q --wipe always $dev 2>/dev/null
	flush
	set_ d cut lose
	back
	set_ d size 4M
	set_ d size 8M
	is "$(dd if=$dev bs=64k skip=4M count=4M iflag=skip_bytes,count_bytes status=none | tr -d '\0' | wc -c)" 0 \
		"$mode: a look for partitions leaves nothing in the page cache"
	remove d
}

# What a write, a flush and a cut give back is counted, and is freed in batches.
counted() {
	local mode=$1 tracing=/sys/kernel/tracing batches
	disk "$mode"
	put a 0 1048576
	flush
	put b 0 524288
	flush
	put c 0 1048576
	put d 4194304 524288
	: >$tracing/trace
	echo 1 >$tracing/events/mybrd/mybrd_discard_batch/enable
	set_ d cut lose
	echo 0 >$tracing/events/mybrd/mybrd_discard_batch/enable
	batches=$(grep -c discard_batch: $tracing/trace)
	ok "$mode: a cut of 384 pages frees them in $batches batches" [ "$batches" -le 12 ]
	back
	ok "$mode: nothing waits" settled mybrd-d
	is $(($(counter mybrd-d inserts) - $(counter mybrd-d frees))) "$(counter mybrd-d pages)" \
		"$mode: inserts less frees are the pages"
	remove d
}

# under load: whatever is in flight ends
under_load() {
	local mode=$1 i fio
	disk "$mode"
	for i in {1..10}; do
		fio --name=w --filename=$dev --rw=randrw --bs=2k --size=4M --direct=1 --ioengine=libaio \
			--iodepth=8 --fsync=8 --time_based --runtime=60 --eta=never --output=/dev/null 2>/dev/null &
		fio=$!
		blkdiscard -o 4194304 -l 4194304 $dev
		sleep 0.3
		set_ d cut "$i" || break
		wait $fio
		back || break
	done
	is "$i" 10 "$mode: ten cuts beside reads, writes and flushes"
	remove d
}

mounted() {
	local mode=$1 fs
	for fs in $(file_systems); do
		disk "$mode" size=384M
		"mkfs.$fs" -q $dev
		mount $dev /mnt
		echo first >/mnt/stable
		sync /mnt/stable
		sync -f /mnt
		dd if=/dev/urandom of=/mnt/lost bs=64k count=4 oflag=direct status=none
		ok "$mode: $fs: pages that were not flushed are at stake" [ "$(dirty)" -ge $((262144 / page)) ]
		set_ d cut lose
		echo third >/mnt/more 2>/dev/null
		refused "$mode: $fs: fsync fails" "Input/output error|Read-only" dd if=/dev/zero of=/mnt/x bs=4k count=1 conv=fsync status=none
		ok "$mode: $fs: umount returns" umount /mnt
		back
		mount $dev /mnt
		is "$(cat /mnt/stable)" first "$mode: $fs: what was synced is there"
		ok "$mode: $fs: what was not is lost" [ ! -e /mnt/lost ]
		umount /mnt
		[ "$fs" != ext4 ] || ok "$mode: $fs: and it is sound" fsck.ext4 -fn $dev
		remove d
	done
}

unplug() {
	local mode=$1
	disk "$mode" size=32M
	mkfs.ext4 -q $dev
	mount $dev /mnt
	echo something >/mnt/file
	ok "$mode: a mounted disk is pulled out" set_ d cut unplug
	is "$(get d state) $(get d power)" "unplugged 0" "$mode: the state says so"
	ok "$mode: its node is gone" [ ! -e $dev ]
	refused "$mode: I/O fails" "Input/output error|Read-only" dd if=/dev/zero of=/mnt/y bs=4k count=1 conv=fsync status=none
	refused "$mode: no new disk while it is mounted" "busy" set_ d power 1
	refused "$mode: its directory stays" "busy" rmdir "$cfs/d"
	refused "$mode: it can't be pulled out twice" "No such device" set_ d cut unplug
	ok "$mode: umount returns" umount /mnt
	ok "$mode: there is a new disk under the name" back
	ok "$mode: it is empty" has '\0' 0 1048576
	set_ d cut lose
	ok "$mode: a disk without power is pulled out" set_ d cut unplug
	ok "$mode: and goes" remove d
}

for mode in $(modes); do
	attributes "$mode"
	lose "$mode"
	keep_and_fua "$mode"
	seeds "$mode"
	clones "$mode"
	limits "$mode"
	stale "$mode"
	counted "$mode"
	under_load "$mode"
	mounted "$mode"
	unplug "$mode"
done
ok "the module goes" rmmod mybrd
done_testing
