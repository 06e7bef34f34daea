#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# ext4, and xfs or f2fs where the kernel has it, on the disk: a tree of files copied
# there reads back the same, after a remount and a trim too, and the file system stays
# clean.

set -u
. "$(dirname "$0")/lib.sh"

tree=/usr/share/doc
[ "$(du -sm /usr/lib/udev | cut -f1)" -lt 1 ] || tree=/usr/lib/udev
want=$(sums $tree)
tree_pages=$(($(du -sk $tree | cut -f1) * 1024 / $(getconf PAGESIZE)))
diag "$tree: $(du -sm $tree | cut -f1) MiB, $(find $tree -type f | wc -l) files"

# check_fs FS DEVICE: it is clean; nothing is mended
check_fs() {
	case $1 in
	ext4) fsck.ext4 -fn "$2" ;;
	xfs) xfs_repair -n "$2" ;;
	f2fs) fsck.f2fs --dry-run "$2" ;;
	esac
}

round_trip() {
	local mode=$1 fs=$2 full less
	load_mode "$mode" size=512M
	ok "$mode, $fs: mkfs" "mkfs.$fs" -q /dev/mybrd
	mkdir -p /mnt
	# f2fs would discard by itself, when it finds the time.
	ok "$mode, $fs: mount" mount -t "$fs" -o nodiscard /dev/mybrd /mnt || return
	cp -a $tree /mnt/tree
	cp -a $tree /mnt/second
	head -c 8M /dev/urandom >/mnt/large
	md5sum </mnt/large >/tmp/large.sum
	sync
	full=$(pages mybrd)
	is "$(sums /mnt/tree)" "$want" "$mode, $fs: the copy is the same"
	rm -rf /mnt/second
	sync
	ok "$mode, $fs: fstrim" fstrim -v /mnt
	less=$(pages mybrd)
	diag "pages: $full, after rm and fstrim $less"
	in_range "$less" 0 $((full - tree_pages * 3 / 4)) "$mode, $fs: fstrim gave back what was removed"
	umount /mnt
	echo 3 >/proc/sys/vm/drop_caches
	ok "$mode, $fs: mount again" mount -t "$fs" /dev/mybrd /mnt || return
	is "$(sums /mnt/tree)" "$want" "$mode, $fs: still the same after trim and remount"
	is "$(md5sum </mnt/large)" "$(cat /tmp/large.sum)" "$mode, $fs: and so is one large file"
	umount /mnt
	ok "$mode, $fs: the file system is clean" check_fs "$fs" /dev/mybrd
}

for mode in $(modes); do
	for fs in $(file_systems); do
		round_trip "$mode" "$fs"
	done
done

done_testing
