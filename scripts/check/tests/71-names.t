#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Names: what they may be, and that no two targets can want the same node, be it
# for a disk or for a partition that may come later.
# kernels: 6.1 6.12 kunit-6.12

# shellcheck disable=SC2016,SC2054,SC1003 # names are no code
set -u
. "$(dirname "$0")/configfs.sh"

load size=1M nr_devices=3
marker names: begin
no_udev

# Good names make a disk, /dev/mybrd-NAME.
good=(a Z 9 _ _.- a.b-c_D a- a. mybrd1 nvme0n1 power CON "$(repeated 25 x)" "$(repeated 25 9)" p1 null)
bad=(- -a .a ..a .hidden 'a b' ' a' 'a ' 'a\n' '\n' 'a\t' 'a!b' '!' a:b a+b a,b a=b a% %s%n%x 'a*' 'a?' '[a]' 'a\\' "a'" 'a"'
	"\$a" '`a`' 'a;b' 'a&b' 'a|b' '~' '#' @ '\x01' 'a\x1b[31m' '\x7f' '\xc3\xa4' '\xe2\x80\xae' '\xff\xff'
	"$(repeated 26 x)" "$(repeated 255 x)")
all=
for name in "${good[@]}"; do
	if ! op mkdir "$cfs/$name" || ! op put "$cfs/$name/power" 1; then
		all+="$name: $said; "
	elif [ "$(get "$name" disk)" != "mybrd-$name" ]; then
		all+="$name: the disk is $(get "$name" disk); "
	elif [ ! -b "/dev/mybrd-$name" ] || [ ! -d "/sys/block/mybrd-$name" ]; then
		all+="$name: no node; "
	fi
	op put "$cfs/$name/power" 0 && op rmdir "$cfs/$name" || all+="$name: going: $said; "
done
is "$all" "" "${#good[@]} good names, and the disk is called after each"

all=
for name in "${bad[@]}"; do
	logged
	op mkdir "$cfs/$name"
	# the log shows odd characters escaped
	shown=
	case $name in
	*'\n') shown='\\n' ;;
	*[\\\"]*) ;;
	*) shown=${name:0:60} ;;
	esac
	refusal name "$shown" || all+="'$name': $wrong"
	! op rmdir "$cfs/$name" || all+="'$name' left something behind; "
done
is "$all" "" "${#bad[@]} bad names, each EINVAL and one line"
op mkdir "$cfs/$(repeated 256 x)"
is "$said" ENAMETOOLONG "256 bytes are too many for any file system"
is "$(find $cfs -mindepth 1 -type d)" "" "no directory is left"

# both FIRST SECOND WANTED: the answer to the second mkdir, in either order, on top of what was made
# at load; and a line where that is no "ok". Sets $wrong.
both() {
	local first=$1 second=$2 wanted=$3 got
	wrong=
	for _ in 1 2; do
		logged
		op mkdir "$cfs/$first" || wrong+="$first: $said; "
		op mkdir "$cfs/$second"
		got=$said
		logged
		[ "$got" != ok ] || op rmdir "$cfs/$second"
		op rmdir "$cfs/$first"
		[ "$got" = "$wanted" ] || wrong+="$second after $first: $got; "
		[ "$lines" = "$([ "$wanted" = ok ] && echo 0 || echo 1)" ] || wrong+="$second after $first: $lines lines; "
		first=$2 second=$1
	done
}
for pair in a:a1 a:a0 a:a01 a:a1234567890 a1:a1p1 7:7p1 7:7p42 x-:x-9 x.:x.3 _:_1 q1p:q1p2 7p1:7p1p1 \
	"$(repeated 24 x):$(repeated 24 x)1"; do
	both "${pair%:*}" "${pair#*:}" EEXIST
	is "$wrong" "" "'${pair%:*}' and '${pair#*:}' exclude each other"
done
for pair in 7:72 a:ap1 a:b1 a:A1 a1:a12 a1:a1p a1:a1x1 a:a1p1 a:a1b a:a-1 7:7p 7p:7q1 7:7p1x; do
	both "${pair%:*}" "${pair#*:}" ok
	is "$wrong" "" "'${pair%:*}' and '${pair#*:}' can be there together"
done
for name in mybrd 1 2 1p1 2p15 features; do
	op mkdir $cfs/$name
	is "$said" EEXIST "'$name' is taken from load time on"
done
for name in 12 3 11p1 mybrd1 mybrdp1; do
	op mkdir $cfs/$name
	is "$said" ok "'$name' is not"
	op rmdir $cfs/$name
done

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
