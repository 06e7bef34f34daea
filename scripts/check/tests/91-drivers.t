#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Drivers that sit on top of a disk, and do to it what no file system does: RAID whose disks fail
# and come back, device mapper with a cache of its own, a SCSI target, a throttle.
# in: check-all
# vm: -m 3072 -r more

set -u
. "$(dirname "$0")/configfs.sh"

a=/dev/mybrd-a b=/dev/mybrd-b
mount -t cgroup2 cgroup /sys/fs/cgroup 2>/dev/null
echo +io >/sys/fs/cgroup/cgroup.subtree_control
modprobe -a dm-crypt dm-integrity dm-snapshot raid456 raid10 target_core_iblock tcm_loop sd_mod
export DM_DISABLE_UDEV=1
load size=1M
no_udev

# verified DEVICE OPTIONS...: fio writes at random, and reads back what it wrote
verified() {
	fio --name=verified --filename="$1" --direct=1 --ioengine=libaio --iodepth=8 --rw=randwrite --bsrange=4k-64k --blockalign=4k \
		--size=48M --verify=crc32c --verify_fatal=1 --verify_backlog=128 "${@:2}"
}
# checked ARRAY: an array compares its disks; prints how many sectors differ
checked() {
	echo check >"/sys/block/$1/md/sync_action"
	mdadm --wait "/dev/$1" || true
	cat "/sys/block/$1/md/last_sync_action" "/sys/block/$1/md/mismatch_cnt" | xargs
}

raid() {
	local mode=$1 level=$2 disk pid
	for disk in r1 r2 r3 r4; do
		target $disk size=96M queue_mode="$mode"
	done
	ok "$mode, RAID $level: create" sh -c "yes | mdadm --create /dev/md0 --run --metadata=1.2 --level=$level --raid-devices=4 \
		--bitmap=none /dev/mybrd-r1 /dev/mybrd-r2 /dev/mybrd-r3 /dev/mybrd-r4"
	mdadm --wait /dev/md0
	verified /dev/md0 --loops=4 >/tmp/fio 2>&1 &
	pid=$!
	sleep 1
	ok "$mode, RAID $level: a disk fails under load" mdadm /dev/md0 --fail /dev/mybrd-r2
	sleep 1
	ok "$mode, RAID $level: and goes" mdadm /dev/md0 --remove /dev/mybrd-r2
	discard /dev/mybrd-r2
	sleep 1
	ok "$mode, RAID $level: an empty one takes its place" mdadm /dev/md0 --add /dev/mybrd-r2
	wait $pid
	is "$? $(grep -c 'verify:' /tmp/fio)" "0 0" "$mode, RAID $level: all that was written meanwhile reads back"
	mdadm --wait /dev/md0
	is "$(checked md0)" "check 0" "$mode, RAID $level: the disks agree when it is rebuilt"
	like "$(cat /proc/mdstat)" '\[UUUU\]' "$mode, RAID $level: and all four are in it"
	mdadm --stop /dev/md0 2>/dev/null
	for disk in r1 r2 r3 r4; do
		remove $disk
	done
}

# throttled MODE: a limit in io.max holds, in either direction, and loses nothing
throttled() {
	local mode=$1 group=/sys/fs/cgroup/slow start took
	mkdir $group
	echo "$(cat /sys/block/mybrd-a/dev) wbps=8388608 rbps=8388608" >$group/io.max
	head -c 24M /dev/urandom >/tmp/random
	start=$(date +%s%N)
	ok "$mode, io.max: 24 MiB written at 8 MiB/s" sh -c "echo \$\$ >$group/cgroup.procs
		exec dd if=/tmp/random of=$a bs=256k oflag=direct conv=notrunc status=none"
	took=$((($(date +%s%N) - start) / 1000000))
	in_range $took 2000 20000 "$mode, io.max: take their time ($took ms)"
	start=$(date +%s%N)
	ok "$mode, io.max: and read" sh -c "echo \$\$ >$group/cgroup.procs
		exec dd if=$a of=/tmp/read bs=256k count=96 iflag=direct status=none"
	took=$((($(date +%s%N) - start) / 1000000))
	in_range $took 2000 20000 "$mode, io.max: take it, too ($took ms)"
	ok "$mode, io.max: what is read is what was written" cmp /tmp/random /tmp/read
	rmdir $group
	rm /tmp/random /tmp/read
}

# lio MODE: the kernel's SCSI target exports the disk, and the kernel's SCSI attaches it
lio() {
	local mode=$1 core=/sys/kernel/config/target/core/iblock_0/m port=/sys/kernel/config/target/loopback/naa.6001405000000001
	local sd try way
	mkdir -p $core
	echo "udev_path=$a" >$core/control
	echo $a >$core/udev_path
	echo 1 >$core/enable
	echo 1 >$core/attrib/emulate_tpu
	echo 1 >$core/attrib/emulate_tpws
	mkdir -p $port/tpgt_1/lun/lun_0
	echo naa.6001405000000002 >$port/tpgt_1/nexus
	ln -s $core $port/tpgt_1/lun/lun_0/virtual_scsi_port
	for try in {1..100}; do
		sd=$(echo /sys/class/scsi_disk/*/device/block/*)
		[ ! -e "$sd" ] || break
		sleep 0.1
	done
	ok "$mode, LIO: a SCSI disk appears" [ -e "$sd" ]
	if [ -e "$sd" ]; then
		sd=${sd##*/}
		ok "$mode, LIO: fio verifies what it wrote there" verified "/dev/$sd"
		for way in unmap writesame_16; do
			dd if=/dev/zero of="/dev/$sd" bs=1M count=32 oflag=direct conv=notrunc status=none
			echo $way >"$(echo /sys/class/scsi_disk/*/provisioning_mode)"
			ok "$mode, LIO: a discard by $way" blkdiscard -f "/dev/$sd"
			settled mybrd-a
			is "$(counter mybrd-a pages) $(only "/dev/$sd" '\0' 0 33554432)" "0 0" "$mode, LIO: gives all memory back"
		done
	fi
	rm $port/tpgt_1/lun/lun_0/virtual_scsi_port
	rmdir $port/tpgt_1/lun/lun_0 $port/tpgt_1 $port $core ${core%/m}
}

for mode in $(modes); do
	for level in 5 6 10; do
		raid "$mode" $level
	done

	target a size=128M queue_mode="$mode"
	target b size=64M queue_mode="$mode"
	head -c 64 /dev/urandom >/tmp/key
	ok "$mode, dm-crypt without workqueues: open" cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 \
		--key-file /tmp/key --perf-no_read_workqueue --perf-no_write_workqueue $a crypt
	for engine in libaio io_uring psync; do
		ok "$mode, dm-crypt without workqueues: fio verifies what $engine wrote" verified /dev/mapper/crypt --ioengine=$engine
	done
	cryptsetup close crypt

	discard $b
	ok "$mode, dm-integrity: format" integritysetup format -q $b
	ok "$mode, dm-integrity: open" integritysetup open $b integrity
	ok "$mode, dm-integrity: fio verifies what it wrote" verified /dev/mapper/integrity --size=32M
	fill /dev/mapper/integrity x 0 1048576
	integritysetup close integrity
	# Data areas come after some 1 MiB of journal and tags: each sector of the rest is changed.
	fill $b y 16777216 33554432
	integritysetup open $b integrity
	refused "$mode, dm-integrity: what changed below it is noticed" "error" dd if=/dev/mapper/integrity of=/dev/null bs=1M iflag=direct
	integritysetup close integrity
	discard $b

	# A snapshot keeps the old content, with the other disk for what has changed.
	discard $a
	fill $a x 0 67108864
	wanted=$(sum $a 0 67108864)
	dmsetup create origin --table "0 131072 linear $a 0"
	dmsetup suspend origin
	dmsetup create snap --table "0 131072 snapshot $a $b P 8"
	dmsetup load origin --table "0 131072 snapshot-origin $a"
	dmsetup resume origin
	ok "$mode, dm-snapshot: fio verifies what it wrote to the origin" verified /dev/mapper/origin
	is "$(sum /dev/mapper/snap 0 67108864)" "$wanted" "$mode, dm-snapshot: the snapshot is as it was"
	ok "$mode, dm-snapshot: the origin is not" [ "$(sum $a 0 67108864)" != "$wanted" ]
	dmsetup remove snap
	dmsetup remove origin
	discard $a

	throttled "$mode"
	discard $a
	lio "$mode"

	# Trims among the writes
	ok "$mode: fio trims, writes there, and verifies" verified $a --rw=randtrimwrite --bsrange=4k-4k --trim_verify_zero=1
	# It punches a hole where it maps: to map once more, to verify, would lose all.
	ok "$mode: fio writes through a mapping" fio --name=map --filename=$a --ioengine=mmap --rw=randwrite --bs=4k --size=2M --fsync=64
	ok "$mode: and fio verifies sectors" verified $a --bsrange=512-4k --blockalign=512 --size=8M

	# The page cache beside discards and zeroing
	fill $a x 0 4194304
	printf 'y%.0s' {1..8192} | dd of=$a bs=8192 conv=notrunc status=none	# stays in the page cache
	ok "$mode: a discard of what is dirty in the page cache" blkdiscard -f -o 0 -l 4096 $a
	sync $a
	is "$(only $a '\0' 0 4096) $(only $a y 4096 4096) $(only $a x 8192 4186112)" "0 0 0" "$mode: reads as zeros on the disk, and no more"
	is "$(dd if=$a bs=4096 count=1 status=none | tr -d '\0' | wc -c)" 0 "$mode: and through the page cache"
	printf 'z%.0s' {1..8192} | dd of=$a bs=8192 conv=notrunc status=none
	ok "$mode: zeroing of what is dirty there" fallocate -z -o 512 -l 1024 $a
	blockdev --flushbufs $a
	is "$(only $a z 0 512) $(only $a '\0' 512 1024) $(only $a z 1536 6656)" "0 0 0" "$mode: zeroes that, and no more"
	is "$(dd if=$a bs=512 skip=1 count=2 status=none | tr -d '\0' | wc -c)" 0 "$mode: through the page cache, too"

	# A table of partitions is not read anew while one is in use.
	discard $a
	printf 'label: gpt\nsize=64M\nsize=32M\n' | sfdisk -q --no-tell-kernel $a
	blockdev --rereadpt $a
	mkfs.ext4 -q -F ${a}1 && mount ${a}1 /mnt && echo kept >/mnt/file
	refused "$mode: partitions are not read anew while one is mounted" "busy" blockdev --rereadpt $a
	is "$(cat /mnt/file) $(ls ${a}?)" "kept ${a}1
${a}2" "$mode: and are as they were"
	umount /mnt
	ok "$mode: afterwards they are" blockdev --rereadpt $a
	remove a b
done

if modprobe -q bcachefs && command -v mkfs.bcachefs >/dev/null; then
	target a size=512M
	ok "bcachefs: make" mkfs.bcachefs -q $a
	ok "bcachefs: mount" mount -t bcachefs $a /mnt
	cp -a /usr/bin /mnt
	umount /mnt
	mount -t bcachefs $a /mnt
	is "$(sums /mnt/bin)" "$(sums /usr/bin)" "bcachefs: all of it is there after a remount"
	umount /mnt
	remove a
else
	diag "no bcachefs: this kernel, or this Debian, has none"
fi
done_testing
