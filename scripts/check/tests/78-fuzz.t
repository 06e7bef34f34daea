#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Whatever is written to an attribute or a parameter, and whatever a directory
# is called: a good value is taken, anything else is EINVAL and one line, and
# the module works afterwards as before.

# shellcheck disable=SC2016,SC2054,SC1003,SC2034 # strings are no code; arrays are named
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

rare=$(rounds 1 4)	# of the strings one in so many is tried
loads=$(rounds 10 4)
seed=${SEED:-$RANDOM}
RANDOM=$seed
diag "SEED=$seed"
LC_ALL=C

# Strings, escaped as "ops -h" says
hostile=(' ' '\n' '\n\n' '\x00' '\x00\x00\x00' '1\x00' '1\x00garbage' '\t1' ' 1' '1 ' '1\n' '1\n\n' '1\n2' '\x0d\n' '1\x0d\n'
	-1 -0 +0 +1 --1 +-1 00 01 007 0x10 0b1 1e3 1.5 1,5 1_000 'BUG: KASAN' 'WARNING: Oops'
	%s %n %s%n%x%p '%1$n' %% 50% %pV '%*pE' '\\' '\\n' '\\0' "'" '"' '""' '`id`' '$(id)' ';' '|' '&'
	../.. / /dev/null '*' '?' '[a-z]' '{}' '<>' '\x1b[2J' '\x07' '\x7f' '\x80' '\xff' "$(repeated 64 '\xff')" '\xfe\xff'
	'\xc3\xa4\xc3\xb6' '\xd9\xa1' '\xef\xbc\x91' '\xe2\x80\x8b1' '\xef\xbb\xbf1' '\xf0\x9f\x92\xbe'
	127 128 255 256 257 32767 32768 65535 65536 2147483647 2147483648 -2147483648 -2147483649
	4294967295 4294967296 4294967297 4294967808 9223372036854775295 9223372036854775296 9223372036854775807
	9223372036854775808 18446744073709551104 18446744073709551615 18446744073709551616 99999999999999999999999999999
	-9223372036854775808 8E 7E 16E 15E 17592186044415M 17592186044416M 1K 1k 1M 1G 1T 1P 1KB
	1KiB 1KK K k1 '1 K' null NULL '(null)' nan inf true false on off onn offf o of yes
	no y n Y N t f bio mq BIO Mq 'bio\n' 'mq\n\n' bi bioo rq 'bio mq' bio,mq b 512 1024
	2048 4096 '4096\n' 8192 513 511 0 '0\n' 2 64 10240 10241 "$(repeated 31 1)" "$(repeated 30 0)1" "$(repeated 31 0)1" "$(repeated 40 0)1"
	"$(repeated 4095 0)" "$(repeated 4095 9)" "$(repeated 4095 a)" "$(repeated 4096 1)" "$(repeated 4095 '\n')"
	"$(repeated 4095 ' ')" "$(repeated 2047 %s)" "$(repeated 4095 '\xff')" "$(repeated 4096 a)" "mq$(repeated 4000 ' ')")
good=(512 4096 1M 64M 1G 0 1 -1 bio mq 50% 2 64 on off)
bytes=() printable=() digits=({0..9} K M G T k m g % - + . x '\n')
for i in {0..255}; do
	if ((i == 10)); then
		char='\n'
	elif ((i == 9)); then
		char='\t'
	elif ((i == 92)); then
		char='\\'
	elif ((i < 32 || i > 126)); then
		printf -v char '\\x%02x' "$i"
	else
		printf -v char '\\x%02x' "$i"
		printf -v char %b "$char"
	fi
	bytes+=("$char")
	((i < 32 || i > 126)) || printable+=("$char")
done

# one CHARACTERS MOST: adds so many at most, at random, to $text
one() {
	local -n chars=$1
	local n=$((1 + RANDOM % $2))
	while ((n--)); do text+=${chars[RANDOM % ${#chars[@]}]}; done
}
bytes_or_digits() { if ((RANDOM % 2)); then one bytes "$1"; else one digits "$1"; fi; }
# any: sets $text to anything
any() {
	local word=${good[RANDOM % ${#good[@]}]} at
	text=
	case $((RANDOM % 7)) in
	0) one bytes 40 ;;
	1) one printable 40 ;;
	2) one digits 6 ;;
	3) one digits 24 ;;
	4) text=$word; bytes_or_digits 3 ;;
	5) bytes_or_digits 3; text+=$word ;;
	6) at=$((RANDOM % ${#word})); text=${word:0:at}; one bytes 1; text+=${word:at + 1} ;;
	esac
}
# strings N: sets the array to all hostile ones and as many of any kind, or to one in $rare of those
strings() {
	local i all=("${hostile[@]}")
	for ((i = 0; i < $1; i++)); do
		any
		all+=("$text")
	done
	strings=()
	for text in "${all[@]}"; do
		((RANDOM % rare)) || strings+=("$text")
	done
}

# What is good, said once more: the C code is not asked.
newline='(\\n)?$'
# bytes_of TEXT: a number of bytes below 2^64? Sets $value, to 0 where it is 2^63 at least.
bytes_of() {
	local units=_KMGTPE number unit most
	[[ $1 =~ ^([0-9]{1,31})([KMGTPEkmgtpe]?)$newline ]] || return
	number=${BASH_REMATCH[1]} unit=${BASH_REMATCH[2]^^}
	number=${number#"${number%%[!0]*}"}
	number=${number:-0}
	units=${units%"${unit:-_}"*}
	most=18446744073709551615
	((${#units} == 0)) || most=$(((1 << (64 - 10 * ${#units})) - 1))
	no_more "$number" $most || return
	value=0
	no_more "$number" $((9223372036854775807 >> 10 * ${#units})) && value=$((number << 10 * ${#units}))
	return 0
}
# no_more A B: both without zeros in front
no_more() { ((${#1} < ${#2})) || { ((${#1} == ${#2})) && [[ ! $1 > $2 ]]; }; }
# number TEXT LEAST MOST: one without a minus sign
number() {
	[[ $1 =~ ^[+]?0*([0-9]*)$newline && $1 = *[0-9]* ]] || return
	((${#BASH_REMATCH[1]} < 10 && ${BASH_REMATCH[1]:-0} >= $2 && ${BASH_REMATCH[1]:-0} <= $3))
}
also=
cpus=$(nproc --all)
blocks='512|1024|2048|4096'
{ [ -d /sys/kernel/mm/transparent_hugepage ] && printf '6.15\n%s\n' "$(uname -r)" | sort -CV; } && blocks+='|8192|16384|32768|65536'
# is_good NAME TEXT [BLOCKSIZE [SIZE]], with $physical and $optimal
physical=512 optimal=0
is_good() {
	local text=$2
	if [ "$1" = module_limit ]; then
		text=${text%%'\x00'*}
	elif [[ $text = *'\x00'* ]]; then
		return 1
	fi
	case $1 in
	size) bytes_of "$text" && ((value > 0 && value <= 9223372036854775296 && value % $3 == 0)) ;;
	mem_limit) bytes_of "$text" ;;
	blocksize)
		[[ $text =~ ^[+]?0*($blocks)$newline ]] && ((${4:-0} % BASH_REMATCH[1] == 0)) &&
			((optimal % (BASH_REMATCH[1] > physical ? BASH_REMATCH[1] : physical) == 0))
		;;
	physical_block_size)
		[[ $text =~ ^[+]?0*(512|1024|2048|4096|8192|16384|32768|65536)$newline ]] &&
			((BASH_REMATCH[1] >= $3 && optimal % BASH_REMATCH[1] == 0))
		;;
	optimal_io_size)
		[[ $text =~ ^0{1,31}[KMGTPEkmgtpe]?$newline ]] ||
			{ bytes_of "$text" && ((value > 0 && value <= 1 << 30 && value % physical == 0)); }
		;;
	discard | prealloc | ro | power) [[ ${text,,} =~ ^([ytnf01$also]|on|of) ]] ;;
	home_node) [[ $text =~ ^([-+]?0+|-0*1)$newline ]] ;;
	queue_mode) [[ $text =~ ^(bio|mq)$newline ]] ;;
	submit_queues) number "$text" 1 "$cpus" ;;
	hw_queue_depth) number "$text" 1 10240 ;;
	nr_devices) number "$text" 0 256 ;;
	module_limit)
		{ [[ $text =~ ^([0-9]{1,3})%$newline ]] && ((10#${BASH_REMATCH[1]} >= 1 && 10#${BASH_REMATCH[1]} <= 100)); } ||
			bytes_of "$text"
		;;
	esac
}

tried=0 taken=0 total=0 wrong=()
# judge NAME TEXT WANTED: the latest op said WANTED; one line for each error, none for what is taken
judge() {
	local answer=$said so='' shown=$2 expected=1
	logged
	((++tried))
	if [ "$answer" = ok ]; then
		((++taken))
		expected=0
		[[ $line != *'is more than it can hold'* ]] || lines=0	# it may be
	fi
	[ "$answer" = "$3" ] || so+="got $answer, not $3; "
	[ "$lines" = $expected ] || so+="$lines lines; "
	[ "$lines" = 0 ] || [[ $line = *"$1"* ]] || so+="'$1' is not in it; "
	[ "${#shown}" -le 60 ] || shown="${shown:0:60}... (${#shown})"
	[ -z "$so" ] || wrong+=("$1 '$shown': $so$line")
}
verdict() {
	diag "$1: $tried strings, $taken taken"
	is "$(printf '%s\n' "${wrong[@]:0:6}")" "" "$1: each string is taken if good, else EINVAL and one line"
	ok "$1: some were good and most were not" [ $taken -gt 3 -a $tried -gt $((2 * taken)) ]
	total=$((total + tried)) tried=0 taken=0 wrong=()
}
# wanted ANSWER NAME TEXT [BLOCKSIZE [SIZE]]: sets $wanted to it where the text is good, else to EINVAL
wanted() {
	wanted=EINVAL
	! is_good "${@:2}" || wanted=$1
}
# attr NAME TEXT: configfs takes 4095 bytes at a time
attr() {
	op put "$cfs/f/$1" "$2"
	[ "$said" != short ] || [ ${#2} -le 4095 ] || said=ok
}

mkdir $cfs/f
# Later kernels' kstrtobool() knows enable and disable.
! op put $cfs/f/discard e || also='ed'
logged

# Off: everything can change. What power=1 makes of it is seen below.
names=(size blocksize physical_block_size optimal_io_size discard prealloc ro mem_limit home_node queue_mode submit_queues hw_queue_depth)
for name in "${names[@]}"; do
	strings 40
	for text in "${strings[@]}"; do
		read -r bs <$cfs/f/blocksize
		read -r size <$cfs/f/size
		read -r physical <$cfs/f/physical_block_size
		read -r optimal <$cfs/f/optimal_io_size
		wanted ok "$name" "$text" "$bs" "$size"
		attr "$name" "$text"
		judge "$name" "$text" "$wanted"
	done
done
verdict "attributes of a target that is off"

# On: what can't change is EBUSY, a line too.
for setting in optimal_io_size=0 size=1M blocksize=512 physical_block_size=512 prealloc=0 queue_mode=mq submit_queues=1 hw_queue_depth=8 mem_limit=0 home_node=-1 discard=1 ro=0; do
	set_ f ${setting%=*} ${setting#*=}
done
physical=512 optimal=0
logged
op put $cfs/f/power 1
is "$said" ok "power=1 after all that"
for name in "${names[@]}" power; do
	case $name in
	size | mem_limit | ro | power) live=ok ;;
	*) live=EBUSY ;;
	esac
	strings 40
	for ((i = RANDOM % 3; i < ${#strings[@]}; i += 1 + RANDOM % 5)); do
		text=${strings[i]}
		read -r size <$cfs/f/size
		wanted $live "$name" "$text" 512 "$size"
		attr "$name" "$text"
		judge "$name" "$text" "$wanted"
		[ "$name" != power ] || [ "$wanted" != ok ] || { op put $cfs/f/power 1; logged; }
	done
done
verdict "attributes of a target that is on"
op put $cfs/f/power 0
is "$said" ok "power=0 after all that"
ok "and its directory can go" rmdir $cfs/f

# The module's own limit
param=/sys/module/mybrd/parameters/mem_limit
strings 150
for text in "${strings[@]}"; do
	wanted ok module_limit "$text"
	op put $param "$text"
	judge mem_limit "$text" "$wanted"
done
verdict "the parameter mem_limit"
op put $param 50%
is "$said" ok "the default again"

# Directories
strings 250
name_chars=(a Z 0 _ . - %)
for i in {1..100}; do
	text=a
	one name_chars 27
	strings+=("$text")
done
logged
for text in "${strings[@]}"; do
	plain=${text//'\'x??/?}
	plain=${plain//'\'?/?}
	case $text in
	'' | . | .. | */* | *'\x00'*) continue ;;
	esac
	[ ${#plain} -le 255 ] || continue
	wanted=EINVAL
	[[ ! $text =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,24}$ ]] || wanted=ok
	op mkdir "$cfs/$text"
	answer=$said
	judge name "$text" "$wanted"
	[ "$answer" != ok ] || op rmdir "$cfs/$text" || wrong+=("rmdir $text: $said")
done
verdict "names of directories"
in_range $((total * rare)) 2000 999999 "that was $total strings"
ok "the module works as before" healthy
unload

# The same at load
gone=0
for setting in size=1M blocksize=4096 nr_devices=2 queue_mode=mq mem_limit=7%; do
	name=${setting%=*}
	strings 60
	for ((i = 0; i < loads; i++)); do
		text=${setting#*=}
		until ((i == 0)); do
			text=${strings[RANDOM % ${#strings[@]}]}
			[[ ${#text} -ge 1000 || $text = *'"'* || $text = *'\x00'* ]] || break
		done
		wanted=EINVAL
		case $name in
		mem_limit) wanted ok module_limit "$text" ;;
		*) wanted ok "$name" "$text" 512 $((1 << 30)) ;;
		esac
		op load "$ko" "$name=\"$text\""
		answer=$said
		judge "$name" "$text" "$wanted"
		[ "$answer" != ok ] || op unload mybrd || wrong+=("rmmod: $said")
		[ -e /sys/module/mybrd ] || [ -e /dev/mybrd ] || ((++gone))
	done
done
verdict "module parameters at load"
is $gone $((5 * loads)) "a refused load leaves nothing"
load size=16M
udevadm control --exit 2>/dev/null
ok "and it loads and works" healthy
ok "and unloads" rmmod mybrd
dmesg -n 7
sleep 1
kill $follower
ok "the log was followed" [ "$(grep -c 'mybrd: .*must be' /tmp/dmesg)" -gt $((1000 / rare)) ]
is "$(bugs </tmp/dmesg)" "" "the log shows no bug"
is "$(cat /proc/sys/kernel/tainted)" "$tainted" "and the kernel is tainted by none"
done_testing
