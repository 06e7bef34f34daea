# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What the tests 9*.t share: a tree of files that is put on top of a disk.

. "$(dirname "$0")/configfs.sh"

tree=/usr/bin
mkdir -p /mnt /mnt2
sums() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 md5sum | md5sum); }
wanted=$(sums $tree)
tree_pages=$(($(du -sk $tree | cut -f 1) / 4))
# on_top WHAT DEVICE MKFS...: a tree of files survives on a file system there, and its memory comes back
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
