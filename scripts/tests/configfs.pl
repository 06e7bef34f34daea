# SPDX-License-Identifier: GPL-2.0-only
# What the perl parts of the tests 7*.t share. Most of what they do is one
# system call; a process for each would take most of their time.

use Errno;
use Fcntl;

our $cfs = "/sys/kernel/config/mybrd";
our @attrs = qw(size blocksize discard mem_limit home_node queue_mode submit_queues
	hw_queue_depth power disk);

# what open() and write() say: 0 or the error's name, such as EBUSY
sub error_name { my $e = 0 + $!; local $! = $e; return (grep { $!{$_} } sort keys %!)[0] // "errno $e" }
sub put {
	my ($file, $value) = @_;
	sysopen(my $h, $file, O_WRONLY) or return error_name();
	my $put = syswrite($h, $value);
	my $error = defined $put ? $put == length $value ? 0 : "short write" : error_name();
	close $h;
	return $error;
}
sub slurp {
	open(my $h, "<", $_[0]) or return "($!)";
	my $text = join "", <$h>;
	chomp $text;
	return $text;
}
sub show { my ($name) = @_; return join " ", map { "$_=" . slurp("$cfs/$name/$_") } @attrs }

# What the module logged since the last call
my $kmsg;
sub logged {
	my @lines;
	if (!$kmsg) {
		sysopen($kmsg, "/dev/kmsg", O_RDONLY | O_NONBLOCK) or die "kmsg: $!";
		sysseek($kmsg, 0, 2);
	}
	while (1) {
		my $got = sysread($kmsg, my $record, 8192);
		next if !defined $got && $!{EPIPE};	# overwritten before it was read
		last if !$got;
		push @lines, $1 =~ s/\\x([0-9a-f]{2})/chr hex $1/ger if $record =~ /^[^;]*;(mybrd: .*)\n/;
	}
	return @lines;
}
logged();

# what is wrong with a refusal that should be EINVAL with one line about the value
sub not_one_line {
	my ($error, $name, $value) = @_;
	my @lines = logged();
	my $wrong = "";
	$wrong .= "got $error, not EINVAL; " if $error ne "EINVAL";
	$wrong .= scalar @lines . " lines in the log; " if @lines != 1;
	$wrong .= "'$name' or '$value' is not in it; "
		if @lines && !(index($lines[0], $name) >= 0 && index($lines[0], $value) >= 0);
	$wrong .= "log: @lines" if $wrong;
	return $wrong;
}

# failing(NTH, WORK): do it with that allocation of this task failing, or none for 0; what it
# returned, which is an error or 0, and how many were still to come before it
sub failing {
	my ($nth, $work) = @_;
	# Anew each time, as it can't be rewound.
	sysopen(my $fail, "/proc/thread-self/fail-nth", O_RDWR) or die "fail-nth: $!";
	syswrite($fail, $nth);
	my $error = $work->();
	sysread($fail, my $left, 16);
	syswrite($fail, 0);
	return ($error, $left + 0);
}

my ($tests, $failures) = (0, 0);
sub is {
	my ($got, $want, $what) = @_;
	$tests++;
	$failures++ if $got ne $want;
	print $got eq $want ? "" : "not ", "ok - $what\n";
	print "# got '$got', wanted '$want'\n" if $got ne $want;
}

1;
