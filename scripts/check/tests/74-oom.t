#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# When the system runs out of memory, the log says how much of it the disks
# hold: a line each, the largest first, at most eight, and not more than once in
# ten seconds. A process that is too big is killed; the disks keep their data.
# vm: -m 512

set -u
. "$(dirname "$0")/configfs.sh"

echo -1000 >/proc/self/oom_score_adj
dmesg -n 3	# the kernel shows a call trace with each kill, and that is no bug
load size=16M
no_udev

lines() { said_since "$1" | grep 'out of memory' || true; }
kills() { log_since "$1" | grep -c 'Killed process'; }

# Processes, one after the other, that want more memory than there is, and are the first to be
# killed for it. Each tells the kernel log its name. No program is read from a disk for them,
# which takes long where memory is short.
# kill_each NAME...: the signals that ended them, and how many processes the kernel has killed
kill_each() {
	killed=$("$payload/ops" eat "$@")
	killed="${killed#ok } $(kills "$1")"
}

# soon FIRST: from the first line about the disks to the last kill it was less than ten seconds,
# one of them to spare, as the limit goes by another clock
soon() {
	log_since "$1" | awk -F '[][]' '/ mybrd: out of memory/ && !first { first = $2 }
		/ Killed process/ { last = $2 } END { exit !(last - first < 9) }'
}

# hold NAME PAGES: a target with so many pages
hold() {
	target "$1" size=16M && dd if=/dev/zero of="/dev/mybrd-$1" bs=4k count="$2" oflag=direct status=none
}
line() { echo "mybrd: out of memory: mybrd-$1 holds $2 pages ($(($2 * 4)) KiB)"; }

# What a write cache keeps for a power cut counts, too.
target c size=16M write_cache=1
dd if=/dev/zero of=/dev/mybrd-c bs=4k count=60 oflag=direct conv=fsync status=none
dd if=/dev/zero of=/dev/mybrd-c bs=4k count=40 oflag=direct conv=notrunc status=none
hold a 700
target empty size=16M
hold b 350
# Two within ten seconds, for which most of the memory is taken; where the host is busy, a few tries.
mkdir /tmp/balloon
mount -t tmpfs -o size=100% balloon /tmp/balloon
dd if=/dev/zero of=/tmp/balloon/file bs=1M count=$(($(meminfo MemAvailable) / 1024 - 64)) status=none
for try in {1..5}; do
	kill_each "first$try-" "second$try-"
	if [ "$killed" != "9 9 2" ] || soon "first$try-"; then break; fi
	sleep 11
done
is "$killed" "9 9 2" "processes that want more than there is get killed, they alone"
ok "two of them within ten seconds, at the latest at the fifth try" soon "first$try-"
is "$(lines "first$try-")" "$(line a 700; line b 350; line c 100)" \
	"one line a target, the largest first: its disk, its pages; nothing of empty ones"
is "$(lines "second$try-")" "" "a second time at once says nothing"
umount /tmp/balloon

# Ten targets: the top eight
pages=(5 80 10 70 20 60 30)
for i in "${!pages[@]}"; do hold "t$i-" "${pages[i]}"; done
fill /dev/mybrd-a x 0 $((16 << 20))
want=$(line a 4096; line b 350; line c 100; line t1- 80; line t3- 70; line t5- 60; line t6- 30; line t4- 20)
sum=$(sum /dev/mybrd-a)
sleep 11

kill_each third-
is "$killed" "9 1" "a process that wants more than there is gets killed, it alone"
is "$(lines third-)" "$want" "ten targets hold memory: the log names the top eight"
is "$(sum /dev/mybrd-a)" "$sum" "what the disks hold is still there"
ok "and they take more" fill /dev/mybrd-b y 8388608 1048576
ok "all can be removed" remove_all

is "$(log_since first1- | bugs)" "" "the log shows no bug"
dmesg -n 7
done_testing
