#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A directory in configfs is a target: it starts with the module's defaults,
# power brings it up and takes it down, what is in use stays, and a bad value
# changes nothing.
# kernels: 6.1 6.12 kunit-6.12

set -u
. "$(dirname "$0")/configfs.sh"

attrs=(size blocksize physical_block_size optimal_io_size discard ro mem_limit prealloc home_node queue_mode submit_queues hw_queue_depth power disk)
show() { (cd "$cfs/$1" && grep -H . "${attrs[@]}" | tr ':\n' '= '); }
queue=/sys/block/mybrd-a/queue

# A directory starts with the defaults, and those are the module's parameters.
load
no_udev
mkdir $cfs/a
is "$(show a)" "size=1073741824 blocksize=512 physical_block_size=$page optimal_io_size=0 discard=1 ro=0 \
mem_limit=0 prealloc=0 home_node=-1 queue_mode=bio \
submit_queues=1 hw_queue_depth=64 power=0 disk=mybrd-a " "mkdir makes a target with the defaults"
files=$(cd $cfs/a && printf '%s\n' * | sort)
is "$files" "$(printf '%s\n' "${attrs[@]}" clone_of reset write_cache cut state | sort)" "it has these attributes"
is "$(tr ',' '\n' <$cfs/features | sort)" "$files" "features lists what there is"
ok "no disk is there before it is powered" [ ! -e /dev/mybrd-a -a ! -e /sys/block/mybrd-a ]
rmdir $cfs/a
load size=96M blocksize=2048 queue_mode=mq
mkdir $cfs/a
is "$(show a)" "size=100663296 blocksize=2048 physical_block_size=$page optimal_io_size=0 discard=1 ro=0 \
mem_limit=0 prealloc=0 home_node=-1 queue_mode=mq \
submit_queues=1 hw_queue_depth=64 power=0 disk=mybrd-a " "size, blocksize and queue_mode follow the module's"
rmdir $cfs/a

# Targets from load time are none of configfs's business.
load size=64M nr_devices=2
is "$(ls $cfs)" features "targets made at load are not in configfs"
refused "and their names are taken" "File exists" mkdir $cfs/1
refused "the default one's too" "File exists" mkdir $cfs/mybrd
refused "features can't be written" "denied|Invalid|error|not permitted" dd if=/dev/zero of=$cfs/features bs=1 count=1

# All of them can be: the default one, too.
load nr_devices=0
is "$(ls $cfs) $(awk 'NR > 1' "$debugfs/targets") $(ls -d /dev/mybrd* /sys/block/mybrd* 2>/dev/null)" "features  " \
	"nr_devices=0 makes no disk"
ok "mkdir mybrd, power=1" target mybrd size=8M
is "$(blockdev --getsize64 /dev/mybrd) $(get mybrd disk)" "8388608 mybrd" "makes /dev/mybrd"
ok "beside another one" target a size=8M
ok "which can be its clone" sh -c "echo 0 >$cfs/a/power && echo mybrd >$cfs/a/clone_of && echo 1 >$cfs/a/power"
ok "both go" remove a mybrd
is "$(ls -d /dev/mybrd* /sys/block/mybrd* 2>/dev/null)" "" "and nothing of them is left"
ok "rmmod without a disk" rmmod mybrd
load size=64M nr_devices=2

# Power on: the node is there before the write returns; off: it is gone.
mkdir $cfs/a
set_ a size 32M
said=$(set_ a power 1 && blockdev --getsize64 /dev/mybrd-a)
is "$said" 33554432 "power=1 makes /dev/mybrd-a before it returns"
is "$(get a power)" 1 "it says so"
is "$(awk '$1 == "a" { print $2, $3 }' "$debugfs/targets")" "mybrd-a 33554432" "it is in the listing"
refused "rmdir of a powered target is refused" "busy" rmdir $cfs/a
ok "the target is still there" [ -b /dev/mybrd-a -a "$(get a power)" = 1 ]
fill /dev/mybrd-a x 0 1048576
ok "power=1 once more is nothing new" set_ a power 1
is "$(only /dev/mybrd-a x 0 1048576)" 0 "the data is still there"
ok "power=0 takes it down" set_ a power 0
ok "nothing of it is left when that returns" [ ! -e /dev/mybrd-a -a ! -e /sys/block/mybrd-a -a "$(get a power)" = 0 ]
ok "power=0 once more is nothing new" set_ a power 0
ok "and on again" set_ a power 1
is "$(only /dev/mybrd-a '\0' 0 33554432) $(counter mybrd-a pages)" "0 0" "what was on it is gone, it reads zeros"
set_ a power 0
ok "rmdir of a target that is off, after power=1 twice" rmdir $cfs/a

# The module stays while a directory does.
mkdir $cfs/a
refused "rmmod is refused while there is a directory" "in use" rmmod mybrd
set_ a power 1
refused "and while there is a disk" "in use" rmmod mybrd
remove a

# What is in use stays as it is: open, a partition open, mounted.
target a size=64M
fill /dev/mybrd-a x 0 1048576
exec {fd}</dev/mybrd-a
refused "power=0 while open is refused" "busy" set_ a power 0
is "$(get a power) $(only /dev/mybrd-a x 0 1048576)" "1 0" "and changes nothing"
exec {fd}>&-
printf 'label: gpt\nsize=16M\n' | sfdisk -q --no-tell-kernel /dev/mybrd-a
blockdev --rereadpt /dev/mybrd-a
exec {fd}</dev/mybrd-a1
refused "power=0 while a partition is open is refused" "busy" set_ a power 0
exec {fd}>&-
ok "the partition is still there" [ -b /dev/mybrd-a1 ]
remove a
target a size=64M
mkfs.ext4 -q -F /dev/mybrd-a
mount /dev/mybrd-a /mnt
cp -a /etc /mnt/
want=$(sums /etc)
for _ in {1..20}; do set_ a power 0; done 2>/tmp/said
is "$(sort /tmp/said | sed 's/.*: //' | uniq -c | xargs)" "20 Device or resource busy" "power=0 while mounted is refused, each time"
is "$(cat /sys/block/mybrd-a/size)" 131072 "its size is what it was"
umount /mnt
mount /dev/mybrd-a /mnt
is "$(sums /mnt/etc)" "$want" "its data is intact"
umount /mnt
ok "and its file system clean" fsck.ext4 -fn /dev/mybrd-a
ok "when it is unmounted, power=0 works" set_ a power 0
rmdir $cfs/a

# What can change while there is a disk, and what can't.
target a size=64M
for setting in blocksize=4096 physical_block_size=512 optimal_io_size=64K prealloc=1 discard=0 home_node=0 queue_mode=mq submit_queues=2 hw_queue_depth=32; do
	before=$(get a ${setting%=*})
	refused "${setting%=*} can't change while powered" "busy" set_ a ${setting%=*} ${setting#*=}
	is "$(get a ${setting%=*})" "$before" "and is what it was"
done
ok "size can" set_ a size 128M
is "$(get a size) $(blockdev --getsize64 /dev/mybrd-a)" "134217728 134217728" "and shows at once"
ok "mem_limit can" set_ a mem_limit 1M
is "$(get a mem_limit)" 1048576 "and shows at once"
refused "and counts at once" "No space left" dd if=/dev/zero of=/dev/mybrd-a bs=2M count=1 oflag=direct
remove a

# Each value is what the disk has after power=1.
target a size=48M blocksize=4096 discard=0 mem_limit=64K
is "$(cat $queue/logical_block_size)" 4096 "blocksize=4096"
is "$(cat $queue/discard_max_bytes) $(cat $queue/discard_granularity)" "0 0" "discard=0: the disk offers none"
refused "and takes none" "not supported" blkdiscard -f /dev/mybrd-a
is "$(blockdev --getsize64 /dev/mybrd-a)" 50331648 "size=48M"
ok "mem_limit=64K holds 64 KiB" fill /dev/mybrd-a x 0 65536
refused "and no more" "No space left" fill /dev/mybrd-a x 65536 65536
is "$(ls -d /sys/block/mybrd-a/mq 2>&1)" "ls: cannot access '/sys/block/mybrd-a/mq': No such file or directory" \
	"queue_mode=bio: no hardware queues"
remove a
target a size=48M queue_mode=mq submit_queues=2 hw_queue_depth=17
is "$(cd /sys/block/mybrd-a/mq && echo *)" "0 1" "queue_mode=mq submit_queues=2: two hardware queues"
is "$(cat /sys/block/mybrd-a/mq/*/nr_tags | xargs)" "17 17" "hw_queue_depth=17: 17 tags each"
ok "discard=1: the disk offers them" [ "$(cat $queue/discard_max_bytes)" -ge 50331648 ]
ok "and takes them" discard /dev/mybrd-a
remove a

# A bad value is EINVAL and one line, powered or not, and changes nothing.
bad=(
	"size:0,1000,1Gx,-1,16E,1 G, "
	"blocksize:513,131072,4K,0"
	"physical_block_size:256,513,4K,131072,0"
	"optimal_io_size:512,1000,4097,-1,2G"
	"discard:2,maybe"
	"prealloc:2,maybe"
	"ro:2,maybe"
	"mem_limit:-1,10%,1.5G"
	"home_node:-2,1023,x"
	"queue_mode:rq,mqq"
	"submit_queues:0,3,-1"
	"hw_queue_depth:0,10241"
	"power:2,x"
)
mkdir $cfs/a
for state in 0 1; do
	set_ a power $state
	before=$(show a)
	for name in "${bad[@]}"; do
		IFS=, read -ra values <<<"${name#*:}"
		name=${name%%:*}
		bad_values "$cfs/a/$name" "$name" "${values[@]}"
		[ "$(show a)" = "$before" ] || wrong+="changed: $(show a)"
		is "$wrong" "" "$name, power=$state: bad values are EINVAL and one line, and change nothing"
	done
done
set_ a power 0
set_ a size 5632
bad_values $cfs/a/blocksize blocksize 4096
is "$wrong" "" "blocksize=4096 on a disk of 5632 bytes is refused"
set_ a write_cache 1
bad_values $cfs/a/prealloc prealloc 1
is "$wrong" "" "prealloc=1 on a disk with a write cache is refused"
set_ a clone_of nothing
refused "a disk with a write cache, clone of nothing, gets no power" "No such file" set_ a power 1
set_ a clone_of ''
set_ a write_cache 0
op put $cfs/a/cut 'lose\x00'
is "$said" EINVAL "a cut with a NUL in it is refused"
set_ a power 1
logged
op put $cfs/a/hw_queue_depth 3
is "$said" EBUSY "a change too late is EBUSY"
logged
is "$lines" 1 "and one line"
set_ a power 0
ok "rmdir" rmdir $cfs/a

# Opening and powering race: whoever is late gets EBUSY, or finds no disk. Power waits for those
# who have it open for a moment, and every tenth has it open for longer than that.
# race WHAT SECONDS NAME...: do that to one of the names, or all kinds of things ("mix"), again and
# again. Prints how often it came to which end.
race() {
	local what=$1 end=$((SECONDS + $2)) name act key n=0 mix=(mkdir rmdir on off size open)
	local -A ends=()
	shift 2
	RANDOM=$BASHPID
	while [ $SECONDS -lt $end ]; do
		name=${*:RANDOM % $# + 1:1}
		case $what in
		mix) act=${mix[RANDOM % 6]} ;;
		power) act=${mix[2 + n++ % 2]} ;;
		*) act=$what ;;
		esac
		case $act in
		mkdir | rmdir) op "$act" "$cfs/$name" ;;
		on) op put "$cfs/$name/power" 1 ;;
		off) op put "$cfs/$name/power" 0 ;;
		size) op put "$cfs/$name/size" $((RANDOM % 2 + 1))M ;;
		open)
			if [ $((RANDOM % 10)) != 0 ] || [ "$what" = mix ]; then
				op peek "/dev/mybrd-$name"
			elif op open "/dev/mybrd-$name"; then
				op nap 1500
				op close
			fi
			;;
		esac
		key="$act $said"
		ends[$key]=$((${ends[$key]:-0} + 1))
		[ "$act" != on ] || op nap 10
	done
	for key in "${!ends[@]}"; do
		echo "$key ${ends[$key]}"
	done
}
seen() { awk '{ n = $NF; $NF = ""; sum[$0] += n } END { for (s in sum) print s sum[s] }' "$@" | sort; }
target a size=1M
: >/tmp/open
: >/tmp/power
for _ in 1 2 3 4 5; do		# until it came to everything, which takes longer where the host is busy
	race open 4 a >>/tmp/open &
	race power 4 a >>/tmp/power
	wait
	! grep -q '^off ok' /tmp/power || ! grep -q '^off EBUSY' /tmp/power || ! grep -q '^open ok' /tmp/open || break
done
diag "$(seen /tmp/open /tmp/power)"
is "$(grep -vE '^o(n|ff|pen) ok ' /tmp/open /tmp/power | grep -vE ':(off EBUSY|open EBUSY|open ENXIO|open ENOENT) ')" "" \
	"opening against power: EBUSY or no disk, nothing else"
for what in 'off ok' 'off EBUSY' 'open ok'; do
	ok "it came to '$what'" grep -qh "^$what " /tmp/open /tmp/power
done
set_ a power 0
rmdir $cfs/a

# Several processes at the same names, two of which exclude each other.
for _ in 1 2 3 4 5; do
	pids=()
	for i in 1 2 3 4; do
		race mix 5 a a1 b >>/tmp/mix$i &
		pids+=($!)
	done
	wait "${pids[@]}"
	[ "$(seen /tmp/mix? | grep -c ' ok ')" -lt 6 ] || break
done
diag "$(seen /tmp/mix?)"
is "$(cat /tmp/mix? | grep -vE ' ok |^mkdir EEXIST|^rmdir (ENOENT|EBUSY)|^o(n|ff) (ENOENT|EBUSY)|^size (ENOENT|EBUSY)|^open (ENOENT|ENXIO|EBUSY)')" \
	"" "four processes at three names: no error but the expected ones"
is "$(seen /tmp/mix? | grep -c ' ok ')" 6 "each thing worked now and then"
ok "a name and a partition's name never came together" [ ! -d $cfs/a -o ! -d $cfs/a1 ]
ok "what is left can be removed" remove_all
is "$(ls $cfs) $(awk 'NR > 1 { print $1 }' "$debugfs/targets" | xargs)" "features mybrd 1" "and then only the targets from load time are there"
ok "a new target works" target a size=1M
remove a

done_testing
