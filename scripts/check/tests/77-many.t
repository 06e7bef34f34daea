#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# 256 targets at once, 64 on a debug kernel, each with its own data; adding and
# removing one takes no longer then than without them.

set -u
. "$(dirname "$0")/configfs.sh"

load size=1M
no_udev

many=$(rounds 256 64)
failed=
add() { op mkdir "$cfs/$1" && op put "$cfs/$1/power" 1 || failed+="$1: $said; "; }
take() { op put "$cfs/$1/power" 0 && op rmdir "$cfs/$1" || failed+="$1: $said; "; }

# measure: sets $adding and $removing to the microseconds that one takes, the least of 15: what else the
# host does only makes it longer
measure() {
	local start took
	adding=999999999 removing=999999999
	for _ in {1..15}; do
		start=${EPOCHREALTIME/./}
		add one
		took=$((${EPOCHREALTIME/./} - start))
		((took >= adding)) || adding=$took
		start=${EPOCHREALTIME/./}
		take one
		took=$((${EPOCHREALTIME/./} - start))
		((took >= removing)) || removing=$took
	done
}
# pattern I: what the Ith target holds
pattern() { pattern=$(($1 % 251))+$(($1 % 7 + 1)); }

measure
measure
adding_alone=$adding removing_alone=$removing
start=${EPOCHREALTIME/./}
for ((i = 1; i <= many; i++)); do add "n$i-"; done
diag "adding $many targets: $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
is "$failed$(find /dev -name 'mybrd-n*-' -type b | wc -l)" "$many" "$many targets have as many nodes"
is "$(grep -c '^n[0-9]*- mybrd-n' "$debugfs/targets")" "$many" "all are listed"

# A busy minute of the host passes; a walk over all targets does not.
measure
adding_among=$adding removing_among=$removing
for _ in 1 2 3 4; do
	((2 * adding_among >= 3 * adding_alone || 2 * removing_among >= 3 * removing_alone)) || break
	sleep 2
	measure
	((adding >= adding_among)) || adding_among=$adding
	((removing >= removing_among)) || removing_among=$removing
done
diag "adding one: $adding_alone us alone, $adding_among us among $many"
diag "removing one: $removing_alone us alone, $removing_among us among $many"
in_range $adding_among 0 $((2 * adding_alone + 1000)) "adding one takes no longer among $many targets"
in_range $removing_among 0 $((2 * removing_alone + 1000)) "removing one takes no longer among $many targets"

# Each has its own data.
for ((i = 1; i <= many; i++)); do
	pattern $i
	op write "/dev/mybrd-n$i-" 0 4096 $pattern || failed+="n$i-: $said; "
done
for ((i = 1; i <= many; i++)); do
	pattern $i
	op check "/dev/mybrd-n$i-" 0 4096 $pattern || failed+="n$i-: $said; "
	[ "$(counter "mybrd-n$i-" pages)" = 1 ] || failed+="n$i-: not one page; "
done
is "$failed" "" "each holds one page, with what was written to it"

start=${EPOCHREALTIME/./}
pids=()
for first in {1..8}; do
	(
		for ((i = first; i <= many; i += 8)); do take "n$i-"; done
		[ -z "$failed" ]
	) &
	pids+=($!)
done
for pid in "${pids[@]}"; do
	wait "$pid" || failed+="process $pid; "
done
is "$failed" "" "they can all be removed again"
diag "removing $many targets, eight at a time: $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
is "$(find $cfs -mindepth 1 -type d) $(find /dev -maxdepth 1 -name 'mybrd-*')" " " "and nothing of them is left"
done_testing
