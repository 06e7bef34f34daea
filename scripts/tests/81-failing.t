#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Allocations that fail, each in turn, in all that can be asked of a disk: the
# first, the second, the third, until the work is done without that many. Each
# failure is a clean errno and changes nothing, or is overcome; the next try
# works. It is the same with bios that the block layer fails. Making a disk takes so
# many allocations that one in seven fails, or one in MYBRD_FAIL_STEP. Needs fault
# injection, so it runs on the debug kernel.
# kernels: kunit-6.12

set -u
. "$(dirname "$0")/configfs.sh"

any_allocation_may_fail

load size=16M
no_udev
run_perl <<'E2'
my $len = 1 << 20;
my $dev = "/dev/mybrd-f";
my ($sites, $overcome, %errors) = (0, 0);

# An aligned buffer, for direct I/O: where it is, and the string that it is in
my $memory = "\0" x ($len + 4096);
my $address = (unpack("Q", pack("p", $memory)) + 4095) & ~4095;
my $offset = $address - unpack("Q", pack("p", $memory));

sub direct {
	my ($write, $bytes) = @_;
	sysopen(my $h, $dev, O_RDWR | 040000) or return error_name();
	my $did = syscall($write ? 18 : 17, fileno($h), $address, $bytes, 0);	# pwrite64, pread64
	return $did == $bytes ? 0 : $did < 0 ? error_name() : "short";
}
# what the disk holds: its first byte if it is $bytes of the same, else "mixed"
sub content {
	my $bytes = shift;
	direct(0, $bytes) and return "unreadable";
	my $first = substr($memory, $offset, 1);
	return substr($memory, $offset, $bytes) eq $first x $bytes ? ord $first : "mixed";
}
sub data { substr($memory, $offset, $len) = chr($_[0]) x $len }
sub discard {
	sysopen(my $h, $dev, O_RDWR) or return error_name();
	return ioctl($h, 0x1277, pack("QQ", 0, $_[0])) ? 0 : error_name();
}
sub set { return put("$cfs/f/$_[0]", $_[1]) }
sub is_down { return !-e $dev && slurp("$cfs/f/power") == 0 && slurp("/sys/kernel/debug/mybrd/targets") !~ /^f /m }
sub is_up { return -b $dev && slurp("$cfs/f/power") == 1 && slurp("/sys/kernel/debug/mybrd/targets") =~ /^f /m }
sub size { return slurp("/sys/block/mybrd-f/size") * 512 }

# each_allocation WHAT, ALLOWED, PREPARE, WORK, GOOD, BAD [, OVERCOMES]: do WORK with ever later allocations
# failing, after PREPARE each time; GOOD must hold where it succeeded, BAD where it failed, with
# an errno like ALLOWED; and in the end it must have succeeded for want of a failure. With
# OVERCOMES some of the failures are the driver's, which tries again.
my $step = 1;
sub each_allocation {
	my ($what, $allowed, $prepare, $work, $good, $bad, $overcomes) = @_;
	my ($nth, $tries, $left, $refused, $wrong) = (1 - $step, 0, 0, 0, "");
	my $start = time;
	until ($left) {
		my ($got, $error);
		$prepare->();
		$tries++;
		($error, $left) = failing($nth += $step, $work);
		$refused += !!$error;
		$errors{$error}++ if $error;
		$wrong .= " $error:$nth" if $error && ($left || $error !~ /^($allowed)$/);
		$wrong .= " state:$nth($got)" unless $got = $error ? $bad->() : $good->();
		$wrong .= " no end" if $nth > 3000;
		last if $wrong;
	}
	$sites += --$tries;
	$overcome += $tries - $refused;
	$wrong .= " nothing failed" if !$tries;
	$wrong .= " none was the driver's" if $overcomes && $refused == $tries;
	print $wrong ? "not ok" : "ok", " - $what: $tries allocations failed, $refused times it did$wrong\n";
	print "# ", time - $start, " s\n";
}
my $nothing = sub { 1 };

# The block layer fails bios on their way down: always, then three times in ten. That is
# EIO and changes nothing, and the next try works.
sub injection { put("/sys/kernel/debug/fail_make_request/$_[0]", $_[1]) and die "fail_make_request: $!" }
# when no page waits for a grace period any more
sub counters {
	for (1 .. 100) {
		last if slurp("/sys/block/mybrd-f/mybrd/waiting_pages") == 0;
		select undef, undef, undef, 0.05;
	}
	return join " ", map { slurp("/sys/block/mybrd-f/mybrd/$_") } qw(pages inserts frees waiting_pages);
}
sub refused_above {
	my ($what) = @_;
	my ($wrong, $failed) = ("", 0);
	injection($_->[0], $_->[1]) for ["verbose", 0], ["times", -1], ["probability", 0];
	put("/sys/block/mybrd-f/make-it-fail", 1);
	my %work = (write => sub { direct(1, $len) }, read => sub { direct(0, $len) }, discard => sub { discard($len) });
	for my $op (sort keys %work) {
		data(0x11);
		direct(1, $len) and $wrong .= " prepare";
		my $before = counters();
		data(0x5a);
		injection("probability", 100);
		my $error = $work{$op}->();
		injection("probability", 0);
		$wrong .= " $op:$error" if $error ne "EIO";
		$wrong .= " $op:counters" if counters() ne $before;
		$wrong .= " $op:content" if content($len) ne 0x11;
		$error = $work{$op}->() and $wrong .= " $op again:$error";
	}
	my $old = content(4096);
	for my $new (1 .. 100) {
		data($new);
		injection("probability", 30);
		my $error = direct(1, 4096);
		injection("probability", 0);
		$failed += !!$error;
		$wrong .= " write $new:$error" if $error && $error ne "EIO";
		$old = $new if !$error;
		$wrong .= " content $new" if content(4096) ne $old;
	}
	put("/sys/block/mybrd-f/make-it-fail", 0);
	$wrong .= " $failed of 100" if $failed < 5 || $failed > 80;
	print $wrong ? "not ok" : "ok", " - $what: EIO, nothing changes, and the next try works ($failed of 100 writes failed)$wrong\n";
}

# No page at all but for the first few: a write into holes gets ENOSPC, however far it was.
sub page_alloc { put("/sys/kernel/debug/fail_page_alloc/$_[0]", $_[1]) and die "fail_page_alloc: $!" }
sub out_of_pages {
	my ($what) = @_;
	my ($wrong, $refused, @given) = ("", 0, 0 .. 9, 63 .. 66, 100, 200);
	page_alloc($_->[0], $_->[1]) for ["task-filter", "Y"], ["times", -1];
	sysopen(my $fail, "/proc/self/make-it-fail", O_RDWR) or die "make-it-fail: $!";
	for my $given (@given) {
		discard($len);
		data(0x5a);
		my $before = counters();
		page_alloc("space", $given);
		page_alloc("probability", 100);
		syswrite($fail, "1");
		my $error = direct(1, $len);
		sysseek($fail, 0, 0);
		syswrite($fail, "0");
		sysseek($fail, 0, 0);
		page_alloc("probability", 0);
		$refused++ if $error eq "ENOSPC";
		$wrong .= " $given:$error" if $error !~ /^(ENOSPC|ENOMEM|EAGAIN)$/;
		$wrong .= " $given:counters" if counters() ne $before;
		$wrong .= " $given:content" if content($len) ne 0;
		data(0x5a);
		$error = direct(1, $len) and $wrong .= " $given again:$error";
	}
	page_alloc("task-filter", "N");
	$wrong .= " $refused of " . @given if $refused < @given / 2;
	print $wrong ? "not ok" : "ok", " - $what: ENOSPC, nothing changes, and the next try works ($refused times)$wrong\n";
}

$| = 1;
each_allocation("mkdir", "ENOMEM", sub { rmdir "$cfs/f" },
	sub { mkdir("$cfs/f") ? 0 : error_name() }, sub { -d "$cfs/f" }, sub { !-e "$cfs/f" });
for my $mode ("bio", "mq") {
	set("queue_mode", $mode);
	$step = $ENV{MYBRD_FAIL_STEP} // 7;
	each_allocation("$mode: power=1", "ENOMEM|EINVAL", sub { set("power", 0) },
		sub { set("power", 1) }, \&is_up, \&is_down);

	# Allocations fail in this task, so it shall be the one that does what a bio asks for. 6.1
	# has a worker do it, whatever the scheduler.
	put("/sys/block/mybrd-f/queue/scheduler", "none") if $mode eq "mq";
	my $here = $mode eq "bio" || slurp("/proc/sys/kernel/osrelease") !~ /^6\.1\./;
	$step = 1;
	# Direct I/O allocates above the driver as well: ENOMEM or EAGAIN is its answer. Now and then
	# that is once more than the time before, so that the one of a small write is left out.
	for my $bytes (512, 4096, 3 << 12, $len) {
		each_allocation("$mode: write of $bytes bytes into a hole", "ENOSPC|ENOMEM|EAGAIN",
			sub { discard($len); data(0x5a) }, sub { direct(1, $bytes) },
			sub { content($bytes) eq 0x5a }, sub { content($bytes) eq 0 }, $here && $bytes == $len);
	}
	out_of_pages("$mode: a write that gets no pages") if $here;
	# The old content each time: an attempt that overcame its failure has replaced it.
	each_allocation("$mode: write over pages", "ENOMEM|EAGAIN",
		sub { data(0x11); direct(1, $len); data(0x5a) },
		sub { direct(1, $len) }, sub { content($len) eq 0x5a }, sub { content($len) eq 0x11 });
	data(0x5a);
	direct(1, $len);
	each_allocation("$mode: read", "ENOMEM|EAGAIN", sub { data(0) }, sub { direct(0, $len) },
		sub { content($len) eq 0x5a }, $nothing);
	each_allocation("$mode: discard", "ENOMEM", sub { data(0x5a); direct(1, $len) },
		sub { discard($len) }, sub { content($len) eq 0 }, sub { content($len) eq 0x5a });
	each_allocation("$mode: grow", "ENOMEM", sub { set("size", "16M") },
		sub { set("size", "17M") }, sub { size() == 17 << 20 }, sub { size() == 16 << 20 });
	each_allocation("$mode: shrink", "ENOMEM", sub { set("size", "17M") },
		sub { set("size", "16M") }, sub { size() == 16 << 20 }, sub { size() == 17 << 20 });
	for my $file ("mybrd/targets", "mybrd/target/f") {
		each_allocation("$mode: reading $file", "ENOMEM", $nothing, sub {
			open(my $h, "<", "/sys/kernel/debug/$file") or return error_name();
			return defined sysread($h, my $text, 4096) ? 0 : error_name();
		}, $nothing, $nothing);
	}
	refused_above("$mode: what fails above the driver");
	each_allocation("$mode: power=0", "ENOMEM", sub { set("power", 1) }, sub { set("power", 0) },
		\&is_down, \&is_up);
}
each_allocation("rmdir", "ENOMEM", sub { mkdir "$cfs/f" }, sub { rmdir("$cfs/f") ? 0 : error_name() },
	sub { !-e "$cfs/f" }, sub { -d "$cfs/f" });
print "# $sites allocations failed, above the driver and in it, errors: ", join(" ", map { "$_ $errors{$_}" } sort keys %errors), "\n";
# The driver tries again where it does not get a page, so that this is overcome.
print $sites > 150 && $errors{ENOMEM} > 80 && $overcome > 20 ? "ok" : "not ok", " - these were enough to be a test ($overcome were overcome)\n";
E2

is "$(pages mybrd)" 0 "the other disk has seen nothing of it"
done_testing
