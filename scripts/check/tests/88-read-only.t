#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# ro: a disk that nobody can write, from the start or from later on. A golden image is kept as
# it is, and its clones can be written.

set -u
. "$(dirname "$0")/configfs.sh"

load size=1M
no_udev
modprobe -q loop || true

# ro_of NAME: whether it is read-only, by configfs, by sysfs and by ioctl()
ro_of() { echo "$(get "$1" ro) $(cat "/sys/block/mybrd-$1/ro") $(blockdev --getro "/dev/mybrd-$1")"; }
dev=/dev/mybrd-a

for mode in $(modes); do
	# From power on
	target a size=16M queue_mode="$mode" ro=1
	is "$(ro_of a)" "1 1 1" "$mode: ro=1 while it is off makes a read-only disk"
	refused "$mode: a write fails" "not permitted" dd if=/dev/zero of=$dev bs=4k count=1 oflag=direct conv=notrunc
	refused "$mode: a buffered one, too" "not permitted" dd if=/dev/zero of=$dev bs=4k count=1 conv=notrunc
	refused "$mode: a discard" "not permitted" blkdiscard -f $dev
	refused "$mode: a zeroing" "not permitted" blkdiscard -f -z $dev
	refused "$mode: a hole" "not permitted" fallocate -p -l 4096 $dev
	refused "$mode: a file system" "not permitted|read-only|Read-only" mkfs.ext4 -q -F $dev
	blockdev --setrw $dev 2>/dev/null
	refused "$mode: blockdev --setrw changes nothing" "not permitted" dd if=/dev/zero of=$dev bs=4k count=1 oflag=direct conv=notrunc
	is "$(counter mybrd-a pages) $(only $dev '\0' 0 16777216)" "0 0" "$mode: it is as it was, and is read"

	# Live
	ok "$mode: ro=0 while it is on" set_ a ro 0
	is "$(ro_of a)" "0 0 0" "$mode: and it shows at once"
	ok "$mode: it can be written" mkfs.ext4 -q -F $dev
	mount $dev /mnt
	cp -a /etc /mnt/
	refused "$mode: a disk that is mounted does not become read-only" "busy" set_ a ro 1
	is "$(ro_of a)" "0 0 0" "$mode: and is as it was"
	umount /mnt
	printf 'label: gpt\nsize=4M\n' >/tmp/table
	wanted=$(md5sum <$dev)
	ok "$mode: ro=1 when it is not" set_ a ro 1
	is "$(ro_of a)" "1 1 1" "$mode: and it shows at once"
	refused "$mode: it can't be partitioned" . sh -c "sfdisk $dev </tmp/table"
	ok "$mode: it is mounted" mount -o ro $dev /mnt
	is "$(sums /mnt/etc)" "$(sums /etc)" "$mode: and read"
	refused "$mode: not written" "Read-only" touch /mnt/x
	refused "$mode: nor mounted to be written" "read-only|write-protected|Read-only" mount -o remount,rw $dev /mnt
	# A change back needs nobody to close it.
	ok "$mode: ro=0 while it is mounted" set_ a ro 0
	set_ a ro 1 2>/dev/null
	is "$(ro_of a)" "0 0 0" "$mode: back again only when it is not"
	umount /mnt
	set_ a ro 1

	# A golden image and its clones
	mkdir $cfs/c
	set_ c clone_of a
	ok "$mode: a clone of a read-only disk" set_ c power 1
	is "$(ro_of c)" "0 0 0" "$mode: can be written"
	mount /dev/mybrd-c /mnt
	rm -r /mnt/etc
	umount /mnt
	is "$(md5sum <$dev)" "$wanted" "$mode: which the origin does not see"
	ok "$mode: ro=1 of the clone" set_ c ro 1
	refused "$mode: it is not written any more" "not permitted" dd if=/dev/zero of=/dev/mybrd-c bs=4k count=1 oflag=direct conv=notrunc
	ok "$mode: a read-only clone is reset" set_ c reset 1
	is "$(md5sum </dev/mybrd-c)" "$wanted" "$mode: to its origin's content"
	is "$(ro_of c)" "1 1 1" "$mode: and still is read-only"
	ok "$mode: it grows" set_ c size 32M
	ok "$mode: and shrinks" set_ c size 16M
	set_ c power 0
	set_ c power 1
	is "$(ro_of c)" "1 1 1" "$mode: as it is after power off and on"

	# Without power, and after it
	set_ c cut keep
	refused "$mode: it can't change without power" "No such device" set_ c ro 0
	set_ c power 1
	is "$(ro_of c) $(md5sum </dev/mybrd-c)" "1 1 1 $wanted" "$mode: after a power cut it is the same"
	remove c a
done

# A partition, and what is on top of it
target a size=16M
printf 'label: gpt\nsize=4M\n' | sfdisk -q --no-tell-kernel $dev
blockdev --rereadpt $dev
exec {fd}<${dev}1
refused "a disk whose partition is open does not become read-only" "busy" set_ a ro 1
exec {fd}>&-
ok "when it is closed, it does" set_ a ro 1
refused "its partition can't be written" "not permitted" dd if=/dev/zero of=${dev}1 bs=4k count=1 oflag=direct conv=notrunc
remove a
done_testing
