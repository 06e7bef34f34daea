#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# 256 targets at once, 64 on a debug kernel, each with its own data; adding and
# removing one takes no longer then than without them.

set -u
. "$(dirname "$0")/configfs.sh"

load size=1M
no_udev

run_perl "$(rounds 256 64)" <<'END'
my ($many) = @ARGV;
sub now { my $t = "\0" x 16; syscall(228, 1, $t); my ($s, $ns) = unpack "qq", $t; return $s * 1000 + $ns / 1e6 }
sub add { my ($name) = @_; mkdir("$cfs/$name") or die "mkdir $name: $!"; my $e = put("$cfs/$name/power", "1"); die "$name: $e" if $e }
sub take { my ($name) = @_; my $e = put("$cfs/$name/power", "0"); die "$name: $e" if $e; rmdir("$cfs/$name") or die "rmdir $name: $!" }
sub least { return (sort { $a <=> $b } @_)[0] }

# Milliseconds to add and to remove one, the least of several: what else the host does only makes it longer.
sub measure {
	my ($times) = @_;
	my (@add, @take);
	for (1 .. $times) {
		my $start = now();
		add("one");
		push @add, now() - $start;
		$start = now();
		take("one");
		push @take, now() - $start;
	}
	return (least(@add), least(@take));
}

measure(3);
my @alone = measure(15);
my $start = now();
add("n$_-") for 1 .. $many;
printf "# adding %d targets: %.0f ms\n", $many, now() - $start;
my @nodes = grep { -b } glob "/dev/mybrd-n*-";
is(scalar @nodes, $many, "$many targets have as many nodes");
is(slurp("/sys/kernel/debug/mybrd/targets") =~ s/\n//gr =~ s/mybrd-n\d+-/!/gr =~ tr/!//, $many, "all are listed");

# A busy minute of the host passes; a walk over all targets does not.
my @among = measure(15);
for (1 .. 4) {
	last if $among[0] < 1.5 * $alone[0] && $among[1] < 1.5 * $alone[1];
	sleep 2;
	my @again = measure(15);
	@among = (least($among[0], $again[0]), least($among[1], $again[1]));
}
for (0, 1) {
	my $what = (qw(adding removing))[$_];
	printf "# %s one: %.2f ms alone, %.2f ms among %d\n", $what, $alone[$_], $among[$_], $many;
	is($among[$_] < 2 * $alone[$_] + 1 ? "no" : sprintf("%.2f ms", $among[$_]), "no",
		"$what one takes no longer among $many targets");
}

# Each has its own data.
my $wrong = 0;
for my $round (0, 1) {
	for (1 .. $many) {
		sysopen(my $h, "/dev/mybrd-n$_-", $round ? O_RDONLY : O_WRONLY) or die "open: $!";
		my $mine = pack("N", $_) x 1024;
		if ($round) {
			sysread $h, my $data, 4096;
			$wrong++ if $data ne $mine;
		} else {
			syswrite $h, $mine;
		}
	}
}
is($wrong, 0, "each holds what was written to it, and nothing else");
is(join(" ", map { slurp("/sys/block/mybrd-n$_-/mybrd/pages") } 1 .. $many), join(" ", (1) x $many), "one page each");

$start = now();
for my $first (1 .. 8) {
	next if fork;
	for (my $i = $first; $i <= $many; $i += 8) { take("n$i-") }
	exec "true";
}
1 while wait != -1;
printf "# removing %d targets, eight at a time: %.0f ms\n", $many, now() - $start;
is(scalar(() = glob "$cfs/*/ /dev/mybrd-*"), 0, "they can all be removed again");
END
done_testing
