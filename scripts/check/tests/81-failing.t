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
size=$((1 << 20))
dev=/dev/mybrd-f
sites=0 refusals=0 overcome=0 no_memory=0

listed() { grep -q '^f ' "$debugfs/targets"; }
is_down() { [ ! -e "$dev" ] && [ "$(get f power)" = 0 ] && ! listed; }
is_up() { [ -b "$dev" ] && [ "$(get f power)" = 1 ] && listed; }
there() { [ -d "$cfs/f" ]; }
gone() { [ ! -e "$cfs/f" ]; }
# holds VALUE [BYTES]: the disk's first bytes are all that
holds() { op holds $dev 0 "${2:-$size}" && [ "$said" = "ok $1" ]; }
has_size() { [ "$(cat /sys/block/mybrd-f/size)" = $(($1 * 2048)) ]; }
write_all() { op write $dev 0 $size "$1"; }
empty() { op discard $dev 0 $size; }
half() { empty && op write "$dev" 0 $((size / 2)) 17; }

# each_allocation WHAT ALLOWED PREPARE GOOD BAD OP [WORD]...: do the op with ever later allocations
# failing, after PREPARE each time; GOOD must hold where it succeeded, BAD where it failed, with
# an errno like ALLOWED; and in the end it must have succeeded for want of a failure. Where $overcomes
# is set, some of the failures are the driver's, which tries again.
step=1 overcomes=
each_allocation() {
	local what=$1 allowed=$2 prepare=$3 good=$4 bad=$5 nth tries=-1 refused=0 wrong='' start=$SECONDS answer missed
	shift 5
	for ((nth = 1; nth <= 3000; nth += step)); do
		$prepare
		((++tries))
		failing $nth "$@"
		answer=$said missed=$left
		if [[ $answer = ok* ]]; then
			$good || wrong+=" after success:$nth"
		else
			((++refused))
			[ "$answer" != ENOMEM ] || ((++no_memory))
			[[ $missed = 0 && $answer =~ ^($allowed)$ ]] || wrong+=" $answer:$nth"
			$bad || wrong+=" after failure:$nth"
		fi
		[ "$missed$wrong" = 0 ] || break
	done
	[ $nth -le 3000 ] || wrong+=" no end"
	[ $tries -gt 0 ] || wrong+=" nothing failed"
	[ -z "$overcomes" ] || [ $refused != $tries ] || wrong+=" none was the driver's"
	sites=$((sites + tries)) refusals=$((refusals + refused)) overcome=$((overcome + tries - refused))
	is "$wrong" "" "$what: $tries allocations failed, $refused times it did"
	diag "$((SECONDS - start)) s"
}

# no page waits for a grace period any more
counters() {
	settled mybrd-f
	counts=$(cd /sys/block/mybrd-f/mybrd && cat pages inserts frees waiting_pages)
}

# The block layer fails bios on their way down: always, then three times in ten. That is
# EIO and changes nothing, and the next try works.
injection() { echo "$2" >"/sys/kernel/debug/fail_make_request/$1"; }
refused_above() {
	local what=$1 wrong='' failed=0 before old=90 new op
	injection verbose 0
	injection times -1
	injection probability 0
	echo 1 >/sys/block/mybrd-f/make-it-fail
	for op in "write $dev 0 $size 90" "holds $dev 0 $size" "discard $dev 0 $size"; do
		write_all 17 || wrong+=" prepare:$said"
		counters
		before=$counts
		injection probability 100
		# shellcheck disable=SC2086 # words
		op $op
		injection probability 0
		[ "$said" = EIO ] || wrong+=" ${op%% *}:$said"
		counters
		[ "$counts" = "$before" ] || wrong+=" ${op%% *}:counters"
		holds 17 || wrong+=" ${op%% *}:content $said"
		# shellcheck disable=SC2086 # words
		op $op || wrong+=" ${op%% *} again:$said"
	done
	write_all $old
	for new in {1..100}; do
		injection probability 30
		op write $dev 0 4096 "$new"
		injection probability 0
		case $said in
		ok) old=$new ;;
		EIO) ((++failed)) ;;
		*) wrong+=" write $new:$said" ;;
		esac
		holds "$old" 4096 || wrong+=" content $new:$said"
	done
	echo 0 >/sys/block/mybrd-f/make-it-fail
	is "$wrong" "" "$what: EIO, nothing changes, and the next try works"
	in_range $failed 5 80 "$what: some of 100 writes failed"
}

# No page at all but for the first few: a write into holes gets ENOSPC, however far it was.
page_alloc() { echo "$2" >"/sys/kernel/debug/fail_page_alloc/$1"; }
out_of_pages() {
	local what=$1 wrong='' refused=0 given tries=({0..9} {63..66} 100 200) before error
	page_alloc task-filter Y
	page_alloc times -1
	for given in "${tries[@]}"; do
		empty
		counters
		before=$counts
		page_alloc space "$given"
		page_alloc probability 100
		op fail-pages write $dev 0 $size 90
		error=$said
		page_alloc probability 0
		[ "$error" != ENOSPC ] || ((++refused))
		[[ $error =~ ^(ENOSPC|ENOMEM|EAGAIN)$ ]] || wrong+=" $given:$error"
		counters
		[ "$counts" = "$before" ] || wrong+=" $given:counters"
		holds 0 || wrong+=" $given:content $said"
		write_all 90 || wrong+=" $given again:$said"
	done
	page_alloc task-filter N
	is "$wrong" "" "$what: ENOSPC, nothing changes, and the next try works"
	in_range $refused $((${#tries[@]} / 2)) ${#tries[@]} "$what: it was ENOSPC in most of ${#tries[@]} tries"
}

each_allocation "mkdir" ENOMEM "op rmdir $cfs/f" there gone mkdir $cfs/f
for mode in bio mq; do
	set_ f queue_mode $mode
	step=${MYBRD_FAIL_STEP:-7}
	each_allocation "$mode: power=1" "ENOMEM|EINVAL" "set_ f power 0" is_up is_down put $cfs/f/power 1

	# Allocations fail in the helper, so it shall be the one that does what a bio asks for. 6.1
	# has a worker do it, whatever the scheduler.
	here=y
	if [ $mode = mq ]; then
		echo none >/sys/block/mybrd-f/queue/scheduler
		[[ $(uname -r) != 6.1.* ]] || here=
	fi
	step=1
	# Direct I/O allocates above the driver as well: ENOMEM or EAGAIN is its answer. Now and then
	# that is once more than the time before, so that the one of a small write is left out.
	for bytes in 512 4096 12288 $size; do
		[ -z "$here" ] || [ "$bytes" != $size ] || overcomes=y
		each_allocation "$mode: write of $bytes bytes into a hole" "ENOSPC|ENOMEM|EAGAIN" \
			empty "holds 90 $bytes" "holds 0 $bytes" write $dev 0 "$bytes" 90
		overcomes=
	done
	[ -z "$here" ] || out_of_pages "$mode: a write that gets no pages"
	# The old content each time: an attempt that overcame its failure has replaced it.
	each_allocation "$mode: write over pages" "ENOMEM|EAGAIN" "write_all 17" "holds 90" "holds 17" write $dev 0 $size 90
	write_all 90
	each_allocation "$mode: zeroing of pages and holes" "ENOSPC|ENOMEM|EAGAIN" \
		half "holds 0" "holds 17 $((size / 2))" zero $dev 0 $size
	write_all 90
	each_allocation "$mode: read" "ENOMEM|EAGAIN" : : : check $dev 0 $size 90
	each_allocation "$mode: discard" ENOMEM "write_all 90" "holds 0" "holds 90" discard $dev 0 $size
	each_allocation "$mode: grow" ENOMEM "set_ f size 16M" "has_size 17" "has_size 16" put $cfs/f/size 17M
	each_allocation "$mode: shrink" ENOMEM "set_ f size 17M" "has_size 16" "has_size 17" put $cfs/f/size 16M
	for file in targets target/f; do
		each_allocation "$mode: reading mybrd/$file" ENOMEM : : : get "$debugfs/$file"
	done
	refused_above "$mode: what fails above the driver"
	each_allocation "$mode: power=0" ENOMEM "set_ f power 1" is_down is_up put $cfs/f/power 0
done
each_allocation "rmdir" ENOMEM "op mkdir $cfs/f" gone there rmdir $cfs/f
diag "$sites allocations failed, above the driver and in it; $refusals times the call did, $no_memory of them with ENOMEM"
# The driver tries again where it does not get a page, so that this is overcome.
ok "these were enough to be a test ($overcome were overcome)" [ $sites -gt 150 -a $no_memory -gt 80 -a $overcome -gt 20 ]

is "$(pages mybrd)" 0 "the other disk has seen nothing of it"
done_testing
