#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The trace events mybrd:* tell what happens to pages, sections and targets, in
# the order in which RCU makes it safe; switched off they write nothing.

# shellcheck disable=SC2016 # awk's are not the shell's
set -u
. "$(dirname "$0")/configfs.sh"

tracing=/sys/kernel/tracing
events=$tracing/events/mybrd
load size=1M
no_udev
echo global >$tracing/trace_clock

is "$(cd $events && printf '%s\n' */ | sort | xargs)" "mybrd_copy/ mybrd_cut/ mybrd_discard_batch/ mybrd_flush/ mybrd_free_batch/ \
mybrd_grace_period_begin/ mybrd_grace_period_end/ mybrd_insert/ mybrd_lookup/ mybrd_section_begin/ mybrd_section_end/ \
mybrd_share/ mybrd_target_add/ mybrd_target_free/ mybrd_target_unlink/" "the events are there"

# All that they can tell about: one of each
work() {
	local mode=$1
	: >$tracing/trace
	target a size=1M queue_mode="$mode"
	dev=$(cat /sys/block/mybrd-a/dev)
	dev="dev=$dev"
	fill /dev/mybrd-a x 0 65536
	dd if=/dev/mybrd-a of=/dev/null bs=64k count=2 iflag=direct status=none
	discard -l 32K /dev/mybrd-a
	settled mybrd-a
	remove a
	traced >/tmp/traced
}
# TASK EVENT ARGUMENTS
traced() { sed -n 's/^ *\(.*-[0-9]*\) .* mybrd_\([a-z_]*\): /\1 \2 /p' $tracing/trace; }
count() { awk -v e="$1" '$2 == e' /tmp/traced | grep -c -- "${2:-}"; }

for mode in $(modes); do
	echo 1 >$events/enable
	work "$mode"
	echo 0 >$events/enable
	ok "$mode: the work was traced" [ -s /tmp/traced ]

	is "$(awk '$2 == "insert"' /tmp/traced | cut -d' ' -f3- | sort)" \
		"$(for i in {0..15}; do echo "$dev index=$i hit"; done | sort)" "$mode: 16 pages written are inserted, each once"
	ok "$mode: they are looked up before that, and found after it" awk '
		function of(word) { sub(/.*=/, "", word); return word + 0 }
		$2 == "lookup" && $NF == "miss" {
			for (i = of($4); i < of($4) + of($5); i++) if (!inserted[i]) missed[i]++
		}
		$2 == "insert" { inserted[of($4)]++; if (!missed[of($4)]) exit 1 }
		$2 == "lookup" && $NF == "hit" {
			for (i = of($4); i < of($4) + of($5); i++) { if (!inserted[i]) exit 1; found[i]++ }
		}
		END { for (i = 0; i < 16; i++) if (!found[i]) exit 1 }' /tmp/traced
	is "$(awk '$2 == "lookup" && $NF == "miss" && $4 == "index=16" && sub("nr=", "", $5) && $5 > n { n = $5 } END { print n }' \
		/tmp/traced)" 16 "$mode: a hole of 16 pages is read in one go"

	# Sections: one pair each, never nested, and look-ups only within
	ok "$mode: sections begin" [ "$(count section_begin)" -gt 3 ]
	is "$(awk '
		$2 == "section_begin" { if (open[$1]++) print "nested in " $1 }
		$2 == "section_end" { if (--open[$1]) print "end without begin in " $1 }
		$2 == "lookup" && !open[$1] { print $2 " outside, in " $1 }
		$2 == "insert" && open[$1] { print "an allocation inside, in " $1 }
		END { for (task in open) if (open[task]) print "left open by " task }' /tmp/traced)" "" \
		"$mode: each section ends, in the task in which it began, with the look-ups between"
	is "$(awk '$2 ~ /^section|lookup|insert/' /tmp/traced | grep -vcE "$dev( |\$)")" 0 "$mode: all of them are of this disk"

	# Batches: out of the tree before back to the system, by the same number
	is "$(awk '$2 == "discard_batch" { sub("nr=", "", $5); n += $5; if ($5 + 0 > 64) n = "too many: " $5 } END { print n }' \
		/tmp/traced)" 8 "$mode: the discard unlinks its 8 pages"
	is "$(awk '
		$2 == "discard_batch" { if (wait[$4] != "") print "twice " $4; wait[$4] = $5; n++ }
		$2 == "free_batch" { if (wait[$4] != $5) print "freed " $4 " " $5 ", waiting: " wait[$4]; wait[$4] = ""; n-- }
		END { if (n) print n " batches were not freed" }' /tmp/traced)" "" \
		"$mode: each batch is freed after it was unlinked, whole"
	ok "$mode: and there are batches" [ "$(count free_batch "$dev ")" -ge 1 ]

	# The target, from its beginning to its end
	is "$(awk '$2 ~ /^target|^grace/' /tmp/traced | cut -d' ' -f2- | xargs)" "target_add disk=mybrd-a \
target_unlink disk=mybrd-a grace_period_begin targets=1 grace_period_end targets=1 target_free disk=mybrd-a" \
		"$mode: add, unlink, grace period, free, in this order"
	ok "$mode: the last I/O is before the unlinking" awk '
		$2 == "target_unlink" { gone = 1 }
		$2 ~ /^section|lookup|insert|discard_batch/ && gone { exit 1 }' /tmp/traced

	# Off, they are silent; one alone is alone.
	work "$mode"
	is "$(wc -l </tmp/traced)" 0 "$mode: switched off they write nothing"
done
# A clone gets 16 pages, and writes to two of them
clone() {
	: >$tracing/trace
	target a size=1M
	fill /dev/mybrd-a x 0 65536
	target b clone_of=a
	fill /dev/mybrd-b y 4096 8192
	remove b a
	traced >/tmp/traced
}
echo 1 >$events/mybrd_share/enable
echo 1 >$events/mybrd_copy/enable
clone
echo 0 >$events/enable
is "$(cut -d' ' -f2,4- /tmp/traced | xargs)" "share index=0 nr=16 copy index=1 copy index=2" \
	"a clone shares pages, and copies those that it writes"

# A flush, and a power cut that has two pages to undo
plug() {
	: >$tracing/trace
	target a size=1M write_cache=1
	fill /dev/mybrd-a x 0 65536
	sync /dev/mybrd-a
	fill /dev/mybrd-a y 0 65536
	set_ a cut 7
	remove a
	traced >/tmp/traced
}
echo 1 >$events/mybrd_flush/enable
echo 1 >$events/mybrd_cut/enable
plug
echo 0 >$events/enable
is "$(sed 's/^dev=[^ ]* //; s/dev=[^ ]* //' /tmp/traced | cut -d' ' -f2- | xargs)" \
	"flush index=0 nr=16 flush index=0 nr=16 cut disk=mybrd-a seed seed=7" \
	"a flush and a power cut tell what they were about"

for event in "$events"/*/; do
	event=$(basename "$event")
	echo 1 >"$events/$event/enable"
	case $event in mybrd_share | mybrd_copy) clone ;; mybrd_flush | mybrd_cut) plug ;; *) work bio ;; esac
	echo 0 >"$events/$event/enable"
	is "$(cut -d' ' -f2 /tmp/traced | sort -u)" "${event#mybrd_}" "$event alone writes only that"
done

# Power cycles and unloading with everything on, and many targets
echo 1 >$events/enable
: >$tracing/trace
for i in {1..5}; do target "t$i-" size=1M; done
remove_all
is "$(traced | awk '$2 == "target_unlink"' | wc -l) $(traced | awk '$2 == "target_free"' | wc -l)" "5 5" \
	"five targets are unlinked and freed"
ok "unloading with the events on" rmmod mybrd
ok "they are gone" [ ! -e $events ]
done_testing
