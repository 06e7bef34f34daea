#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Save and load: the map tells which pages a disk has; a huge sparse disk goes to a file and back, in
# time proportional to what it holds; and a disk in use is saved as it was at one moment.

set -u
. "$(dirname "$0")/configfs.sh"

load nr_devices=1 size=1M
no_udev
map=$debugfs/map
tmp=/tmp/save-load
mkdir -p $tmp
mount -t tmpfs none $tmp

is "$(ls $map)" mybrd "each disk has a map"
is "$(cat $map/mybrd)" "" "that of an empty disk is empty"
fill /dev/mybrd x 0 "$page"
fill /dev/mybrd x $((70 * page)) $((3 * page))
is "$(cat $map/mybrd)" "0 $page
$((70 * page)) $((3 * page))" "it tells where the pages are"
fill /dev/mybrd x 0 1048576
is "$(cat $map/mybrd)" "0 1048576" "a run of pages is one line"
discard -o "$page" -l "$page" /dev/mybrd
is "$(cat $map/mybrd)" "0 $page
$((2 * page)) $((1048576 - 2 * page))" "a hole ends it"
mkdir $cfs/odd
echo 67072 >$cfs/odd/size
echo 1 >$cfs/odd/power
head -c 67072 /dev/urandom | dd of=/dev/mybrd-odd bs=67072 iflag=fullblock oflag=direct status=none
is "$(cat $map/odd)" "0 67072" "the last page ends where the disk does"
ok "a disk of an odd size is saved" disk/save odd $tmp/odd
ok "as it is" cmp $tmp/odd /dev/mybrd-odd
remove odd
refused "there is no map of a disk that is off" "No such file" cat $map/odd

# 64 GiB with something in it every 300 MiB or so, also at the very end
target big size=64G
for ((i = 0; i < 200; i++)); do
	head -c $((page * (1 + i % 5))) /dev/urandom |
		dd of=/dev/mybrd-big bs=64k seek=$((i * 314572800 / page * page + page * i)) \
			oflag=direct,seek_bytes conv=notrunc iflag=fullblock status=none
done
fill /dev/mybrd-big z $((64 * 1073741824 - page)) "$page"
start=$SECONDS
ok "64 GiB are saved" disk/save big $tmp/big
is "$(stat -c %s $tmp/big)" $((64 * 1073741824)) "to a file as large"
ok "which is sparse" [ "$(du -m $tmp/big | cut -f1)" -lt 16 ]
ok "it goes through a pipe" sh -c "tar -C $tmp -cSf - big | gzip >$tmp/big.tar.gz && mkdir $tmp/out && tar -C $tmp/out -xSzf $tmp/big.tar.gz"
ok "and is loaded into a disk that was not there" disk/load $tmp/out/big copy
is "$(cat $map/copy)" "$(cat $map/big)" "with pages in the same places"
differs=0
while read -r offset length; do
	cmp -s -i "$offset" -n "$length" /dev/mybrd-big /dev/mybrd-copy || ((++differs))
done <$map/big
is $differs 0 "and the same content"
ok "all of that takes seconds ($((SECONDS - start)))" [ $((SECONDS - start)) -lt 90 ]
is "$(echo "$cfs"/*)" "$cfs/big $cfs/copy $cfs/features" "no clone is left"

# into a disk that has something, and is larger
target old size=65G
fill /dev/mybrd-old o $((5 * page)) 65536
ok "a disk is loaded over" disk/load $tmp/big old
is "$(cat $map/old)" "$(cat $map/big)" "of the old content nothing is left"
remove old
target small size=1M
refused "a disk that is too small is refused" "is smaller" disk/load $tmp/big small
remove small
remove copy
remove big

# in use
target used size=64M
mkfs.ext4 -q /dev/mybrd-used && mount /dev/mybrd-used /mnt
echo promised >/mnt/promised
fsfreeze -f /mnt
ok "a disk that is mounted is saved" disk/save used $tmp/used
fsfreeze -u /mnt
refused "and not loaded over" "in use" disk/load $tmp/used used
is "$(cat /mnt/promised)" promised "which changes nothing"
umount /mnt
remove used
ok "the file is loaded" disk/load $tmp/used again
ok "its file system is clean" fsck.ext4 -fn /dev/mybrd-again
mount /dev/mybrd-again /mnt
is "$(cat /mnt/promised)" promised "and whole"
umount /mnt
remove again
refused "no such disk" "no disk" disk/save nothing $tmp/nothing
refused "no such file" "no file" disk/load $tmp/nothing nothing
umount $tmp
ok "the module goes" rmmod mybrd
done_testing
