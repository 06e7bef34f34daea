#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What scripts/check/quick and scripts/check/soak run beside KUnit: the races of 60-race on 70 pages,
# the torture of 61-torture and the seams of 63-seams, one after the other in one VM. A
# kernel that is a process is slow at starting other processes, and there are few here.
# All is done again and again for MYBRD_SOAK_SECONDS, which is once where that is not set.
# in: quick, soak
# vm: -a init_on_alloc=0

set -u
. "$(dirname "$0")/lib.sh"

race_seconds=${MYBRD_RACE_SECONDS:-2}
torture_seconds=${MYBRD_TORTURE_SECONDS:-2}
seams_seconds=${MYBRD_SEAMS_SECONDS:-6}
seed=${MYBRD_SEAMS_SEED:-$(date +%s)}

# In a short run, all stacks are such that the power may be cut.
stacks=()
[ -n "${MYBRD_SOAK_SECONDS:-}" ] || stacks=(--stack "plain,dm-linear,dm-stripe,loop,loop-direct")

udev_pause
modprobe -q configfs || true
while :; do
	for mode in $(modes); do
		load_mode "$mode" size=16M
		said=$("$race" -p 70 -t "$race_seconds" /dev/mybrd 2>&1)
		is $? 0 "$mode: 70 pages for $race_seconds s, every word verified"
		diag "$said"
		marker "torture in $mode mode"
		insmod "$payload/mybrd_torture.ko" seconds="$torture_seconds" queue_mode="$mode"
		is $? 0 "$mode: all against all for $torture_seconds s"
		said=$(log_since "torture in $mode mode" | sed -n 's/^\[[^]]*\] mybrd_torture: //p')
		like "$(tail -n 1 <<<"$said")" " 0 violations$" "$mode: no violation"
		diag "$said"
		rmmod mybrd_torture
		unload
	done
	load size=1M
	"$payload/seams" --seed "$seed" --seconds "$seams_seconds" --cases 1 --modes "$(modes | tr ' ' ,)" \
		"${stacks[@]}" >/tmp/seams.log 2>&1
	is $? 0 "seams, seed $seed: all that was read in $seams_seconds s was right, and nothing hangs"
	diag "$(tail -n 100 /tmp/seams.log)"
	unload
	[ $SECONDS -lt "${MYBRD_SOAK_SECONDS:-0}" ] || break
	seed=$((seed + 1))
	udev_pause
done
done_testing
