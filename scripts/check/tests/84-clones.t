#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Clones: a disk that begins with the content of another. Both are independent from then on,
# whatever is done to them in whatever order; pages that both have are counted once; and a
# power cycle or a reset brings the content of the origin back.

set -u
. "$(dirname "$0")/configfs.sh"

load nr_devices=1 size=1M
no_udev
head -c 8M /dev/urandom >/tmp/golden

sum() { md5sum <"$1" | cut -d' ' -f1; }
# same DEVICE FILE: what the device has, past the page cache
same() { dd if="$1" bs=1M iflag=direct status=none | cmp -s - "$2"; }
pages() { counter "mybrd-$1" pages; }
shared() { counter "mybrd-$1" shared_pages; }
all_pages() { echo $((8 * 1048576 / page)); }

# golden MODE: a full disk of 8 MiB
golden() {
	target golden size=8M queue_mode="$1" || return
	dd if=/tmp/golden of=/dev/mybrd-golden bs=1M oflag=direct status=none
}
# clone NAME MODE [ATTRIBUTE=VALUE]...
clone() {
	local name=$1 mode=$2
	shift 2
	target "$name" clone_of=golden queue_mode="$mode" "$@"
}

attributes() {
	local mode=$1
	mkdir "$cfs/c"
	is "$(get c clone_of)" "" "$mode: a target has no origin"
	set_ c queue_mode "$mode"
	refused "$mode: a name that is none is refused" "Invalid" set_ c clone_of "a/b"
	is "$(get c clone_of)" "" "$mode: and changes nothing"
	printf '\nfoo' >/tmp/lines
	# In one write: printf makes two.
	refused "$mode: nor is a name after an empty line taken" "Invalid" \
		dd if=/tmp/lines of="$cfs/c/clone_of" bs=64 status=none
	set_ c clone_of nothing
	is "$(get c clone_of)" nothing "$mode: clone_of reads back"
	dmesg -C
	refused "$mode: without that target there is no disk" "No such" set_ c power 1
	like "$(dmesg)" "mybrd-c: clone_of='nothing': no such target" "$mode: and the log says why"
	set_ c clone_of c
	refused "$mode: a target is no clone of itself" "No such" set_ c power 1
	echo >"$cfs/c/clone_of"
	is "$(get c clone_of)" "" "$mode: an empty line clears it"
	ok "$mode: and then there is an empty disk" set_ c power 1
	is "$(pages c)" 0 "$mode: without a page"
	refused "$mode: clone_of can't change while there is a disk" "busy" set_ c clone_of golden
	remove c
}

content() {
	local mode=$1 n
	n=$(all_pages)
	golden "$mode"
	ok "$mode: a clone of a disk" clone c "$mode"
	is "$(get c size)" 8388608 "$mode: has its size"
	ok "$mode: and its content" same /dev/mybrd-c /tmp/golden
	is "$(pages c) $(shared c) $(shared golden)" "$n $n $n" "$mode: all pages are in both trees"
	like "$(cat "$debugfs/target/c")" "clone_of: golden" "$mode: debugfs names the origin"

	fill /dev/mybrd-c x 1048576 65536
	is "$(only /dev/mybrd-c x 1048576 65536)" 0 "$mode: a write to the clone"
	ok "$mode: leaves the origin as it was" same /dev/mybrd-golden /tmp/golden
	is "$(shared c) $(shared golden)" "$((n - 65536 / page)) $((n - 65536 / page))" \
		"$mode: those pages are no longer shared"
	cp /tmp/golden /tmp/changed
	printf 'some bytes' | dd of=/tmp/changed bs=1 seek=3000001 conv=notrunc status=none
	printf 'some bytes' | dd of=/dev/mybrd-golden bs=1 seek=3000001 conv=notrunc status=none
	sync /dev/mybrd-golden
	ok "$mode: a part of a page of the origin is written" same /dev/mybrd-golden /tmp/changed
	ok "$mode: the clone has the old one" cmp -n 10 -i 3000001 /dev/mybrd-c /tmp/golden

	blkdiscard -o 4194304 -l 2097152 /dev/mybrd-c
	ok "$mode: a discard in the clone leaves the origin as it was" same /dev/mybrd-golden /tmp/changed
	is "$(only /dev/mybrd-c '\0' 4194304 2097152)" 0 "$mode: the clone has zeros there"
	fallocate -z -o 512 -l 512 /dev/mybrd-c
	ok "$mode: zeroing a part of a page, too" same /dev/mybrd-golden /tmp/changed
	remove golden
	ok "$mode: the origin goes first" [ ! -e /dev/mybrd-golden ]
	is "$(only /dev/mybrd-c x 1048576 65536)" 0 "$mode: the clone stays"
	is "$(shared c)" 0 "$mode: and shares nothing any more"
	fill /dev/mybrd-c y 0 8388608
	is "$(only /dev/mybrd-c y 0 8388608)" 0 "$mode: and takes writes"
	dmesg -C
	refused "$mode: a reset finds no origin" "No such" set_ c reset 1
	remove c
}

cycle() {
	local mode=$1 i
	golden "$mode"
	clone c "$mode"
	fill /dev/mybrd-c x 0 8388608
	set_ c power 0
	set_ c power 1
	ok "$mode: after a power cycle the clone is as the origin" same /dev/mybrd-c /tmp/golden
	fill /dev/mybrd-c x 0 1048576
	blkdiscard -o 2097152 -l 1048576 /dev/mybrd-c
	exec {fd}</dev/mybrd-c
	refused "$mode: no reset while it is open" "busy" set_ c reset 1
	exec {fd}>&-
	ok "$mode: a reset of a disk that nobody has open" set_ c reset 1
	ok "$mode: brings the content back" same /dev/mybrd-c /tmp/golden
	is "$(shared c)" "$(all_pages)" "$mode: all pages are shared again"
	for i in {1..200}; do
		fill /dev/mybrd-c x $((i * 4096)) 16384
		set_ c reset 1 || break
	done
	is "$i" 200 "$mode: 200 resets"
	ok "$mode: and the last is as good as the first" same /dev/mybrd-c /tmp/golden
	settled mybrd-c
	is "$(pages c) $(shared c)" "$(all_pages) $(all_pages)" "$mode: nothing is left behind"
	refused "$mode: reset takes 1" "Invalid" set_ c reset 0
	remove c
	target e size=1M queue_mode="$mode"
	fill /dev/mybrd-e x 0 65536
	ok "$mode: a disk without an origin is reset" set_ e reset 1
	is "$(pages e)" 0 "$mode: to nothing"
	remove e golden
}

sizes() {
	local mode=$1
	golden "$mode"
	dmesg -C
	mkdir "$cfs/c"
	set_ c clone_of golden
	set_ c size 4M
	refused "$mode: a clone can't be smaller" "Invalid" set_ c power 1
	like "$(dmesg)" "size=4194304: must be at least" "$mode: the log says what it must be"
	set_ c size 16M
	ok "$mode: it may be larger" set_ c power 1
	is "$(only /dev/mybrd-c '\0' 8388608 8388608)" 0 "$mode: and has zeros beyond"
	ok "$mode: shrinking to a part of a page" set_ c size $((4194304 + 512))
	set_ c size 16M
	is "$(only /dev/mybrd-c '\0' 4194816 8388608)" 0 "$mode: leaves zeros behind"
	ok "$mode: and the origin alone" same /dev/mybrd-golden /tmp/golden
	remove c
	ok "$mode: a clone with blocks of 4096" clone c "$mode" blocksize=4096
	remove c
	target odd size=$((1048576 + 512)) queue_mode="$mode"
	mkdir "$cfs/c"
	set_ c clone_of odd
	set_ c queue_mode "$mode"
	set_ c power 1
	is "$(get c size)" 1049088 "$mode: a clone has the size of its origin"
	set_ c power 0
	is "$(get c size)" 1048576 "$mode: which goes with its disk"
	set_ c clone_of golden
	ok "$mode: its next origin may have larger blocks" set_ c blocksize 4096
	ok "$mode: and so may the clone" set_ c power 1
	is "$(get c size)" 8388608 "$mode: it has the size of that one"
	remove c odd
	ok "$mode: a clone whose limit holds it" clone c "$mode" mem_limit=8M
	ok "$mode: can be overwritten" fill /dev/mybrd-c x 0 8388608
	is "$(pages c)" "$(all_pages)" "$mode: with no page more"
	ok "$mode: and reset" set_ c reset 1
	remove c
	refused "$mode: a clone whose limit does not" "No space" clone c "$mode" mem_limit=4M
	set_ c mem_limit 0
	ok "$mode: may be made with another" set_ c power 1
	remove c golden
}

# A size that is not there is not announced: the page at the new end can't be copied.
shrink_in_vain() {
	local mode=$1 limit=/sys/module/mybrd/parameters/mem_limit before uevents
	golden "$mode"
	clone c "$mode"
	before=$(cat $limit)
	echo 1M >$limit
	uevents=$(cat /sys/kernel/uevent_seqnum)
	refused "$mode: no memory for the page at the new end" "No space" set_ c size 4194816
	is "$(cat /sys/kernel/uevent_seqnum)" "$uevents" "$mode: and nobody hears of a new size"
	is "$(get c size)" 8388608 "$mode: the size is as before"
	ok "$mode: and so is the content" same /dev/mybrd-c /tmp/golden
	echo "$before" >$limit
	uevents=$(cat /sys/kernel/uevent_seqnum)
	ok "$mode: with memory" set_ c size 4194816
	is "$(cat /sys/kernel/uevent_seqnum)" $((uevents + 1)) "$mode: it has a new size, which is said once"
	remove c golden
}

many() {
	local mode=$1 i bad=0
	golden "$mode"
	target c0 clone_of=golden queue_mode="$mode"
	for i in {1..8}; do
		target "c$i" clone_of="c$((i - 1))" queue_mode="$mode"
		fill "/dev/mybrd-c$i" "$i" $((i * 65536)) 65536
	done
	for i in {1..8}; do
		[ "$(only /dev/mybrd-c8 "$i" $((i * 65536)) 65536)" = 0 ] || bad=$((bad + 1))
	done
	is "$bad" 0 "$mode: a clone of a clone of a clone has what each has written"
	ok "$mode: the first is as it was" same /dev/mybrd-golden /tmp/golden
	remove c3 c0 c5 golden
	is "$(only /dev/mybrd-c8 3 $((3 * 65536)) 65536)" 0 "$mode: also when those between are gone"
	remove c1 c2 c4 c6 c7 c8

	golden "$mode"
	bad=0
	for i in {1..64}; do clone "c$i" "$mode" & done
	wait
	for i in {1..64}; do same "/dev/mybrd-c$i" /tmp/golden || bad=$((bad + 1)); done
	is "$bad" 0 "$mode: 64 clones made at once"
	for i in {1..64}; do remove "c$i" & done
	wait
	ok "$mode: go at once" [ ! -e /dev/mybrd-c64 ]
	is "$(shared golden)" 0 "$mode: and share nothing any more"
	ok "$mode: the origin is as it was" same /dev/mybrd-golden /tmp/golden
	remove golden
}

# Under I/O: each block has a number, which is the same all over the disk when it is whole
in_use() {
	local mode=$1 i fio
	golden "$mode"
	mkfs.ext4 -q -F /dev/mybrd-golden
	mount /dev/mybrd-golden /mnt
	cp /tmp/golden /mnt/file 2>/dev/null || head -c 2M /tmp/golden >/mnt/file
	sum /mnt/file >/tmp/sum
	fsfreeze -f /mnt
	clone c "$mode"
	fsfreeze -u /mnt
	ok "$mode: a clone of a mounted and frozen disk is clean" fsck.ext4 -fn /dev/mybrd-c
	mkdir -p /tmp/c
	mount /dev/mybrd-c /tmp/c
	is "$(sum /tmp/c/file)" "$(cat /tmp/sum)" "$mode: and has the file"
	rm /tmp/c/file
	umount /tmp/c
	is "$(sum /mnt/file)" "$(cat /tmp/sum)" "$mode: the origin keeps it"
	remove c
	fio --name=w --filename=/mnt/io --size=1M --rw=randwrite --bs=4k --direct=1 --time_based \
		--runtime=5 --eta=never --output=/dev/null &
	fio=$!
	for i in {1..10}; do
		clone c "$mode" || break
		remove c || break
	done
	is "$i" 10 "$mode: ten clones beside writes"
	wait $fio
	is $? 0 "$mode: the writes went well"
	umount /mnt
	ok "$mode: leave the origin sound" fsck.ext4 -fn /dev/mybrd-golden
	remove golden
}

for mode in $(modes); do
	attributes "$mode"
	content "$mode"
	cycle "$mode"
	sizes "$mode"
	shrink_in_vain "$mode"
	many "$mode"
	in_use "$mode"
done
target m clone_of=mybrd
ok "a target made at load has a clone" [ -b /dev/mybrd-m ]
remove m
ok "the module goes" rmmod mybrd
done_testing
