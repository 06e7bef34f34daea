# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Pull the plug in your own tests: three functions for bash, as root, for a mybrd that is
# loaded. They need nothing else of this tree.
#
#	. crash.sh
#	cd /sys/kernel/config/mybrd && mkdir victim && echo 1G >victim/size
#	echo 1 >victim/write_cache && echo 1 >victim/power
#	mkfs.ext4 -q /dev/mybrd-victim && mount /dev/mybrd-victim /mnt
#	...                                     # have something written, in the background
#	crash_cut victim                        # what was not flushed is lost, or half of it
#	crash_back victim                       # the same disk, with what is left
#	crash_check victim my-test              # mount, my-test DIRECTORY, umount, fsck
#
# Each fails where something does not hold, and says on stderr what.

crash_configfs=/sys/kernel/config/mybrd

crash_say() { printf 'crash: %s\n' "$*" >&2; }

# crash_cut NAME [HOW]: cut the power of /dev/mybrd-NAME, whoever uses it. HOW is "lose" (all
# that was not flushed), "keep" (nothing), or a number that decides for each block; with the
# same number and the same writes, the same blocks are left. Without HOW it is a random
# number, which is said.
crash_cut() {
	local name=$1 how=${2:-}
	if [ -z "$how" ]; then
		how=$((RANDOM << 15 | RANDOM))
		crash_say "/dev/mybrd-$name: cut $how"
	fi
	echo "$how" >"$crash_configfs/$name/cut"
}

# crash_umount DEVICE: from all places where it is mounted
crash_umount() {
	local device mnt mounts=() i
	while read -r device mnt _; do
		[[ $device != "$1" && $device != "$1"p[0-9]* ]] || mounts+=("$(printf '%b' "$mnt")")
	done </proc/self/mounts
	# The last first: others may be mounted on one of these.
	for ((i = ${#mounts[@]} - 1; i >= 0; i--)); do
		umount "${mounts[i]}" || return
	done
}

# crash_back NAME: unmount it and switch it on again: the same disk, with what the cut has
# left. What was put on top of it by hand (device mapper, md, loop) has to be gone. Waits 10
# seconds for others to close it, as a disk that is open stays off.
crash_back() {
	local name=$1 try said
	crash_umount "/dev/mybrd-$name" || return
	for try in {1..100}; do
		said=$({ echo 1 >"$crash_configfs/$name/power"; } 2>&1) && return
		sleep 0.1
	done
	crash_say "$name does not come back after $try tries: ${said##*: }"
	return 1
}

# crash_sound FSTYPE DEVICE: is the file system, which is not mounted, sound?
crash_sound() {
	local said
	case $1 in
	ext[234]) said=$(e2fsck -fn "$2" 2>&1) ;;
	xfs) said=$(xfs_repair -n "$2" 2>&1) ;;
	btrfs) said=$(btrfs check --readonly "$2" 2>&1) ;;
	f2fs) said=$(fsck.f2fs --dry-run "$2" 2>&1) ;;
	*) said=$(fsck -n "$2" 2>&1) ;;
	esac || {
		crash_say "$2: $1 is not sound: $said"
		return 1
	}
}

# crash_check [-t FSTYPE] [-o OPTIONS] [-d DEVICE] NAME [COMMAND [ARG]...]: mount
# /dev/mybrd-NAME (or what is on top of it), which lets the file system mend what it can;
# run COMMAND with the directory as its last argument; unmount; and look whether the file
# system is sound. Nothing is repaired. Status 1: the file system is not as it should be;
# otherwise that of COMMAND.
crash_check() {
	local OPTIND=1 option type='' options=rw device='' name mnt said status=0
	while getopts t:o:d: option; do
		case $option in
		t) type=$OPTARG ;;
		o) options=$OPTARG ;;
		d) device=$OPTARG ;;
		*) return 2 ;;
		esac
	done
	shift $((OPTIND - 1))
	name=$1
	shift
	device=${device:-/dev/mybrd-$name}
	type=${type:-$(blkid -p -o value -s TYPE "$device")} || return
	mnt=/run/crash-$name
	[ -d "$mnt" ] || mkdir "$mnt" || return
	said=$(mount -t "$type" -o "$options" "$device" "$mnt" 2>&1) || {
		crash_say "$device: $type cannot be mounted: $said"
		return 1
	}
	[ $# = 0 ] || "$@" "$mnt" || status=$?
	said=$(umount "$mnt" 2>&1) || {
		crash_say "$device: $type cannot be unmounted: $said"
		return 1
	}
	crash_sound "$type" "$device" || return 1
	return $status
}
