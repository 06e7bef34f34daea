#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Names: what they may be, and that no two targets can want the same node, be it
# for a disk or for a partition that may come later.
# kernels: 6.1 6.12 kunit-6.12

set -u
. "$(dirname "$0")/configfs.sh"

load size=1M nr_devices=3
marker names: begin
no_udev

run_perl <<'END'
# Good names make a disk, /dev/mybrd-NAME.
my $long = "x" x 25;
my @good = ("a", "Z", "9", "_", "_.-", "a.b-c_D", "a-", "a.", "mybrd", "mybrd1", "nvme0n1", "power",
	    "CON", "a%", $long, "9" x 25, "p1", "null", "..a");
my @bad = ("-", "-a", ".a", "..a", ".hidden", "a b", " a", "a ", "a\n", "\n", "a\t", "a!b", "!", "a:b", "a+b", "a,b",
	   "a=b", "a%", "%s%n%x", "a*", "a?", "[a]", "a\\", "a'", 'a"', '$a', "`a`", "a;b", "a&b", "a|b", "~", "#", "@",
	   "\x01", "a\x1b[31m", "\x7f", "\xc3\xa4", "\xe2\x80\xae", "\xff\xfe", "x" x 26, "x" x 255);
my %bad = map { $_ => 1 } @bad;
@good = grep { !$bad{$_} && $_ ne "mybrd" } @good;
my $wrong = "";
for my $name (@good) {
	my $error = mkdir("$cfs/$name") ? put("$cfs/$name/power", "1") : "mkdir " . error_name();
	my $disk = slurp("$cfs/$name/disk");
	$error ||= "the disk is $disk" if $disk ne "mybrd-$name";
	$error ||= "no node" if !-b "/dev/mybrd-$name" || !-d "/sys/block/mybrd-$name";
	$error ||= put("$cfs/$name/power", "0");
	$error ||= "rmdir " . error_name() if !rmdir("$cfs/$name");
	$wrong .= "$name: $error; " if $error;
}
is($wrong, "", scalar @good . " good names, and the disk is called after each");

$wrong = "";
for my $name (@bad) {
	logged();
	my $error = mkdir("$cfs/$name") ? "ok" : error_name();
	# the log shows odd characters escaped
	my $shown = $name =~ /\A[ -~]*\z/ && $name !~ /["\\]/ ? substr($name, 0, 60) : $name =~ /\n\z/ ? "\\n" : "";
	my $so = not_one_line($error, "name", $shown);
	$wrong .= "'$name': $so; " if $so;
	$wrong .= "'$name' left something behind; " if -e "$cfs/$name" && !rmdir("$cfs/$name");
}
is($wrong, "", scalar @bad . " bad names, each EINVAL and one line");
is(mkdir("$cfs/" . "x" x 256) ? "ok" : error_name(), "ENAMETOOLONG", "256 bytes are too many for any file system");
is(join(" ", sort map { s/.*\///r } glob("$cfs/*/")), "", "no directory is left");

# Pairs that exclude each other, in either order; on top of what was made at load.
my $refusals = 0;
sub both {
	my ($first, $second, $want) = @_;
	for my $pair ([$first, $second], [$second, $first]) {
		logged();
		mkdir("$cfs/$pair->[0]") or return "$pair->[0]: " . error_name();
		my $got = mkdir("$cfs/$pair->[1]") ? "ok" : error_name();
		my @lines = logged();
		rmdir("$cfs/$pair->[1]") if $got eq "ok";
		rmdir("$cfs/$pair->[0]");
		return "$pair->[1] after $pair->[0]: $got" if $got ne $want;
		return "$pair->[1] after $pair->[0]: " . @lines . " lines" if @lines != ($want ne "ok");
		$refusals += $want ne "ok";
	}
	return "";
}
for (["a", "a1"], ["a", "a0"], ["a", "a01"], ["a", "a1234567890"], ["a1", "a1p1"], ["7", "7p1"], ["7", "7p42"],
     ["x-", "x-9"], ["x.", "x.3"], ["_", "_1"], ["q1p", "q1p2"], ["7p1", "7p1p1"], ["x" x 24, "x" x 24 . "1"]) {
	is(both(@$_, "EEXIST"), "", "'$_->[0]' and '$_->[1]' exclude each other");
}
for (["7", "72"], ["a", "ap1"], ["a", "b1"], ["a", "A1"], ["a1", "a12"], ["a1", "a1p"], ["a1", "a1x1"], ["a", "a1p1"],
     ["a", "a1b"], ["a", "a-1"], ["7", "7p"], ["7p", "7q1"], ["7", "7p1x"]) {
	is(both(@$_, "ok"), "", "'$_->[0]' and '$_->[1]' can be there together");
}
is($refusals > 20, 1, "refusals were seen");
for ("mybrd", "1", "2", "1p1", "2p15", "features") {
	is(mkdir("$cfs/$_") ? "ok" : error_name(), "EEXIST", "'$_' is taken from load time on");
	rmdir("$cfs/$_");
}
for ("12", "3", "11p1", "mybrd1", "mybrdp1") {
	is(mkdir("$cfs/$_") ? "ok" : error_name(), "ok", "'$_' is not");
	rmdir("$cfs/$_");
}
END

# A name counts from mkdir to rmdir, powered or not, and is free again after that.
mkdir $cfs/a
refused "the name is taken before the disk is there" "File exists" mkdir $cfs/a1
set_ a power 1
set_ a power 0
refused "and when it is off again" "File exists" mkdir $cfs/a1
rmdir $cfs/a
ok "after rmdir it is free" mkdir $cfs/a1
rmdir $cfs/a1

# The same with partitions that exist: /dev has what it should have, and nothing else.
nodes() { (cd /dev && find . /sys/block -mindepth 1 -path ./pts -prune -o -path ./shm -prune -o -print | sort); }
nodes >/tmp/before
parts=$(printf 'y%.0s' {1..25})
for name in 7 72 b1 b12 "$parts"; do
	target "$name" size=8M
	printf 'label: gpt\nsize=1M\nsize=1M\n' | sfdisk -q --no-tell-kernel "/dev/mybrd-$name"
	blockdev --rereadpt "/dev/mybrd-$name"
done
nodes >/tmp/during
is "$(comm -13 /tmp/before /tmp/during | grep '^\./' | sed 's,.*/,,' | sort | xargs)" \
	"$(printf 'mybrd-%s\n' {7,72,b1,b12}{,p1,p2} "$parts"{,1,2} | sort | xargs)" \
	"five disks with two partitions each, and no other node"
refused "a name that a partition has is refused" "File exists" mkdir $cfs/7p1
refused "one that a partition may get, too" "File exists" mkdir $cfs/b12p77
remove_all
nodes >/tmp/after
is "$(diff /tmp/before /tmp/after)" "" "when they are gone, /dev and /sys/block are what they were"

is "$(log_since "names: begin" | grep -cE 'WARNING|duplicate|kobject')" 0 "the kernel has nothing to say about names"
done_testing
