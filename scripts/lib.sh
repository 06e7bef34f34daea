# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What the scripts beside this file share: messages, cleaning up, the cache,
# and Debian packages. Messages go to stderr; stdout carries results.

# shellcheck disable=SC2034 # for the others
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mybrd
PATH=$PATH:/usr/sbin:/sbin

say() { printf '%s\n' "$*" >&2; }
# Whoever says something is named by its place in scripts/.
die() { say "${0##*scripts/}: $*"; exit 1; }

# give_up WHAT LOG: leave with one sentence that says what to do, as far as LOG tells.
give_up() {
	if grep -q 'No space left' "$2"; then
		die "$1: the disk is full; free some GB in $cache, or set XDG_CACHE_HOME (log: $2)"
	elif grep -qE 'Temporary failure|Could not (resolve|connect)|Failed to fetch|Network is unreachable' "$2"; then
		die "$1: the Debian archive can't be reached; check the network and apt's sources (log: $2)"
	fi
	die "$1: $(grep -m 1 '^E:' "$2" || tail -n 1 "$2") (log: $2)"
}

# usage [STATUS]: print the calling script's opening comment, and leave. Whoever
# got the arguments wrong is only told where it is.
usage() {
	if [ "${1:-0}" != 0 ]; then
		sed -n '3,/^[^#]/ s/^# Usage: /Usage: /p' "$0" >&2
		say "${0##*scripts/}: these arguments don't fit; $0 -h explains them"
		exit "$1"
	fi
	sed -n '3,/^[^#]/ s/^# \{0,1\}//p' "$0" >&2
	exit 0
}

# However a script ends, what it started in the background ends with it and
# what it was in the middle of making goes.
unfinished=()
clean_up() {
	local pid
	for pid in $(jobs -p); do
		kill -- "-$pid" 2>/dev/null || as_root kill -- "-$pid" 2>/dev/null || true
	done
	wait
	[ ${#unfinished[@]} = 0 ] || rm -rf --one-file-system "${unfinished[@]}" 2>/dev/null ||
		as_root rm -rf --one-file-system "${unfinished[@]}"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "needs root: run it as root, or install sudo"
	fi
}

# A /dev/kvm alone proves nothing: without the CPU's own flag, a guest hangs.
have_kvm() {
	grep -Eqw 'svm|vmx' /proc/cpuinfo && (: <>/dev/kvm) 2>/dev/null
}

# cached NAME COMMAND...: make the cache entry NAME by calling COMMAND with a
# new directory. The entry appears whole or not at all, and is made once even
# when two runs want it at the same time.
cached() {
	local entry=$cache/$1 lock
	shift
	[ ! -d "$entry" ] || return 0
	mkdir -p "$cache" || die "cannot create the cache $cache"
	exec {lock}>"$entry.lock"
	flock -n "$lock" || {
		say "waiting for another run to make ${entry##*/} ..."
		flock "$lock"
	}
	if [ ! -d "$entry" ]; then
		unfinished+=("$entry.tmp")
		rm -rf "$entry.tmp"
		mkdir "$entry.tmp"
		"$@" "$entry.tmp"
		mv "$entry.tmp" "$entry"
	fi
	exec {lock}>&-
}

# copy_tree DIR: all that is the project's own, without what was built and the history, to DIR
copy_tree() {
	mkdir -p "$1"
	tar -C "$top" --exclude=./build --exclude=./.git --exclude-vcs-ignores -cf - . | tar -C "$1" -xf -
}

# copy_module DIR: what the module and its KUnit tests are made of, to DIR; what did not change
# there is not built anew
copy_module() {
	mkdir -p "$1"
	rsync -a --exclude=/kunit/user "$top"/mybrd*.[ch] "$top/Kbuild" "$top/kunit" "$1/"
}

# header TEST WORD: what the opening comment of a system test says after "# WORD: "
#   vm       options of the VM that it needs (scripts/vm/run)
#   kernels  those that make check runs it on, where it is not the usual ones
#   in       what runs it, where it is neither make check nor make check-all by itself
header() { sed -n "s/^# $2: //p" "$1"; }

# every_test: the system tests but for those that are in something else
every_test() {
	local test
	(cd "$top" && for test in scripts/check/tests/*.t; do
		[ -n "$(header "$test" in)" ] || echo "$test"
	done)
}

# background COMMAND...: start COMMAND, whose process group clean_up can end.
background() {
	set -m
	"$@" </dev/null &
	set +m
}

# logged LOG WHAT COMMAND...: run COMMAND with its output in LOG, and say
# every 15 seconds how far it is.
logged() {
	local log=$1 what=$2 start=$SECONDS next=15 pid
	shift 2
	background "$@" >"$log" 2>&1
	pid=$!
	while sleep 0.2; kill -0 "$pid" 2>/dev/null; do
		((SECONDS - start >= next)) || continue
		say "  $what: $((SECONDS - start)) s, $(wc -l <"$log") steps"
		((next += 15))
	done
	wait "$pid"
}

# no_process LOG: did a kernel that is a process say that this host can't run it? Says why.
no_process() {
	local reason words='SECCOMP userspace requested but not functional|SMP is not supported with PTRACE
|check_ptrace|must be not mounted noexec|Failed to choose tempdir|open - cannot create|initialize default registers'
	reason=$(grep -aE -m 1 "${words//$'\n'/}" "$1") || return
	say "${0##*scripts/}: this host can't run a kernel as a process: $reason (log: $1)"
}

# arch_of ENTRY: what modules for that kernel are built for
arch_of() { cat "$1/arch" 2>/dev/null || echo x86_64; }

# triplet ARCH: how the compiler for kernels and programs of that architecture is called
triplet() {
	case $1 in
	i386) echo i686-linux-gnu ;;
	arm64) echo aarch64-linux-gnu ;;
	s390) echo s390x-linux-gnu ;;
	*) echo x86_64-linux-gnu ;;
	esac
}

# modules ENTRY DIR LOG [MAKE-ARG]...: build the modules in DIR for the kernel in the
# cache entry ENTRY, where any warning is an error.
modules() {
	local entry=$1 dir=$2 log=$3 arch tools
	shift 3
	arch=$(arch_of "$entry")
	tools=$(triplet "$arch")-
	make -C "$entry/build" ARCH="$arch" M="$dir" CROSS_COMPILE="$tools" CC="${tools}gcc-12" W=1 \
		KCFLAGS="$(cat "$entry/flags" 2>/dev/null)" "$@" modules >"$log" 2>&1 ||
		{ grep -E 'error|Error' "$log" >&2 || tail -n 5 "$log" >&2; die "$dir does not build (log: $log)"; }
	if grep -Ei -A 3 'warning' "$log" >&2; then
		# Compiled again next time, to warn again.
		find "$dir" -name '*.o' -delete
		die "warnings from the build in $dir (log: $log)"
	fi
}

# mutant_module KERNEL DIR PATCH...: the module with these mutants in it, DIR/mybrd.ko
mutant_module() {
	local kernel=$1 dir=$2 patch
	shift 2
	copy_module "$dir"
	for patch; do
		patch -s -d "$dir" -p1 --fuzz=0 <"$patch" >"$dir.log" 2>&1 || die "$patch does not apply (log: $dir.log)"
	done
	modules "$("$top/scripts/vm/kernel" "$kernel")" "$dir" "$dir.log"
}

# sources SUITE...: apt source lines for Debian suites, from the archive that this host's
# apt already uses. Security updates are for amd64 only: those of another architecture
# ($debian_arch) are not always whole there.
sources() {
	# shellcheck disable=SC2016 # apt expands it
	local format='$(CODENAME) $(ORIGIN) $(REPO_URI)' index uri suite
	index=$(apt-get indextargets --format "$format" 'Created-By: Packages')
	case $index in
	*" Debian "*) ;;
	*)
		as_root apt-get -qq update >&2
		index=$(apt-get indextargets --format "$format" 'Created-By: Packages')
		;;
	esac
	for suite; do
		case ${debian_arch:-amd64}/$suite in
		amd64/*-security) uri=$(awk '$2 == "Debian" && $1 ~ /-security$/ { print $3; exit }' <<<"$index") ;;
		*-security) continue ;;
		*) uri=$(awk '$2 == "Debian" && $1 !~ /-security$/ { print $3; exit }' <<<"$index") ;;
		esac
		[ -z "$uri" ] ||
			echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main"
	done
}

# apt_setup DIR SUITE...: a private apt, which sees these suites whatever Debian this
# host runs; what it says goes to $log.
apt_setup() {
	local dir=$1/apt
	shift
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	sources "$@" >"$dir/sources.list"
	cat >"$dir/apt.conf" <<-EOF
		APT::Sandbox::User "root";
		Dir::Etc::sourcelist "$dir/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::State::lists "$dir/lists";
		Dir::Cache "$dir/cache";
	EOF
	[ "${debian_arch:-amd64}" = amd64 ] || cat >>"$dir/apt.conf" <<-EOF
		APT::Architecture "$debian_arch";
		APT::Architectures { "$debian_arch"; "amd64"; };
	EOF
	export APT_CONFIG=$dir/apt.conf
	apt-get -q -o APT::Update::Error-Mode=any update >"$log" 2>&1 ||
		give_up "cannot read the Debian archive" "$log"
}

# depends PACKAGE PATTERN: the packages that it depends on and that match PATTERN
depends() {
	apt-cache depends --important "$1" 2>>"$log" | sed -En "s/^ *Depends: ($2)\$/\1/p"
}

# unpack DIR ROOT PACKAGE...: unpack packages below ROOT, by the apt of DIR. A link to a directory
# stays one: /lib in a root file system.
unpack() {
	local dir=$1 root=$2 deb as_owner=
	shift 2
	[ -w "$root" ] || as_owner=as_root
	(cd "$dir/apt" && apt-get -q download "$@") >>"$log" 2>&1 || give_up "cannot download $1" "$log"
	for deb in "$dir"/apt/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | $as_owner tar -C "$root" --keep-directory-symlink -xf -
	done
	rm "$dir"/apt/*.deb
}

# fetch DIR PACKAGE...: unpack packages below DIR, and have done with apt
fetch() {
	unpack "$1" "$1" "${@:2}"
	rm -r "$1/apt"
}

# page_store MYBRD.C DIR: cut the page store out of it, for kunit/user/store.c, and make in DIR what
# the kernel's headers for user space lack; prints the arguments for the compiler
page_store() {
	local src header dir=$2 user=$top/kunit/user
	src=$("$top/scripts/vm/kernel" kunit-6.12)/src
	mkdir -p "$dir/include/linux" "$dir/include/generated"
	# What store.h has itself
	for header in urcu rcupdate percpu preempt local_lock atomic blk-mq blkdev completion configfs mutex \
		refcount wait cache numa; do
		case $header in
		urcu) : >"$dir/include/$header.h" ;;
		*) : >"$dir/include/linux/$header.h" ;;
		esac
	done
	# As tools/testing/radix-tree/Makefile does. Nodes of 8 slots have more borders.
	echo '#define XA_CHUNK_SHIFT 3' >"$dir/include/generated/map-shift.h"
	echo '#define CONFIG_64BIT 1' >"$dir/include/generated/bit-length.h"
	cp "$src/tools/testing/shared/autoconf.h" "$dir/include/generated/"
	sed -n '/^ \* Page store$/,/^ \* Block I\/O$/p' "$1" | sed -e '1i /*' -e '$d' | sed '$d' >"$dir/include/page-store.c"
	grep -q '^VISIBLE_IF_KUNIT int mybrd_store_clone' "$dir/include/page-store.c" ||
		die "the page store is no part of $1 any more"
	echo "-Wno-unused -I $dir/include -I $user -I $src/tools/testing/shared -I $src/tools/include" \
		"-I $src/lib -I $top -include $user/store.h $src/lib/radix-tree.c"
}
