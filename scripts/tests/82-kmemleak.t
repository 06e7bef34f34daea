#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A thousand targets are made, written, read, discarded, resized and removed, and
# nothing that was allocated for them is lost: kmemleak, which looks for memory that
# nobody points to, finds none; nor where an allocation fails while one is made. Data
# pages are not its business; they are counted.
# in: check-all
# vm: -t 900 -m 512 -a kmemleak=on

set -u
. "$(dirname "$0")/configfs.sh"

leaks=/sys/kernel/debug/kmemleak
# scanned: twice, as what is seen once may be on its way from one list to another; refused where it is off
scanned() { echo scan >"$leaks" && sleep 6 && echo scan >"$leaks"; }
ok "the kernel has kmemleak, and it is on" scanned
echo clear >$leaks

load size=1M
no_udev
# A removal waits for grace periods most of its time: four go on side by side.
run_perl <<'END'
my ($cycles, $processes, $failed) = (1000, 4, 0);
my $part = pack "QQ", 65536, 65536;
# cycle(NAME, N): what went wrong in the Nth life of a target
sub cycle {
	my ($name, $i) = @_;
	my ($dir, $data, $back, $wrong) = ("$cfs/$name", chr($i % 255 + 1) x 300000, "", "");
	mkdir $dir or return "mkdir: $!";
	$wrong ||= put("$dir/size", "1M") || put("$dir/queue_mode", $i % 2 ? "bio" : "mq") || put("$dir/power", "1");
	sysopen(my $h, "/dev/mybrd-$name", O_RDWR) or return "$wrong open: $!";
	$wrong ||= "write" if syswrite($h, $data) != length $data;
	$wrong ||= "discard: $!" if !ioctl($h, 0x1277, $part);	# BLKDISCARD
	sysseek($h, 0, 0);
	$wrong ||= "read" if sysread($h, $back, 65536) != 65536 || $back ne substr($data, 0, 65536);
	close $h;
	$wrong ||= put("$dir/size", "2M");
	$wrong = put("$dir/power", "0") || $wrong;
	rmdir $dir or return "$wrong rmdir: $!";
	return $wrong;
}
$| = 1;
for my $process (1 .. $processes) {
	next if fork;
	for my $i (1 .. $cycles / $processes) {
		my $wrong = cycle("leak$process", $i) or next;
		print "# cycle $i of leak$process: $wrong\n";
		exit 1;
	}
	exit 0;
}
while (wait != -1) { $failed++ if $? }
is($failed, 0, "$cycles targets come, work and go");
END

any_allocation_may_fail
run_perl <<'END'
my ($refused, $wrong) = (0, "");
for my $mode ("bio", "mq") {
	my $left = 0;
	for (my $nth = 1; !$left && !$wrong; $nth += 5) {
		mkdir "$cfs/fail" or die "mkdir: $!";
		put("$cfs/fail/queue_mode", $mode) and die "queue_mode";
		(my $error, $left) = failing($nth, sub { put("$cfs/fail/power", "1") });
		$refused++ if $error;
		$wrong .= " $mode, $nth:$error" if $error && ($left || $error !~ /^(ENOMEM|EINVAL)$/);
		put("$cfs/fail/power", "0");
		rmdir "$cfs/fail" or die "rmdir: $!";
	}
}
print "# $refused targets did not come up\n";
is($wrong . ($refused > 20 ? "" : " only $refused"), "", "targets that do not come up for want of memory");
END
sleep 6
ok "kmemleak looks" scanned
is "$(grep -c mybrd $leaks)" 0 "no memory of them is lost"
unload
for _ in 1 2 3; do
	load size=1M nr_devices=3
	unload
done
sleep 6
ok "kmemleak looks again" scanned
is "$(cat $leaks)" "" "nothing is lost by loading and unloading, nor any other memory"
done_testing
