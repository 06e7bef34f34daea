#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Limits: a write that does not fit gets ENOSPC and changes nothing, memory that
# is on its way back is waited for, the counters are exact, and a machine with
# too little memory goes on working.
# vm: -m 512

set -u
. "$(dirname "$0")/configfs.sh"

dmesg -C	# another test had the OOM killer come
param=/sys/module/mybrd/parameters/mem_limit
total=$(meminfo MemTotal)
diag "MemTotal $total KiB"
try() { dd if=/dev/zero of="$1" bs="$2" count="$3" oflag=direct conv=notrunc "${@:4}"; }
full="No space left on device"

# The limit of one target and that of all of them: shown back, live, bytes or a share.
load size=64M
no_udev
is "$(cat $param)" 50% "by default all targets together may have half of the memory"
for value in 32M 25% 100% 1% 12345 0 50%; do
	ok "mem_limit=$value is taken" bash -c "echo $value >$param"
	is "$(cat $param)" "$value" "and shown back"
done
bad_values $param mem_limit 0% 101% 50%% 5x% -1 50%x % "1 %" "$(repeated 30 x)"
[ "$(cat $param)" = 50% ] || wrong+="it is $(cat $param)"
is "$wrong" "" "the module's mem_limit: bad values are EINVAL and one line, and change nothing"

# The highest limit is as good as none.
target a size=16M mem_limit=18446744073709551615
echo 18446744073709551615 >$param
ok "mem_limit=18446744073709551615 does not limit" try /dev/mybrd-a 64k 1
echo 50% >$param
remove a

limits() {
	local mode=$1 i before after times failed
	target a size=64M mem_limit=1M queue_mode="$mode"
	target b size=64M queue_mode="$mode"

	ok "$mode: what fits is taken" try /dev/mybrd-a 1M 1
	refused "$mode: one sector more is not" "$full" try /dev/mybrd-a 512 1 seek=4096
	ok "$mode: what is there can be written again" try /dev/mybrd-a 1M 1
	ok "$mode: another target has its own limit" try /dev/mybrd-b 4M 1
	is "$(counter mybrd-a pages) $(counter mybrd-a enospc) $(counter mybrd-b enospc)" "256 1 0" "$mode: and the counters know"
	for i in {1..5}; do try /dev/mybrd-a 64k 1 seek=$((100 + i)) 2>/dev/null; done
	is "$(counter mybrd-a enospc)" 6 "$mode: each refusal counts"
	set_ a mem_limit 2M
	ok "$mode: a higher limit counts at once" try /dev/mybrd-a 1M 1 seek=1
	set_ a mem_limit 64K
	ok "$mode: a limit below what is there takes nothing away" [ "$(counter mybrd-a pages)" = 512 ]
	ok "$mode: and what is there can be written again" try /dev/mybrd-a 1M 2
	refused "$mode: but nothing else" "$full" try /dev/mybrd-a 4k 1 seek=8192
	discard /dev/mybrd-a
	ok "$mode: until enough is given back" try /dev/mybrd-a 64k 1

	# All together: b has 4M
	echo 5M >$param
	set_ a mem_limit 0
	ok "$mode: mem_limit of the module: what fits is taken" try /dev/mybrd-a 512k 1
	refused "$mode: beyond it no target gets more" "$full" try /dev/mybrd-b 1M 1 seek=8
	echo 6M >$param
	ok "$mode: until it is raised" try /dev/mybrd-b 1M 1 seek=8
	remove a
	ok "$mode: or another target goes" try /dev/mybrd-b 512k 1 seek=32
	echo 50% >$param
	remove b

	# All or nothing: half of the range is there, and more than half of the rest would fit.
	target a size=16M mem_limit=4M queue_mode="$mode"
	for ((i = 0; i < 128; i++)); do
		op write /dev/mybrd-a $((8388608 + i * 8192)) 4096 97
	done
	is "$(counter mybrd-a pages)" 128 "$mode: 1 MiB, every other page of it written"
	try /dev/mybrd-a 4k 796 status=none
	before="$(sum /dev/mybrd-a) $(cd /sys/block/mybrd-a/mybrd && grep . pages inserts frees)"
	refused "$mode: 1 MiB there does not fit: ENOSPC" "$full" try /dev/mybrd-a 1M 1 seek=8
	after="$(sum /dev/mybrd-a) $(cd /sys/block/mybrd-a/mybrd && grep . pages inserts frees)"
	is "$after" "$before" "$mode: and not a byte has changed, nor has a counter"
	is "$(counter mybrd-a enospc)" 1 "$mode: one refusal"
	discard -l 112K /dev/mybrd-a
	refused "$mode: short of one page it does not fit yet" "$full" try /dev/mybrd-a 1028k 1 seek=8388608 oflag=direct,seek_bytes
	discard -o 112K -l 8K /dev/mybrd-a
	ok "$mode: with as much as it needs it does" try /dev/mybrd-a 1M 1 seek=8
	is "$(only /dev/mybrd-a '\0' 8388608 1048576)" 0 "$mode: all of it"

	# What waits for a grace period is waited for.
	discard /dev/mybrd-a
	times=$(rounds 100 30)
	failed=0
	for ((i = 0; i < times * 16; i++)); do
		op write /dev/mybrd-a $((i % 16 << 18)) $((1 << 18)) 120 || ((++failed))
		((i % 16 < 15)) || op discard /dev/mybrd-a 0 $((4 << 20)) || ((++failed))
	done
	is $failed 0 "$mode: filling to the limit and discarding, $times times in a row, never fails"
	remove a
}
for mode in $(modes); do limits "$mode"; done

# The counters are exact, and a write fails if and only if it does not fit: against a model.
against_model() {
	local mode=$1 limit=100 size=$((1 << 20)) wrong=() there=() have=0 inserts=0 frees=0 refused=0 peak=0
	local dir=/sys/block/mybrd-m/mybrd seed=${SEED:-$RANDOM} step kinds what len off first last new page pattern tries got
	local zero_tries=1
	local -A did=()
	# Where zeroing fails, it writes zeros itself.
	[[ $(uname -r) != 6.1.* ]] || zero_tries=2
	RANDOM=$seed
	kinds=(write write write write discard zero punch)
	target m size=$size mem_limit=$((limit * 4096)) queue_mode="$mode"
	rm -f /tmp/model
	truncate -s $size /tmp/model
	for step in {1..500}; do
		what=${kinds[RANDOM % 7]}
		len=$((512 * (1 + RANDOM % 1024)))
		[[ $what != @(write|zero) ]] || ((RANDOM % 5 == 0)) || len=$((512 * (1 + RANDOM % 64)))
		off=$((512 * (RANDOM % ((size - len) / 512 + 1))))
		first=$((off >> 12)) last=$(((off + len - 1) >> 12))
		if [[ $what = @(write|zero) ]]; then
			new=0
			for ((page = first; page <= last; page++)); do
				((${there[page]:-0})) || ((++new))
			done
			if [ "$what" = write ]; then
				pattern=$((RANDOM % 256))+$((RANDOM % 256)) tries=1
				op write /dev/mybrd-m $off $len $pattern
			else
				pattern=0 tries=$zero_tries
				op zero /dev/mybrd-m $off $len
			fi
			if ((have + new <= limit)); then
				what+=' fits'
				[ "$said" = ok ] || wrong+=("step $step: $new pages beside $have: $said")
			else
				what+=' does not fit'
				[ "$said" = ENOSPC ] || wrong+=("step $step: $new pages beside $have: $said")
			fi
			if [ "$said" = ok ]; then
				op write /tmp/model $off $len $pattern
				for ((page = first; page <= last; page++)); do there[page]=1; done
				have=$((have + new)) inserts=$((inserts + new))
			else
				refused=$((refused + tries))
			fi
		else
			op "$what" /dev/mybrd-m $off $len || wrong+=("step $step: $what: $said")
			op punch /tmp/model $off $len
			((off % 4096 == 0)) || ((++first))
			(((off + len) % 4096 == 0)) || ((--last))
			for ((page = first; page <= last; page++)); do
				((${there[page]:-0})) || continue
				there[page]=0
				have=$((have - 1)) frees=$((frees + 1))
			done
		fi
		did[$what]=$((${did[$what]:-0} + 1))
		((peak >= have)) || peak=$have
		read -r got <$dir/pages
		[ "$got" = $have ] || wrong+=("step $step, $what: $got pages, not $have")
		read -r got <$dir/inserts
		[ "$got" = $inserts ] || wrong+=("step $step, $what: $got inserts, not $inserts")
	done
	settled mybrd-m
	diag "seed $seed: $(for what in "${!did[@]}"; do printf '%s %d, ' "$what" "${did[$what]}"; done)"
	is "$(printf '%s; ' "${wrong[@]:0:5}")" "; " \
		"$mode: 500 operations at random: ENOSPC if and only if it does not fit, pages as the model has"
	is "$(cd $dir && cat pages inserts frees waiting_pages peak_pages enospc | xargs)" \
		"$have $inserts $frees 0 $peak $refused" "$mode: in the end each counter is exact"
	ok "$mode: and the disk holds what the model holds" sh -c \
		'dd if=/dev/mybrd-m bs=64k iflag=direct status=none | cmp - /tmp/model'
	is ${#did[@]} 6 "$mode: all kinds of operations were there"
	remove m
}
for mode in $(modes); do against_model "$mode"; done

# A disk of 4 GiB in a machine of 512 MiB
oom_kills() { dmesg | grep -ciE 'out of memory|oom-kill|invoked oom'; }
overfill() {
	local limit=$1 mode=$2 said written before after
	load_mode "$mode" size=4G
	echo "$limit" >$param
	before=$(settled_memory)
	said=$(try /dev/mybrd 1M 1024 2>&1)
	like "$said" "$full" "mem_limit=$limit, $mode: 1 GiB onto 4 GiB stops with ENOSPC"
	written=$(($(pages mybrd) / 256))
	in_range $written 100 $((total * 15 / 16384)) "mem_limit=$limit, $mode: after a good part of the memory ($written MiB)"
	ok "mem_limit=$limit, $mode: the shell is alive" ls /
	ok "mem_limit=$limit, $mode: the system keeps a reserve ($(meminfo MemAvailable) KiB)" \
		[ "$(meminfo MemAvailable)" -gt $((total / 32)) ]
	is "$(only /dev/mybrd '\0' 0 16777216)" 0 "mem_limit=$limit, $mode: what was written can be read"
	ok "mem_limit=$limit, $mode: discard" discard /dev/mybrd
	sleep 0.3
	after=$(settled_memory)
	ok "mem_limit=$limit, $mode: gives the memory back ($before KiB free, then $after)" [ "$after" -gt $((before - 8192)) ]
	ok "mem_limit=$limit, $mode: writing works again" try /dev/mybrd 1M 64
}
overfill 50% bio
overfill 0 mq
is "$(oom_kills)" 0 "the OOM killer never came"

# Page cache is no reason to refuse.
load size=1G
truncate -s 480M /var/tmp/holes
dd if=/var/tmp/holes of=/dev/null bs=1M status=none
free=$(meminfo MemFree)
diag "MemFree $free KiB, Cached $(meminfo Cached), Buffers $(meminfo Buffers)"
ok "memory is full of page cache" [ "$free" -lt 65536 ]
ok "what fits into half of the memory is written all the same" try /dev/mybrd 1M $((total / 1024 / 2 - 32))
is "$(counter mybrd enospc)" 0 "without a refusal"

# File systems on a disk that gets full
filled() {
	local fs=$1 said status=0 limit=48M
	load size=1G
	# mkfs.xfs reserves its log, which has 64 MiB.
	[ "$fs" != xfs ] || limit=96M
	target f size=1G mem_limit=$limit
	ok "$fs: mkfs" "mkfs.$fs" -q /dev/mybrd-f
	mount -t "$fs" /dev/mybrd-f /mnt
	said=$(dd if=/dev/zero of=/mnt/file bs=1M count=96 conv=fsync 2>&1) || status=$?
	ok "$fs: writing more than there is room for fails ($status)" [ $status != 0 ]
	like "$said" "error|$full|Read-only|shut down" "$fs: and says so"
	ok "$fs: the shell is alive" ls /mnt
	ok "$fs: umount returns" timeout 60 umount /mnt
	ok "$fs: the disk refused writes" [ "$(counter mybrd-f enospc)" -gt 0 ]
	ok "$fs: with more memory" set_ f mem_limit 0
	ok "$fs: it can be made anew" "mkfs.$fs" -q "$([ "$fs" = ext4 ] && echo -F || echo -f)" /dev/mybrd-f
	ok "$fs: mounts" mount -t "$fs" /dev/mybrd-f /mnt
	ok "$fs: and takes data" dd if=/dev/zero of=/mnt/file bs=1M count=64 conv=fsync
	umount /mnt
	remove f
}
for fs in $(file_systems); do
	filled "$fs"
done
is "$(oom_kills)" 0 "nor did the OOM killer come for file systems"
done_testing
