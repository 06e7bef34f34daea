# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# A discard gives memory back, within a second: the test that 50-memory.t and
# 51-memory-nocbs.t run, with and without RCU callbacks moved off the CPUs.

. "$(dirname "$0")/lib.sh"

mib=$(rounds 256 128)
dev=${MYBRD_DEV:-/dev/mybrd}

# A debug kernel takes its time to look at each page, less than RCU_LAZY would take.
patience=1000
! debug_kernel || patience=5000

# returned DESCRIPTION COMMAND...: fills the disk, lets COMMAND empty it, and
# wants 95% of the memory back no later than a second after it returned
returned() {
	local what=$1 before full after=0 start now available
	shift
	before=$(settled_memory)
	available=$(meminfo MemAvailable)
	dd if=/dev/zero of="$dev" bs=1M count="$mib" oflag=direct status=none
	[ "$dev" != /dev/mybrd ] || is "$(pages mybrd)" $((mib * 256)) "$what: $mib MiB written are as many pages"
	full=$(meminfo MemFree)
	ok "$what: they take that much memory" [ $((before - full)) -ge $((mib * 1024 * 95 / 100)) ]
	ok "$what: it is done" "$@"
	start=${EPOCHREALTIME/./}
	while :; do
		now=$(((${EPOCHREALTIME/./} - start) / 1000))
		after=$(meminfo MemFree)
		if [ $((after - full)) -ge $((mib * 1024 * 95 / 100)) ] || [ $now -ge 8000 ]; then
			break
		fi
		sleep 0.02
	done
	diag "free KiB: $before, full $full, $now ms later $after; available $available, $(meminfo MemAvailable)"
	ok "$what: the memory is back within a second (took $now ms)" [ "$now" -lt $patience ]
	ok "$what: MemAvailable agrees" [ $((available - $(meminfo MemAvailable))) -lt $((mib * 1024 * 5 / 100)) ]
	[ "$dev" != /dev/mybrd ] || is "$(pages mybrd)" 0 "$what: no page is left"
}

memory_test() {
	local mode
	for mode in $(modes); do
		[ "$dev" != /dev/mybrd ] || load_mode "$mode" size=512M
		udev_pause
		returned "$mode: blkdiscard" discard "$dev"
		returned "$mode: punched hole" fallocate -p -o 0 -l 512M "$dev"
		udev_resume
		[ "$dev" = /dev/mybrd ] || continue
		before=$(settled_memory)
		dd if=/dev/zero of="$dev" bs=1M count="$mib" oflag=direct status=none
		unload
		after=$(settled_memory)
		ok "$mode: rmmod gives everything back ($before KiB free, then $after)" \
			[ "$after" -ge $((before - 4096)) ]
	done
}
