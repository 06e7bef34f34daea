#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What doc/guide.md shows of clones is run as it is written there: a golden image, and how
# xfstests, blktests and a model checker use it. Debian has no package of xfstests or of
# blktests. In their place is a ./check that takes its settings as theirs does, uses the
# disks, and looks whether it got them as new.

set -u
. "$(dirname "$0")/configfs.sh"

guide=$payload/guide.md
export said=/tmp/guide.said

load size=1M
mkdir -p /tmp/guide/{xfstests,blktests,sequences}
cd /tmp/guide || exit

# example TEXT: the lines of the guide that are set off after a line with TEXT
example() {
	awk -v after="$1" '
		index($0, after) { found = 1; next }
		found && /^    / { print substr($0, 5); inside = 1; next }
		inside && NF { exit }' "$guide"
}

# runs WHAT TEXT: the example after TEXT goes well, and complains of nothing
runs() {
	local complaints
	example "$2" >/tmp/guide/example
	is "$(($(wc -l </tmp/guide/example) >= 5))" 1 "$1: the guide has an example"
	: >$said
	noted "$1"
	complaints=$(bash -u /tmp/guide/example 2>&1 >/tmp/guide/output)
	is $? 0 "$1: the example goes well"
	is "$complaints" "" "$1: without a complaint"
}

# Settings of xfstests: common/config wants all four; TEST_DEV has a file system, and
# SCRATCH_DEV gets one.
cat >xfstests/check <<'END'
#!/bin/bash
{
	for dev in "$TEST_DEV" "$SCRATCH_DEV"; do [ -b "$dev" ] || echo "$dev is no block device"; done
	for dir in "$TEST_DIR" "$SCRATCH_MNT"; do [ -d "$dir" ] || echo "$dir is no directory"; done
	mount "$TEST_DEV" "$TEST_DIR"
	echo "$1: $(ls "$TEST_DIR" | xargs), $(blkid -p -o value -s LABEL -s TYPE "$SCRATCH_DEV" | xargs)"
	touch "$TEST_DIR/left-by-a-test"
	mke2fs -q -F -t ext4 -L scratch "$SCRATCH_DEV"
	mount "$SCRATCH_DEV" "$SCRATCH_MNT"
	cp /bin/busybox "$SCRATCH_MNT"
	umount "$TEST_DIR" "$SCRATCH_MNT"
} >>"$said" 2>&1
END
# Settings of blktests: an array in the file config
cat >blktests/check <<'END'
#!/bin/bash
{
	. ./config
	for dev in "${TEST_DEVS[@]}"; do
		[ -b "$dev" ] || echo "$dev is no block device"
		echo "$1: $(blkid -p -o value -s TYPE "$dev")"
		dd if=/dev/zero of="$dev" bs=1M count=2 oflag=direct status=none
	done
} >>"$said" 2>&1
END
chmod +x {xfstests,blktests}/check
for i in {1..6}; do
	cat >"sequences/$i" <<-'END'
		echo "$0: $(ls "$1" | xargs)" >>"$said"
		mkdir "$1/dir" && cp /bin/busybox "$1/dir" && mv "$1/dir" "$1/moved"
	END
done
# This one does damage, which no other must see.
echo 'debugfs -w -R "clri lost+found" /dev/mybrd-scratch 2>/dev/null' >>sequences/3

runs "a golden image" "gets a copy of the page."
is "$(get test clone_of) $(get test power)" "golden 1" "a golden image: and there is a clone of it"
is "$(counter mybrd-test shared_pages)" "$(counter mybrd-golden pages)" "a golden image: with its pages"
mount /dev/mybrd-test /mnt
is "$(ls /mnt)" "lost+found" "a golden image: and its files"
umount /mnt
settle

runs xfstests "xfstests gets the same file system"
is "$(cat $said)" "generic/001: lost+found, ext4
generic/002: lost+found, ext4" "xfstests: each test got both disks as new"
is "$(blkid -p -o value -s LABEL -s TYPE /dev/mybrd-scratch)" "ext4" "xfstests: and so are they afterwards"

runs blktests "blktests wants a disk"
is "$(cat $said)" "block: ext4
loop: ext4" "blktests: each group got the disk as new"

runs "a model checker" "A model checker that tries"
is "$(cat $said)" "$(for i in {1..6}; do echo "sequences/$i: lost+found"; done)" \
	"a model checker: each sequence began with the same files"
is "$(cat output)" "sequences/3 breaks the file system" "a model checker: the damage is found, once"

settle
remove scratch test golden
done_testing
