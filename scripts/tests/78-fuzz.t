#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Whatever is written to an attribute or a parameter, and whatever a directory
# is called: a good value is taken, anything else is EINVAL and one line, and
# the module works afterwards as before.

set -u
. "$(dirname "$0")/configfs.sh"

load size=16M
no_udev
head -c 1M /dev/urandom >/tmp/random
tainted=$(cat /proc/sys/kernel/tainted)

healthy() {
	local disk
	for disk in mybrd mybrd-new; do
		[ "$disk" = mybrd ] || target new size=16M || return
		dd if=/tmp/random of="/dev/$disk" bs=64k oflag=direct status=none || return
		dd if="/dev/$disk" bs=64k count=16 iflag=direct status=none | cmp - /tmp/random || return
		[ "$(counter "$disk" pages)" = 256 ] || return
		discard "/dev/$disk" && settled "$disk" || return
		[ "$(counter "$disk" pages)" = 0 ] && [ "$(only "/dev/$disk" '\0' 0 1048576)" = 0 ] || return
	done
	remove new
}
ok "the module works" healthy
# Thousands of lines are much for a serial console, and for the log's buffer.
dmesg -n 3
dmesg --follow-new >/tmp/dmesg &
follower=$!

prelude=/tmp/strings.pl
RARE=$(rounds 1 4) LOADS=$(rounds 10 4)
export RARE LOADS
cat >$prelude <<'END'
my $seed = $ENV{SEED} // time;
srand $seed;
print "# SEED=$seed\n";
my $max = 9223372036854775296;

my @hostile = (" ", "\n", "\n\n", "\0", "\0\0\0", "1\0", "1\0garbage", "\t1", " 1", "1 ", "1\n", "1\n\n", "1\n2", "\r\n", "1\r\n",
	"-1", "-0", "+0", "+1", "--1", "+-1", "00", "01", "007", "0x10", "0b1", "1e3", "1.5", "1,5", "1_000",
	"BUG: KASAN", "WARNING: Oops",
	"%s", "%n", "%s%n%x%p", "%1\$n", "%%", "50%", "%pV", "%*pE", "\\", "\\n", "\\0", "'", '"', '""', "`id`", '$(id)', ";", "|", "&",
	"../..", "/", "/dev/null", "*", "?", "[a-z]", "{}", "<>", "\x1b[2J", "\x07", "\x7f", "\x80", "\xff", "\xff" x 64, "\xfe\xff",
	"\xc3\xa4\xc3\xb6", "\xd9\xa1", "\xef\xbc\x91", "\xe2\x80\x8b1", "\xef\xbb\xbf1", "\xf0\x9f\x92\xbe",
	"127", "128", "255", "256", "257", "32767", "32768", "65535", "65536", "2147483647", "2147483648", "-2147483648", "-2147483649",
	"4294967295", "4294967296", "4294967297", "4294967808", "9223372036854775295", "9223372036854775296", "9223372036854775807",
	"9223372036854775808", "18446744073709551104", "18446744073709551615", "18446744073709551616", "99999999999999999999999999999",
	"-9223372036854775808", "8E", "7E", "16E", "15E", "17592186044415M", "17592186044416M", "1K", "1k", "1M", "1G", "1T", "1P", "1KB",
	"1KiB", "1KK", "K", "k1", "1 K", "null", "NULL", "(null)", "nan", "inf", "true", "false", "on", "off", "onn", "offf", "o", "of", "yes",
	"no", "y", "n", "Y", "N", "t", "f", "bio", "mq", "BIO", "Mq", "bio\n", "mq\n\n", "bi", "bioo", "rq", "bio mq", "bio,mq", "b", "512", "1024",
	"2048", "4096", "4096\n", "8192", "513", "511", "0", "0\n", "2", "64", "10240", "10241", "1" x 31, "0" x 30 . "1", "0" x 31 . "1", "0" x 40 . "1",
	"0" x 4095, "9" x 4095, "a" x 4095, "1" x 4096, "\n" x 4095, " " x 4095, "%s" x 2047, "\xff" x 4095, "a" x 4096, "mq" . " " x 4000);
my @good = qw(512 4096 1M 64M 1G 0 1 -1 bio mq 50% 2 64 on off);
sub one { my ($chars, $most) = @_; return join "", map { chr $chars->[rand @$chars] } 1 .. 1 + int rand $most }
my (@bytes, @printable, @digits) = ();
@bytes = (0 .. 255);
@printable = (32 .. 126);
@digits = map { ord } split //, "0123456789KMGTkmg%-+.x\n";
sub any {
	my $how = int rand 7;
	return one(\@bytes, 40) if $how == 0;
	return one(\@printable, 40) if $how == 1;
	return one(\@digits, 6) if $how == 2;
	return one(\@digits, 24) if $how == 3;
	return $good[rand @good] . one(rand() < 0.5 ? \@bytes : \@digits, 3) if $how == 4;
	return one(rand() < 0.5 ? \@bytes : \@digits, 3) . $good[rand @good] if $how == 5;
	my $text = $good[rand @good];
	substr($text, rand length $text, 1) = chr rand 256;
	return $text;
}
# strings(N): all hostile ones, and as many of any kind
sub strings { return (@hostile, map { any() } 1 .. $_[0]) }
# some(STRINGS): all of them, or one in RARE
sub some { return grep { rand() * $ENV{RARE} < 1 } @_ }

# What is good, said once more: the C code is not asked.
sub bytes_of {
	my ($text) = @_;
	return undef if $text !~ /\A(\d{1,31})([KMGTPE]?)\n?\z/i;
	my ($digits, $shift) = ($1, 10 * index "_KMGTPE", uc($2 || "_"));
	$digits =~ s/^0+(?=.)//;
	return undef if length $digits > 20 || (length $digits == 20 && $digits gt "18446744073709551615");
	return 0 + $digits > ~0 >> $shift ? undef : (0 + $digits) << $shift;
}
sub number { my ($text, $min, $max) = @_; return $text =~ /\A[-+]?\d+\n?\z/ && $text >= $min && $text <= $max }
sub in { my ($text, @all) = @_; return scalar grep { $text eq $_ || $text eq "$_\n" } @all }
my $also = "";
my $cpus = grep { -d } glob "/sys/devices/system/cpu/cpu[0-9]*";
my %good = (
	size		=> sub { my ($v, $bs) = (bytes_of($_[0]), $_[1]); return $v && $v <= $max && $v % $bs == 0 },
	mem_limit	=> sub { return defined bytes_of($_[0]) },
	blocksize	=> sub { return $_[0] =~ /\A\+?0*(512|1024|2048|4096)\n?\z/ && (!$_[2] || $_[2] % $1 == 0) },
	discard		=> sub { return $_[0] =~ /\A([ytnf01$also]|on|of)/i },
	home_node	=> sub { return $_[0] =~ /\A[-+]?\d+\n?\z/ && ($_[0] == 0 || $_[0] == -1) },
	queue_mode	=> sub { return in($_[0], "bio", "mq") },
	submit_queues	=> sub { return $_[0] !~ /^-/ && number($_[0], 1, $cpus) },
	hw_queue_depth	=> sub { return $_[0] !~ /^-/ && number($_[0], 1, 10240) },
	nr_devices	=> sub { return $_[0] !~ /^-/ && number($_[0], 1, 256) },
	module_limit	=> sub {
		my $text = $_[0] =~ s/\0.*//sr;
		return 1 if $text =~ /\A(\d{1,3})%\n?\z/ && $1 >= 1 && $1 <= 100;
		return defined bytes_of($text);
	},
);
$good{power} = $good{discard};
for my $name (keys %good) { my $is = $good{$name}; $good{$name} = sub { return 0 if $name ne "module_limit" && index($_[0], "\0") >= 0; return $is->(@_) } }

my (%tried, %taken, @wrong);
sub readable { my ($text) = @_; return (length $text > 60 ? substr($text, 0, 60) . "... (" . length($text) . ")" : $text) =~ s/[^ -~]/sprintf "\\x%02x", ord $&/ger }
# judge(WHERE, NAME, TEXT, GOOD, ERROR, WANTED): one line for each EINVAL, none for what is taken
sub judge {
	my ($where, $name, $text, $good, $error, $wanted) = @_;
	my @lines = logged();
	$tried{$where}++;
	$taken{$where}++ if !$error;
	my $want = $good ? $wanted // 0 : "EINVAL";
	my $so = "";
	$so .= "got $error, not $want; " if $error ne $want;
	$so .= @lines . " lines; " if @lines != ($error ? 1 : 0);
	$so .= "'$name' is not in it; " if @lines && index($lines[0], $name) < 0;
	push @wrong, "$name '" . readable($text) . "': $so@lines" if $so;
}
sub verdict {
	my ($where, $what) = @_;
	print "# $where: $tried{$where} strings, ", $taken{$where} // 0, " taken\n";
	is(join("\n", @wrong[0 .. ($#wrong < 5 ? $#wrong : 5)]), "", "$what: $tried{$where} strings, each taken if good, else EINVAL and one line");
	is(($taken{$where} // 0) > 3 && $tried{$where} > 2 * $taken{$where}, 1, "$what: some were good and most were not");
	@wrong = ();
}
END

run_perl <<'END'
mkdir "$cfs/f" or die "mkdir: $!";
my @names = grep { $_ ne "disk" } @attrs;
# Later kernels' kstrtobool() knows enable and disable.
$also = "ed" if put("$cfs/f/discard", "e") eq "0";
logged();

# configfs takes 4095 bytes at a time
sub attr {
	my ($name, $text) = @_;
	my $error = put("$cfs/f/$name", $text);
	return $error eq "short write" && length $text > 4095 ? 0 : $error;
}

# Off: everything can change. What power=1 makes of it is seen below.
for my $name (grep { $_ ne "power" } @names) {
	for my $text (some(strings(40))) {
		my ($bs, $size) = (slurp("$cfs/f/blocksize"), slurp("$cfs/f/size"));
		judge("off", $name, $text, scalar $good{$name}->($text, $bs, $size), attr($name, $text));
	}
}
verdict("off", "attributes of a target that is off");

# On: what can't change is EBUSY, a line too.
put("$cfs/f/$_->[0]", $_->[1]) for ["size", "1M"], ["blocksize", 512], ["queue_mode", "mq"], ["submit_queues", 1],
	["hw_queue_depth", 8], ["mem_limit", 0], ["home_node", -1], ["discard", 1];
logged();
is(put("$cfs/f/power", "1"), "0", "power=1 after all that");
for my $name (@names) {
	my $live = $name =~ /size|mem_limit|power/ && $name ne "blocksize";
	for my $text ((strings(40))[map { 3 * $_ + rand 3 } 0 .. 69]) {
		my $good = $good{$name}->($text, 512, slurp("$cfs/f/size"));
		judge("on", $name, $text, $good, attr($name, $text), $live ? 0 : "EBUSY");
		if ($name eq "power" && $good) {
			put("$cfs/f/power", "1");
			logged();
		}
	}
}
verdict("on", "attributes of a target that is on");
is(put("$cfs/f/power", "0"), "0", "power=0 after all that");
rmdir("$cfs/f") or die "rmdir: $!";

# The module's own limit
my $param = "/sys/module/mybrd/parameters/mem_limit";
logged();
judge("param", "mem_limit", $_, scalar $good{module_limit}->($_), put($param, $_)) for some(strings(150));
verdict("param", "the parameter mem_limit");
is(put($param, "50%"), "0", "the default again");

# Directories
logged();
for my $name (some(strings(250)), map { "a" . one([map { ord } split //, "aZ0_.-%"], 27) } 1 .. 100) {
	next if $name =~ m,[/\0], || length $name > 255 || $name =~ /\A\.{0,2}\z/;
	my $good = $name =~ /\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,24}\z/;
	my $error = mkdir("$cfs/$name") ? 0 : error_name();
	judge("mkdir", "name", $name, $good, $error);
	rmdir("$cfs/$name") or push @wrong, "rmdir: $!" if !$error;
}
verdict("mkdir", "names of directories");
my $total = 0;
$total += $_ for values %tried;
is($total * $ENV{RARE} >= 2000 ? "enough" : $total, "enough", "that was $total strings");
END
ok "the module works as before" healthy
unload

# The same at load
run_perl "$ko" <<'END'
my ($ko) = @ARGV;
open(my $h, "<", $ko) or die "$ko: $!";
my @strings = grep { length $_ < 1000 && !/["\0]/ } strings(60);
my $gone = 0;
my %sure = (size => "1M", blocksize => "4096", nr_devices => "2", queue_mode => "mq", mem_limit => "7%");
logged();
for my $name (sort keys %sure) {
	for (1 .. $ENV{LOADS}) {
		my $text = $_ == 1 ? $sure{$name} : $strings[rand @strings];
		my $args = "$name=\"$text\"";
		my $error = syscall(313, fileno $h, $args, 0) == 0 ? 0 : error_name();
		my $oracle = $good{$name eq "mem_limit" ? "module_limit" : $name};
		judge("insmod", $name, $text, scalar $oracle->($text, 512, 1 << 30), $error);
		if (!$error) {
			syscall(176, my $module = "mybrd", 2048) == 0 or die "rmmod: $!";
		}
		$gone++ if !-e "/sys/module/mybrd" && !glob "/dev/mybrd*";
	}
}
verdict("insmod", "module parameters at load");
is($gone, 5 * $ENV{LOADS}, "a refused load leaves nothing");
END
load size=16M
udevadm control --exit 2>/dev/null
ok "and it loads and works" healthy
ok "and unloads" rmmod mybrd
dmesg -n 7
sleep 1
kill $follower
ok "the log was followed" [ "$(grep -c 'mybrd: .*must be' /tmp/dmesg)" -gt $((1000 / RARE)) ]
is "$(bugs </tmp/dmesg)" "" "the log shows no bug"
is "$(cat /proc/sys/kernel/tainted)" "$tainted" "and the kernel is tainted by none"
done_testing
