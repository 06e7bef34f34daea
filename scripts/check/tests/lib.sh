# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What the tests beside this file share. A test is a bash script NN-name.t that
# runs as root in a VM (scripts/check/systest) and speaks TAP:
#
#	. "$(dirname "$0")/lib.sh"
#	load size=64M                  # insmod; once more loads it anew
#	ok "what is promised" COMMAND  # the command succeeds
#	is "$got" "$wanted" "what is promised"
#	unload
#	done_testing
#
# A header comment "# vm: -m 1024 -a rcu_nocbs=all" gives the VM's options.

here=$(cd "${0%/*}" && pwd)
payload=${MYBRD_PAYLOAD:-${here%/*}}
ko=$payload/mybrd.ko
# shellcheck disable=SC2034
race=$payload/race
debugfs=/sys/kernel/debug/mybrd

# shellcheck source=../../tap.sh
. "$payload/tap.sh"

# marker TEXT: a line in the kernel log, so that a splat there has a neighbour
marker() { printf 'test: %s\n' "$*" >/dev/kmsg; }
noted() { marker "$@"; }

done_testing() {
	unload
	plan
	exit
}

# The queue modes that data path tests run in: all that the module has.
modes() {
	if [ -n "${MYBRD_MODES:-}" ]; then
		echo "$MYBRD_MODES"
	elif modinfo -p "$ko" | grep -q '^queue_mode:'; then
		echo "bio mq"
	else
		echo bio
	fi
}

# The file systems to try on a disk: ext4 and those that the kernel has as modules.
file_systems() {
	local fs
	echo ext4
	for fs in xfs f2fs; do
		! modprobe -nq "$fs" || echo "$fs"
	done
}

# sums DIR: a sum of all files below it, their names and what they hold
sums() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 md5sum | md5sum); }

# for mode in $(modes); do load_mode "$mode" size=64M; ...
load_mode() {
	local mode=$1
	shift
	if [ "$mode" = bio ]; then load "$@"; else load "queue_mode=$mode" "$@"; fi
}

# load PARAMETERS...: load the module, anew if it was loaded, and let udev settle
load() {
	unload
	marker "insmod $*"
	modprobe -q configfs || true
	insmod "$ko" "$@" || { fail "insmod $*"; return 1; }
	settle
}

# settle: udev has done what it does about the latest events; nothing if it is paused
settle() { [ ! -S /run/udev/control ] || udevadm settle --timeout=30; }

# udev, and whatever it started, may hold the node for a moment longer.
unload() {
	local try
	[ -d /sys/module/mybrd ] || return 0
	settle
	for try in 1 2 3 4 5; do
		rmmod mybrd 2>/dev/null && return 0
		sleep 0.2
	done
	fail "rmmod after $try tries"
	rmmod mybrd
}

# What udev does to a disk that was written to must not disturb a count.
# (--stop-exec-queue would do, if --start-exec-queue started it for certain.)
udev_pause() {
	local try
	pidof systemd-udevd >/dev/null || return 0
	udevadm settle && udevadm control --exit
	for try in {1..30}; do		# it finishes what it is at first, but now and then never
		pidof systemd-udevd >/dev/null || return 0
		sleep 0.1
	done
	pidof systemd-udevd | xargs -r kill -9
	rm -f /run/udev/control /run/udev/queue
}
udev_resume() { /lib/systemd/systemd-udevd --daemon 2>/dev/null && udevadm settle; }

# log_since MARKER: what the kernel has said since
log_since() { dmesg | sed "1,/$1/d"; }

# What the module said since the marker, without the kernel's remarks on modules that are built elsewhere
said_since() {
	log_since "$1" | sed -n 's/^\[[^]]*\] \(mybrd: .*\)/\1/p' |
		grep -v -e 'out-of-tree module' -e 'module verification failed'
}

# bugs: those in the kernel's log, and what follows each, for a test that keeps it off the console.
# What somebody wrote to an attribute, and the module quotes, is none.
bugs() {
	grep -v "mybrd: [a-z_]*='.*': must be" >/tmp/bugs
	HOME=/ bash "$payload/vm/console-scan" /tmp/bugs | grep -A 40 -Ff - /tmp/bugs
}

debug_kernel() { [ -e /sys/kernel/debug/failslab ]; }
# times MANY FEW: how often what shows up sooner or later is done; few times on a debug kernel, which is slow
rounds() { if debug_kernel; then echo "$2"; else echo "$1"; fi; }

# pages NAME: data pages that a target holds
pages() { awk -v n="$1" '$1 == n { print $4 }' "$debugfs/targets"; }

# sum FILE [OFFSET LENGTH]: a checksum of part of a device, past the page cache
sum() {
	dd if="$1" iflag=direct,skip_bytes,count_bytes bs=64k skip="${2:-0}" count="${3:-999999999999}" \
		status=none | md5sum | cut -d' ' -f1
}

# discard OPTIONS... DEVICE: blkdiscard without the warning
discard() {
	local said
	said=$(blkdiscard -f "$@" 2>&1) || { printf '%s\n' "$said"; return 1; }
}

# any_allocation_may_fail: by default none that may sleep, and no single page, ever does
any_allocation_may_fail() {
	local knob
	for knob in failslab/verbose=0 failslab/ignore-gfp-wait=N fail_page_alloc/verbose=0 \
		fail_page_alloc/ignore-gfp-wait=N fail_page_alloc/ignore-gfp-highmem=N \
		fail_page_alloc/min-order=0; do
		echo "${knob#*=}" >"/sys/kernel/debug/${knob%=*}"
	done
}

meminfo() { awk -v k="$1:" '$1 == k { print $2 }' /proc/meminfo; }

# settled_memory: KiB free, when nothing more comes back by itself. Free pages
# that a CPU keeps at hand do not count as free: from here on it keeps few.
settled_memory() {
	echo 1000000 >/proc/sys/vm/percpu_pagelist_high_fraction
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sleep 0.3
	meminfo MemFree
}
