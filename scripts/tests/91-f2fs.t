#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# f2fs, a file system that only writes to free segments and discards the others, works
# on this disk. No stock cloud kernel has it, so it runs on the debug kernel.
# in: check-all
# kernels: kunit-6.12
# vm: -m 2048 -r more

set -u
. "$(dirname "$0")/software.sh"

modprobe -q f2fs
load size=1M
no_udev

for mode in $(modes); do
	target a size=400M queue_mode="$mode"
	on_top "$mode, f2fs" /dev/mybrd-a mkfs.f2fs -q -f
	# By default it discards by itself, when it finds the time.
	umount /mnt
	mount -o nodiscard /dev/mybrd-a /mnt
	rm -rf /mnt/bin
	shrinks "$mode, f2fs: fstrim" fstrim /mnt
	umount /mnt
	ok "$mode, f2fs: fsck finds nothing" fsck.f2fs --dry-run /dev/mybrd-a
	remove a
done
done_testing
