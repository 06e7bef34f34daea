#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A load that fails half-way leaves nothing: the allocations of an insmod with two
# disks fail, one in every load, from the first to the last of the module's own. They
# are many, so that only each sixth part of a disk has one that does, or each
# MYBRD_FAIL_STEPth. Unloading takes some, too, and never fails. Needs fault injection, so
# it runs on the debug kernel.
# kernels: kunit-6.12

set -u
. "$(dirname "$0")/configfs.sh"

any_allocation_may_fail
modprobe -q configfs || true
udev_pause
run_perl "$ko" <<'E'
open(my $ko, "<", $ARGV[0]) or die "$ARGV[0]: $!";
my @traces = ("/sys/module/mybrd", "/dev/mybrd", "/dev/mybrd-1", "/sys/kernel/debug/mybrd", "/sys/kernel/config/mybrd");

# load NTH, PARAMS: with that allocation failing
sub load {
	my ($nth, $params) = ($_[0], "$_[1]\0");
	return failing($nth, sub { syscall(313, fileno $ko, $params, 0) ? error_name() : 0 });	# finit_module
}
# unload [NTH]: likewise. Who has a disk open for a moment holds the module.
sub unload {
	my ($nth, $name, $error, $left) = ($_[0] // 0, "mybrd\0");
	for (1 .. 50) {
		($error, $left) = failing($nth, sub { syscall(176, $name, 2048) ? error_name() : 0 });	# delete_module
		last if !$error;
		select undef, undef, undef, 0.05;
	}
	return ($error, $left);
}
sub state { return -e "/sys/module/mybrd" ? slurp("/sys/module/mybrd/initstate") : "gone" }
# allocations PARAMS: the error, where there is one, and how many a load makes
sub allocations {
	my ($error, $left) = load(1_000_000, $_[0]);
	($error) = unload() if !$error;
	return $error ? ($error, 1_000_000 - $left) : 1_000_000 - $left;
}

# opener FILE: a process that opens it as soon as it is there, and tells where the load then fails. It
# does not keep it for long, as a module that is in use stays.
sub opener {
	my ($file) = @_;
	defined(my $opener = fork) or die "fork: $!";
	return $opener if $opener;
	while (1) {
		my $opened;
		if (!sysopen($opened, $file, O_RDONLY)) {
			select undef, undef, undef, 0.001;
			next;
		}
		select undef, undef, undef, 0.2 if state() ne "live";
		my $state = state();
		if ($state ne "live") {
			open(my $told, ">>", "/tmp/opened");
			print $told " $file:$state";
		}
		close $opened;
		select undef, undef, undef, 0.3;
	}
}

sub failing_loads {
	my ($mode, $step) = @_;
	my $params = "size=1M queue_mode=$mode nr_devices=2";
	allocations($params);	# what the kernel does once only
	my ($one, $two) = (allocations("size=1M queue_mode=$mode"), allocations($params));
	my $disk = $two - $one;
	# A load that is refused for its parameters takes what the kernel needs before the module begins,
	# and a little after it. That is not the module's: the kernel warns where some of it fails.
	my ($error, $begin) = allocations("size=0");
	$begin = $one - $disk if $begin > $one - $disk;
	$begin -= 10;
	# Somebody opens what there is as soon as it is there. Nobody gets anything of a load that fails,
	# which could not end while they keep a disk, and does not wait for them to close a file.
	unlink "/tmp/opened";
	my @openers = map { opener($_) } "/dev/mybrd", "/sys/kernel/debug/mybrd/targets",
		"/sys/kernel/debug/mybrd/target/mybrd";
	print "# $mode: a load makes $one allocations with one disk, $two with two, $begin of them the kernel's own\n";
	is("$error " . ($begin > 0 && $disk > 20 ? "many" : "$begin, $disk"), "EINVAL many",
		"$mode: there are allocations that can fail");
	$step ||= int($disk / 6);
	my ($loads, $refused, $wrong, $left) = (0, 0, "", "");
	# The last few come and go with what the kernel has at hand: the end is where one is missed.
	for (my $nth = $begin + 1; ; $nth += $step) {
		my ($error, $missed) = load($nth, $params);
		if (!$error) {
			my ($busy) = unload();
			$wrong .= " rmmod $busy:$nth" if $busy;
			last if $missed || $busy;
		} else {
			$refused++;
			# device_add() makes an EINVAL of some
			$wrong .= " $error:$nth" if $missed || $error !~ /^(ENOMEM|EINVAL)$/;
			$left .= join "", map { " $_:$nth" } grep { -e } @traces;
		}
		$loads++;
		last if $nth > 2 * $two;
	}
	kill "KILL", @openers;
	waitpid $_, 0 for @openers;
	is(-e "/tmp/opened" ? slurp("/tmp/opened") : "", "", "$mode: nobody opened a disk or a file of a load that was refused");
	print "# $loads allocations failed, $refused times the load did\n";
	my $end = $begin + $loads * $step;
	is($end > $two - $disk / 2 && $end < $two + $disk / 2 ? "all" : "$end of $two", "all",
		"$mode: each allocation in turn failed, up to the last, in steps of $step");
	# Without some of what mq has in debugfs a load goes on.
	my $least = $loads / ($mode eq "mq" ? 5 : 2);
	is($refused > $least ? "many" : "$refused of $loads", "many", "$mode: many of them made the load fail");
	is($wrong, "", "$mode: every refusal was ENOMEM (or an EINVAL), and what got by unloads");
	is($left, "", "$mode: nothing is left of a load that was refused");

	my ($unloads, $missed) = (0, 0);
	$wrong = "";
	for (my $nth = 1; !$missed; $nth += 5) {
		my ($error) = load(0, $params);
		($error, $missed) = unload($nth) if !$error;
		$wrong .= " $error:$nth" if $error;
		$wrong .= join "", map { " $_:$nth" } grep { -e } @traces;
		last if $wrong || $nth > 1000;
		$unloads++;
	}
	print "# $unloads times an allocation of rmmod failed\n";
	is($wrong . ($unloads > 1 ? "" : " only $unloads"), "", "$mode: unloading ends, whichever allocation fails, and leaves nothing");
}
failing_loads("bio", $ENV{MYBRD_FAIL_STEP});
failing_loads("mq");
E
udev_resume

load nr_devices=3 size=1M
ok "and a load with no failure works" [ -b /dev/mybrd-2 ]
done_testing
