#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What people put on a disk works on this one: file systems, device mapper, RAID,
# loop devices and swap, with what was written read back and compared.
# in: check-all
# vm: -m 3072 -r more

set -u
. "$(dirname "$0")/configfs.sh"

tree=/usr/bin
mkdir -p /mnt /mnt2
wanted=$(sums $tree)
tree_pages=$(($(du -sk $tree | cut -f 1) / 4))

# on_top WHAT DEVICE MKFS...: a tree of files survives on a file system there
on_top() {
	local what=$1 device=$2
	shift 2
	ok "$what: make a file system" "$@" "$device" || return
	ok "$what: mount it" mount "$device" /mnt || return
	ok "$what: copy $tree there" cp -a $tree /mnt
	umount /mnt
	mount "$device" /mnt
	is "$(sums /mnt/bin)" "$wanted" "$what: all of it is there after a remount"
}

# shrinks WHAT COMMAND...: it gives back most of what the tree took, which is removed
shrinks() {
	local what=$1 before
	shift
	sync
	before=$(counter mybrd-a pages)
	ok "$what" "$@"
	settled mybrd-a
	in_range "$(counter mybrd-a pages)" 0 $((before - tree_pages * 3 / 4)) "$what: memory is back"
}

mount -t cgroup2 cgroup /sys/fs/cgroup 2>/dev/null
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
modprobe -a loop dm-crypt dm-thin-pool raid1
export DM_DISABLE_UDEV=1

load size=1M
no_udev

for mode in $(modes); do
	target a size=600M queue_mode="$mode"
	a=/dev/mybrd-a

	on_top "$mode, btrfs" $a mkfs.btrfs -q -f
	ok "$mode, btrfs: scrub finds nothing" btrfs scrub start -B /mnt
	rm -rf /mnt/bin
	shrinks "$mode, btrfs: fstrim" fstrim /mnt
	umount /mnt
	ok "$mode, btrfs: check finds nothing" btrfs check -p $a
	discard $a

	on_top "$mode, loop: ext4 below it" $a mkfs.ext4 -q -F
	truncate -s 200M /mnt/file
	loop=$(losetup -f --show /mnt/file)
	mkfs.ext4 -q -F "$loop" && mount "$loop" /mnt2 && cp -a $tree /mnt2
	umount /mnt2
	sync
	echo 3 >/proc/sys/vm/drop_caches
	mount "$loop" /mnt2
	is "$(sums /mnt2/bin)" "$wanted" "$mode, loop: a tree on a file on the disk is whole"
	rm -rf /mnt2/bin /mnt/bin
	sync
	shrinks "$mode, loop: fstrim in the file punches holes in the disk" sh -c 'fstrim /mnt2 && sync && fstrim /mnt'
	umount /mnt2
	losetup -d "$loop"
	umount /mnt
	ok "$mode, loop: fsck finds nothing" fsck.ext4 -fn $a
	discard $a

	head -c 64 /dev/urandom >/tmp/key
	ok "$mode, dm-crypt: open" cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 \
		--key-file /tmp/key --allow-discards $a crypt
	on_top "$mode, dm-crypt" /dev/mapper/crypt mkfs.ext4 -q -F
	rm -rf /mnt/bin
	shrinks "$mode, dm-crypt: fstrim" fstrim /mnt
	umount /mnt
	cryptsetup close crypt
	discard $a

	lvm_() { lvm "$@" --config 'activation{udev_sync=0 udev_rules=0 monitoring=0} devices{scan=["/dev"] use_devicesfile=0}'; }
	ok "$mode, LVM: a thin pool" sh -c "$(declare -f lvm_)
		lvm_ pvcreate -q $a && lvm_ vgcreate -q vg $a &&
		lvm_ lvcreate -q -y -Zn -T -L 400M vg/pool && lvm_ lvcreate -q -y -Wn -V 1G -T vg/pool -n thin"
	on_top "$mode, thin volume" /dev/vg/thin mkfs.ext4 -q -F
	ok "$mode, thin volume: a snapshot" lvm_ lvcreate -q -y -s -kn vg/thin -n snap
	rm -rf /mnt/bin
	mount -o ro,noload /dev/vg/snap /mnt2
	is "$(sums /mnt2/bin)" "$wanted" "$mode, thin volume: the snapshot keeps what is removed"
	umount /mnt2
	lvm_ lvremove -q -y vg/snap >/dev/null
	shrinks "$mode, thin volume: fstrim" fstrim /mnt
	umount /mnt
	lvm_ vgremove -q -y -f vg >/dev/null
	discard $a

	target b size=600M queue_mode="$mode"
	ok "$mode, RAID 1: create" sh -c "yes | mdadm --create /dev/md0 --run --metadata=1.2 --level=1 --raid-devices=2 \
		--assume-clean --bitmap=none $a /dev/mybrd-b"
	on_top "$mode, RAID 1" /dev/md0 mkfs.ext4 -q -F
	ok "$mode, RAID 1: one disk fails" mdadm /dev/md0 --fail /dev/mybrd-b --remove /dev/mybrd-b
	cp -a $tree /mnt/again
	discard /dev/mybrd-b
	ok "$mode, RAID 1: a new one takes its place" mdadm /dev/md0 --add /dev/mybrd-b
	mdadm --wait /dev/md0
	# shellcheck disable=SC2016 # for the other shell
	ok "$mode, RAID 1: and is compared" sh -c 'echo check >/sys/block/md0/md/sync_action && { mdadm --wait /dev/md0; true; } &&
		[ "$(cat /sys/block/md0/md/last_sync_action)" = check ] && grep -q "\[UU\]" /proc/mdstat'
	is "$(cat /sys/block/md0/md/mismatch_cnt)" 0 "$mode, RAID 1: both are equal when it is rebuilt"
	ok "$mode, RAID 1: the first disk fails" mdadm /dev/md0 --fail $a --remove $a
	sync
	echo 3 >/proc/sys/vm/drop_caches
	is "$(sums /mnt/again)" "$wanted" "$mode, RAID 1: the other one has everything"
	umount /mnt
	mdadm --stop /dev/md0 2>/dev/null
	remove b
	discard $a

	ok "$mode, swap: the disk is full, so that swapping asks for no memory" \
		dd if=/dev/urandom of=$a bs=1M count=600 oflag=direct
	mkswap $a >/dev/null
	ok "$mode, swap: on" swapon $a
	mkdir /sys/fs/cgroup/small
	echo 64M >/sys/fs/cgroup/small/memory.max
	swapped=$(awk '$1 == "pswpout" { print $2 }' /proc/vmstat)
	ok "$mode, swap: 160 MiB in a group that may have 64 keep their content" sh -c \
		'echo $$ >/sys/fs/cgroup/small/cgroup.procs &&
		stress-ng --vm 1 --vm-bytes 160M --vm-method incdec --vm-ops 4000 --verify -t 100 -q'
	in_range $(($(awk '$1 == "pswpout" { print $2 }' /proc/vmstat) - swapped)) 16384 999999999 "$mode, swap: 64 MiB at least went there"
	ok "$mode, swap: off" swapoff $a
	rmdir /sys/fs/cgroup/small

	fill $a x 0 1048576
	ok "$mode: blkdiscard -z" blkdiscard -f -z -o 0 -l 512K $a
	is "$(only $a '\0' 0 524288) $(only $a x 524288 524288)" "0 0" "$mode: it zeroes that, and no more"
	ok "$mode: fallocate --punch-hole" fallocate -p -o 512K -l 256K $a
	is "$(only $a '\0' 0 786432) $(only $a x 786432 262144)" "0 0" "$mode: it makes a hole there, and no other"
	said=$(badblocks -w -b 4096 -t random -t 0xaa $a 16384 2>/dev/null)
	is "$? $said" "0 " "$mode: badblocks -w finds none"

	verify=(fio --name=verify --filename="$a" --rw=randwrite --bsrange=512-64k --size=48M --iodepth=8
		--verify=crc32c --verify_fatal=1)
	for engine in io_uring libaio; do
		ok "$mode: fio verifies what $engine wrote" "${verify[@]}" --ioengine=$engine
	done
	# Where it maps a disk, fio begins with MADV_REMOVE, also before it verifies.
	ok "$mode: fio writes by mmap" "${verify[@]}" --ioengine=mmap --do_verify=0
	ok "$mode: fio verifies what mmap wrote" "${verify[@]}" --ioengine=psync --verify_only
	mkfs.ext4 -q -F $a && mount $a /mnt
	ok "$mode: stress-ng" stress-ng --hdd 2 --hdd-bytes 32M --readahead 1 --readahead-bytes 32M --io 1 --temp-path /mnt \
		--verify -t 10 -q
	umount /mnt
	ok "$mode: fsck finds nothing after it" fsck.ext4 -fn $a
	remove a
done
done_testing
