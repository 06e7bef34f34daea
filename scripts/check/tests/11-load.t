#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Loading and unloading: many times without losing memory, never under somebody's
# feet, and with readers of the debugfs files there all the time.

set -u
. "$(dirname "$0")/configfs.sh"

load size=64M
ok "/dev/mybrd is a block device right after insmod" [ -b /dev/mybrd ]

# an open device
exec {fd}<>/dev/mybrd
udevadm settle
refused "rmmod of an open device is refused" "in use|busy" rmmod mybrd
ok "and the device still works" dd if=/dev/zero of=/dev/mybrd bs=4k count=1 oflag=direct
exec {fd}>&-
udevadm settle
ok "rmmod works once it is closed" rmmod mybrd
is "$(ls -d /sys/module/mybrd /dev/mybrd* "$debugfs" 2>/dev/null)" "" "nothing of it is left"

# a mounted device
load size=64M
mkfs.ext4 -q -F /dev/mybrd
mount /dev/mybrd /mnt
udevadm settle
refused "rmmod of a mounted device is refused" "in use|busy" rmmod mybrd
umount /mnt
udevadm settle
ok "rmmod works once it is unmounted" rmmod mybrd

# 4 MiB of data each time: in 50 times a leak of the data is 200 MiB, of one disk's structures 180 KiB of slab
cycles=$(rounds 50 8)
udev_pause
# load_and_unload TIMES: sets $wrong to what went wrong
load_and_unload() {
	local i
	wrong=
	for ((i = 0; i < $1; i++)); do
		op load "$ko" size=64M && op write /dev/mybrd 0 $((4 << 20)) 120 && op unload mybrd && continue
		wrong="round $i: $said"
		return
	done
}
load_and_unload 5		# what is allocated once
before=$(settled_memory)
slab=$(meminfo SUnreclaim)
load_and_unload "$cycles"
is "$wrong" "" "load, write and unload $cycles times"
after=$(settled_memory)
slab_after=$(meminfo SUnreclaim)
diag "MemFree before $before KiB, after $after KiB; unreclaimable slab $slab KiB, $slab_after KiB"
ok "$cycles rounds cost less than 4 MiB of free memory" [ $((before - after)) -lt 4096 ]
ok "$cycles rounds cost less than 128 KiB of slab" [ $((slab_after - slab)) -lt 128 ]

# readers of the listing and of one target's file, while the module comes and goes
readers=()
for file in targets target/mybrd target/1; do
	(
		n=0
		renice -n 19 $BASHPID >/dev/null
		while [ ! -e /tmp/stop ]; do
			{ read -r line <"$debugfs/$file"; } 2>/dev/null && ((n++))
			line=
		done
		echo "$n" >"/tmp/readers-${file//\//-}"
		: "$line"
	) &
	readers+=($!)
done
rounds=0
while [ $rounds -lt 8 ]; do
	insmod "$ko" size=1M nr_devices=4 || break
	for _ in {1..50}; do		# a reader inside may delay it, no more
		rmmod mybrd 2>/dev/null && break
		sleep 0.05
	done
	[ ! -d /sys/module/mybrd ] || break
	((++rounds))
done
touch /tmp/stop
wait "${readers[@]}"
is "$rounds" 8 "8 rounds of insmod and rmmod with readers in debugfs"
for file in targets target-mybrd target-1; do
	ok "the reader of $file got through ($(cat "/tmp/readers-$file") times)" \
		[ "$(cat "/tmp/readers-$file")" -gt 0 ]
done

udev_resume
done_testing
