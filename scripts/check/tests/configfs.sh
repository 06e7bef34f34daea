# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What the tests 7*.t share: targets that are directories in configfs.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/ops.sh"

# shellcheck disable=SC2034
page=$(getconf PAGESIZE)
cfs=/sys/kernel/config/mybrd

# Device nodes are the kernel's own; nobody but the test opens them.
no_udev() { udev_pause; }

get() { local value; read -r value <"$cfs/$1/$2"; echo "$value"; }
# set NAME ATTRIBUTE VALUE: the value in one write, without a newline. One that is empty is a
# newline, as from echo, because an empty write never reaches the driver.
set_() { printf '%s' "${3:-$'\n'}" >"$cfs/$1/$2"; }

# target NAME [ATTRIBUTE=VALUE]...: a new one, powered on
target() {
	local name=$1 setting
	shift
	mkdir "$cfs/$name" || return
	for setting; do
		set_ "$name" "${setting%%=*}" "${setting#*=}" || return
	done
	set_ "$name" power 1
}

# remove NAME...: down, and its directory gone
remove() {
	local name
	for name; do
		set_ "$name" power 0 && rmdir "$cfs/$name" || return
	done
}

remove_all() {
	local dir
	for dir in "$cfs"/*/; do
		[ ! -d "$dir" ] || remove "$(basename "$dir")" || return
	done
}

# counter DISK NAME
counter() { local value; read -r value <"/sys/block/$1/mybrd/$2"; echo "$value"; }

# nothing of the disk waits for a grace period any more
settled() {
	local try
	for try in {1..200}; do
		[ "$(counter "$1" waiting_pages)" != 0 ] || return 0
		sleep 0.05
	done
	echo "pages of $1 still wait after $try looks"
	return 1
}

# fill DEVICE CHARACTER OFFSET LENGTH: direct writes of 64 KiB; dd sends what is
# left of less through the page cache
fill() {
	head -c "$4" /dev/zero | tr '\0' "$2" |
		dd of="$1" bs=64k seek="$3" oflag=direct,seek_bytes conv=notrunc iflag=fullblock status=none
}

# only DEVICE CHARACTER OFFSET LENGTH: how many bytes are anything else
only() {
	dd if="$1" bs=64k skip="$3" count="$4" iflag=direct,skip_bytes,count_bytes status=none |
		tr -d "$2" | wc -c
}
