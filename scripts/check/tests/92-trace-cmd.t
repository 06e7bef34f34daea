#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# trace-cmd records the trace events mybrd:* beside those of RCU and of the block layer, and
# can format each of them. KernelShark reads the same file by the same library.
# in: check-all
# vm: -r more

set -u
. "$(dirname "$0")/configfs.sh"

load size=1M
no_udev

# As the guide shows it
cd /tmp || exit
sed -n 's/^    \(trace-cmd .*\)/\1/p' "$payload/guide.md" >example
is "$(wc -l <example)" 3 "the guide has an example"
while read -r line; do
	ok "$line" bash -o pipefail -c "$line"
done <example

# Everything that the driver has an event for
work() {
	target a size=1M write_cache=1
	fill /dev/mybrd-a x 0 262144
	sync /dev/mybrd-a
	mkdir "$cfs/b"
	set_ b clone_of a
	set_ b power 1
	fill /dev/mybrd-b y 0 65536
	discard /dev/mybrd-a
	settled mybrd-a
	set_ a cut 7
	set_ a power 1
	remove b a
}
export -f work target set_ fill discard settled counter remove
export cfs

ok "trace-cmd records" trace-cmd record -q -o /tmp/trace.dat -e mybrd -e rcu -e block bash -c work
ok "and reports" sh -c "trace-cmd report -i /tmp/trace.dat >/tmp/report 2>/tmp/errors"
is "$(grep -E 'FAILED TO PARSE|INVALID|could not read' /tmp/report /tmp/errors | head -n 3)" "" "it can format each event"
for event in /sys/kernel/tracing/events/mybrd/*/; do
	event=$(basename "$event")
	ok "$event is there" grep -qE "$event: +(dev=[0-9]+:[0-9]+|disk=mybrd-|targets=)" /tmp/report
done
ok "one event alone" sh -c "trace-cmd report -i /tmp/trace.dat -F 'mybrd/mybrd_insert:index==3' | grep -q 'index=3 hit'"
done_testing
