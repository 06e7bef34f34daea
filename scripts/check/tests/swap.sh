# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154 # payload is lib.sh's
# Swap on the disk mybrd-swap where memory is short for the whole system: what 68-prealloc.t and
# 83-pressure.t share.

truncate -s 200M /var/tmp/holes
swapped_out() { awk '$1 == "pswpout" { print $2 }' /proc/vmstat; }
# hog MIB: so much memory, of which no two pages are the same, and a look at it in the end
hog() { sh -c 'echo 1000 >/proc/self/oom_score_adj; exec "$@"' - "$payload/ops" hog "$1" /tmp/there /tmp/enough >/dev/null; }

# swap_out MODE MIB: a process with so much memory sleeps, beside another that reads more than the
# page cache can hold, again and again: reclaim swaps the first one out. Sets $out to the pages.
swap_out() {
	local mode=$1 before
	mkswap /dev/mybrd-swap >/dev/null
	ok "$mode: swap on it" swapon /dev/mybrd-swap
	echo 200 >/proc/sys/vm/swappiness
	rm -f /tmp/there /tmp/enough
	before=$(swapped_out)
	hog "$2" &
	sleeper=$!
	until [ -e /tmp/there ] || ! kill -0 $sleeper; do sleep 0.2; done
	fio --name=reader --filename=/var/tmp/holes --rw=randread --bs=16k --size=200M --io_size=400M --ioengine=mmap \
		--invalidate=0 --fadvise_hint=0 >/dev/null 2>&1
	out=$(($(swapped_out) - before))
	in_range $out 8192 999999999 "$mode: a process that sleeps is swapped out ($out pages)"
}

# swap_in MODE: it goes on. Another that is larger than the memory, swap included, is killed, and
# that is all.
swap_in() {
	touch /tmp/enough
	wait "$sleeper"
	is $? 0 "$1: and it has what it had when it goes on"
	hog 600
	is $? 137 "$1: a process that is larger than the memory, swap included, gets killed"
}
