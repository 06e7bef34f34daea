# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What the torture tests share. MYBRD_TORTURE_SECONDS says how long each mode
# is tortured.

. "$(dirname "$0")/lib.sh"

seconds=${MYBRD_TORTURE_SECONDS:-4}

# walk_targets: read the list of targets a few bytes at a time, so that the walk
# ends and begins again under way, as long as there are targets
walk_targets() {
	while dd if="$debugfs/targets" bs=16 2>/dev/null; do :; done >/dev/null
}

# torture_test CPUS
torture_test() {
	local mode walker said status
	is "$(nproc)" "$1" "the machine has $1 CPUs"
	udev_pause
	for mode in $(modes); do
		load_mode "$mode" size=16M
		walk_targets &
		walker=$!
		marker "torture in $mode mode"
		insmod "$payload/mybrd_torture.ko" seconds="$seconds" queue_mode="$mode"
		status=$?
		kill "$walker"
		wait "$walker" 2>/dev/null
		said=$(log_since "torture in $mode mode" | sed -n 's/^\[[^]]*\] mybrd_torture: //p')
		diag "$said"
		is $status 0 "$mode: all against all for $seconds s"
		like "$(tail -n 1 <<<"$said")" "^$seconds s, [0-9]+ threads \(0 idle\), 0 violations$" "$mode: no violation"
		[ $status != 0 ] || rmmod mybrd_torture
		is "$(pages mybrd)" 0 "$mode: the default target has seen nothing of it"
		unload
	done
}
