#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A few power cuts of make crash-test: what file systems and SQLite have promised is there,
# and what is wrong on purpose is found. And the functions of crash.sh, which other people's
# tests call.

set -u
. "$(dirname "$0")/configfs.sh"
. "$(dirname "$0")/crash.sh"

# What a test of one's own is: a program, and a look at what it left
write_two() {
	head -c 100000 /dev/urandom >/mnt/synced
	sync /mnt/synced /mnt
	md5sum </mnt/synced >/tmp/synced.sum
	head -c 100000 /dev/urandom >/mnt/forgotten
}
look() {
	[ "$(md5sum <"$1/synced")" = "$(cat /tmp/synced.sum)" ] || { echo "synced is not as it was"; return 3; }
	[ ! -s "$1/forgotten" ] || { echo "forgotten is still there"; return 4; }
}

library() {
	local mode=$1 how
	target victim size=64M write_cache=1 queue_mode="$mode"
	mkfs.ext4 -q /dev/mybrd-victim
	for how in lose ''; do
		mount /dev/mybrd-victim /mnt
		rm -f /mnt/forgotten
		write_two
		ok "$mode: the power is cut (${how:-at random})" crash_cut victim $how
		refused "$mode: nothing is written any more" "error|Read-only" dd if=/dev/zero of=/mnt/more bs=4k count=1 conv=fsync
		ok "$mode: it comes back, though it was mounted" crash_back victim
		ok "$mode: what was synced is there, what was not is lost, and ext4 is sound" crash_check victim look
	done
	ok "$mode: another look" crash_check -t ext4 -o ro -d /dev/mybrd-victim victim
	refused "$mode: it says so where a test fails" "forgotten|synced" crash_check victim sh -c 'echo no synced; exit 3' -
	dd if=/dev/zero of=/dev/mybrd-victim bs=4k seek=1 count=60 oflag=direct status=none
	refused "$mode: and where the file system is not sound" "not sound|mounted" crash_check -t ext4 victim
	remove victim
}

load size=1M
no_udev
mkdir -p /mnt
for mode in $(modes); do
	library "$mode"
done
unload

seed=${MYBRD_SEAMS_SEED:-$(date +%s)}
said=$(bash "$here/crash-run" -s 25 -S "$seed" ext4 sqlite-wal sqlite-rollback 2>&1)
is $? 0 "seed $seed: what was promised is there"
diag "$said"
# The debug kernels have no device mapper.
planted=(nobarrier)
! dmsetup targets >/dev/null 2>&1 || planted+=(swallow)
said=$(bash "$here/crash-run" -s 10 -n 8 -S "$seed" "${planted[@]}" 2>&1)
is $? 0 "seed $seed: what is wrong on purpose is found: ${planted[*]}"
diag "$said"
done_testing
