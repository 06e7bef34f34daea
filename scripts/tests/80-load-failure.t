#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A load that fails half-way leaves nothing: the allocations of an insmod with
# three disks fail, one in every load, from the first that makes a disk to the
# last. Needs fault injection, so it runs on the debug kernel.
# kernels: kunit-6.12

set -u
. "$(dirname "$0")/lib.sh"

any_allocation_may_fail

# load_failing N DISKS: load with the Nth allocation failing; says its errno, and
# how many allocations were still to come before the one to fail, 0 if it came
load_failing() {
	perl -e '
		my ($ko, $nth, $disks) = @ARGV;
		sysopen(my $module, $ko, 0) or die "$ko: $!";
		sysopen(my $fail, "/proc/thread-self/fail-nth", 2) or die "fail-nth: $!";
		my $params = "nr_devices=$disks size=1M\0";
		syswrite($fail, "$nth\0");
		my $failed = syscall(313, fileno($module), $params, 0) == -1;	# finit_module
		my $errno = $failed ? $! + 0 : 0;
		sysseek($fail, 0, 0);
		sysread($fail, my $left, 16);
		syswrite($fail, "0\0");
		printf("%d %d\n", $errno, $left);
	' "$ko" "$1" "$2"
}

# allocations DISKS: how many a load makes
allocations() {
	local errno left
	read -r errno left <<<"$(load_failing 1000000 "$1")"
	[ "$errno" = 0 ] && rmmod mybrd
	echo $((1000000 - left))
}

modprobe -q configfs || true
udev_pause
allocations 1 >/dev/null			# what the kernel does once only
one=$(allocations 1)
three=$(allocations 3)
disk=$(((three - one) / 2))
diag "a load makes $one allocations with one disk, $three with three"
ok "a disk takes allocations that can fail" [ "$disk" -gt 20 ]

refusals=0
loads=0
odd=
traces=
# The last few come and go with what the kernel has at hand: the end is where one is missed.
for ((nth = one - disk; ; nth += disk / 6)); do
	read -r errno left <<<"$(load_failing "$nth" 3)"
	[ "$left" = 0 ] || { rmmod mybrd; break; }
	((++loads))
	if [ "$errno" = 0 ]; then
		rmmod mybrd || { odd="$odd rmmod:$nth"; break; }
	else
		((++refusals))
		[[ $errno =~ ^(12|22)$ ]] || odd="$odd errno$errno:$nth"
		for path in /sys/module/mybrd /dev/mybrd* "$debugfs" /sys/kernel/config/mybrd; do
			[ ! -e "$path" ] || traces="$traces $path:$nth"
		done
	fi
done
diag "$refusals of $loads loads were refused"
in_range "$((one - disk + loads * (disk / 6)))" $((three - disk / 2)) $((three + disk / 2)) \
	"each allocation in turn failed, up to the last"
ok "the failures were refusals, most of them" [ "$refusals" -gt 8 ]
is "$odd" "" "every refusal was ENOMEM (or the EINVAL that device_add() makes of it), and what got by unloads"
is "$traces" "" "nothing is left of a load that was refused"
udev_resume

load nr_devices=3 size=1M
ok "and a load with no failure works" [ -b /dev/mybrd-2 ]
done_testing
