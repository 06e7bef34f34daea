#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Several targets: their names, that none sees another's data, the listing in
# debugfs, and partitions on them.

set -u
. "$(dirname "$0")/lib.sh"

disks() { lsblk -dno NAME | grep '^mybrd' | sort | xargs; }
fill() { head -c "$3" /dev/zero | tr '\0' "$2" | dd of="$1" bs=64k oflag=direct conv=notrunc iflag=fullblock status=none; }
only() { dd if="$1" bs=64k count=16 iflag=direct status=none | tr -d "$2" | wc -c; }

load nr_devices=3 size=64M
is "$(disks)" "mybrd mybrd-1 mybrd-2" "nr_devices=3 makes mybrd, mybrd-1 and mybrd-2"
for disk in mybrd mybrd-1 mybrd-2; do
	is "$(blockdev --getsize64 /dev/$disk)" 67108864 "$disk has its size"
done
udev_pause
fill /dev/mybrd a 1048576
fill /dev/mybrd-1 b 1048576
is "$(only /dev/mybrd a) $(only /dev/mybrd-1 b) $(only /dev/mybrd-2 '\0')" "0 0 0" \
	"each disk holds what was written to it and nothing else"
discard /dev/mybrd
is "$(only /dev/mybrd '\0') $(only /dev/mybrd-1 b)" "0 0" "a discard on one is none on the next"

# the listing
is "$(cat "$debugfs/targets")" "name disk size pages
mybrd mybrd 67108864 0
1 mybrd-1 67108864 256
2 mybrd-2 67108864 0" "the listing names each target, its disk, size and pages"
is "$(cd "$debugfs/target" && echo *)" "1 2 mybrd" "each target has a debugfs file"
like "$(cat "$debugfs/target/1")" "mybrd-1" "which names its disk"
like "$(cat "$debugfs/target/1")" "(^|[^0-9])256([^0-9]|$)" "and says its pages"
refused "the listing is read-only" "denied|not permitted|Invalid|error" \
	dd if=/dev/zero of="$debugfs/targets" bs=1 count=1 conv=notrunc
udev_resume

many=$(rounds 256 64)
load nr_devices="$many" size=1M
is "$(disks | wc -w)" "$many" "nr_devices=$many makes $many disks"
is "$(($(wc -l <"$debugfs/targets") - 1))" "$many" "all of them are listed"
is "$(awk 'NR > 1 { print $1 }' "$debugfs/targets" | sort | uniq -d)" "" "each once"
start=${EPOCHREALTIME/./}
unload
took=$(((${EPOCHREALTIME/./} - start) / 1000))
diag "unloading $many targets took $took ms"
is "$(disks)" "" "they are all gone after rmmod"

# partitions
parts() {
	local dev=$1 p=$2 mode=$3
	printf 'label: gpt\nsize=16M\nsize=+\n' | sfdisk -q "$dev" || fail "sfdisk $dev"
	udevadm settle
	ok "$mode: $dev$p""1 and $dev$p""2 appear" [ -b "$dev${p}1" -a -b "$dev${p}2" ]
	is "$(blockdev --getsize64 "$dev${p}1")" 16777216 "$mode: the first has its size"
	ok "$mode: mkfs.ext4 on the second" mkfs.ext4 -q -F "$dev${p}2"
	ok "$mode: it mounts" mount "$dev${p}2" /mnt
	cp -a /etc /mnt/
	umount /mnt
	ok "$mode: and is clean" fsck.ext4 -fn "$dev${p}2"
	udev_pause
	fill "${dev}${p}1" x 1048576
	is "$(dd if="$dev" bs=1M skip=1 count=1 iflag=direct status=none | tr -d x | wc -c)" 0 \
		"$mode: a partition's data is on the disk where the table says"
	discard "${dev}${p}1"
	is "$(only "${dev}${p}1" '\0')" 0 "$mode: a discard of a partition zeroes it"
	udev_resume
	ok "$mode: and leaves its neighbour clean" fsck.ext4 -fn "$dev${p}2"
}
for mode in $(modes); do
	load_mode "$mode" nr_devices=2 size=64M
	parts /dev/mybrd "" "$mode"
	parts /dev/mybrd-1 p "$mode"
done

done_testing
