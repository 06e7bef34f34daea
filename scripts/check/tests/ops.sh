# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# One system call at a time, without a process for each: a helper beside each shell
# (scripts/check/programs/ops.c, "ops -h") does them.

ops_of=

# The helper is no job of the shell's, which may wait for all of those.
# shellcheck disable=SC2154 # payload is lib.sh's
ops_start() {
	local dir
	dir=$(mktemp -d)
	mkfifo "$dir/commands" "$dir/answers"
	"$payload/ops" - <"$dir/commands" >"$dir/answers" &
	disown
	exec {to_ops}>"$dir/commands" {from_ops}<"$dir/answers"
	rm -r "$dir"
	ops_of=$BASHPID
}

# op COMMAND [WORD]...: sets $said to the answer, which is "ok", perhaps with more, or an
# error's name such as EINVAL; succeeds where it is "ok".
op() {
	local IFS=$'\t'
	[ "$ops_of" = "$BASHPID" ] || ops_start
	printf '%s\n' "$*" >&"$to_ops" && IFS= read -r said <&"$from_ops" || said='ops: no answer'
	[[ $said = ok* ]]
}

# failing N COMMAND [WORD]...: the same with the Nth allocation failing; sets $left, too, to
# how many were still to come before that one
# shellcheck disable=SC2034 # for the tests
failing() {
	op fail "$@"
	left=${said%% *} said=${said#* }
	[[ $said = ok* ]]
}

# logged: sets $lines to how many lines the module has logged since the last time, and $line
# to the first of them, escaped as ops says
logged() {
	op log
	said=${said#ok }
	lines=${said%% *} line=${said#* }
}

# refusal NAME VALUE: the latest op was to be EINVAL, with one line that names both. Sets
# $wrong to what is not so.
refusal() {
	local error=$said
	wrong=
	logged
	[ "$error" = EINVAL ] || wrong+="got $error, not EINVAL; "
	[ "$lines" = 1 ] || wrong+="$lines lines in the log; "
	[ "$lines" = 0 ] || [[ $line == *"$1"* && $line == *"$2"* ]] || wrong+="'$1' or '$2' is not in it; "
	[ -z "$wrong" ] || wrong+="log: $line; "
	[ -z "$wrong" ]
}

# bad_values FILE NAME VALUE...: each is refused when it is written to the file. Sets $wrong
# to what is not so.
bad_values() {
	local file=$1 name=$2 all='' value
	shift 2
	for value; do
		logged
		op put "$file" "$value"
		refusal "$name" "$value" || all+="'$value': $wrong"
	done
	wrong=$all
}

# repeated N TEXT
repeated() {
	local text
	printf -v text '%*s' "$1" ''
	printf '%s' "${text// /"$2"}"
}
