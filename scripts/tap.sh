# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# How every script here says what it has checked: TAP, "ok N - what" and "not ok N - what",
# remarks after "# ", and in the end how many there were.

tests=0
failures=0

# Told of each result; the tests in a VM (tests/lib.sh) put it into the kernel's log, too.
noted() { :; }

diag() {
	local text=$*
	printf '# %s\n' "${text//$'\n'/$'\n# '}"
}
pass() { ((++tests)); echo "ok $tests - $*"; noted "ok $tests - $*"; }
fail() { ((++tests, ++failures)); echo "not ok $tests - $*"; noted "not ok $tests - $*"; }
skip() { ((++tests)); echo "ok $tests - $1 # SKIP $2"; }

# result STATUS WHAT [REMARKS]: the latter where it failed
result() {
	if [ "$1" = 0 ]; then
		pass "$2"
	else
		fail "$2"
		[ -z "${3:-}" ] || diag "$3"
	fi
}

# ok WHAT COMMAND...: it succeeds; what it says is shown where it does not
ok() {
	local what=$1 said status=0
	shift
	said=$("$@" 2>&1) || status=$?
	result $status "$what" "$* -> $status
$(tail -n 20 <<<"$said")"
	return $status
}

# refused WHAT PATTERN COMMAND...: it fails, and says a line like PATTERN
refused() {
	local what=$1 pattern=$2 said
	shift 2
	if said=$("$@" 2>&1); then
		result 1 "$what" "succeeded: $*"
	else
		like "$said" "$pattern" "$what"
	fi
}

# is GOT WANTED WHAT
is() {
	local status=0
	[ "$1" = "$2" ] || status=1
	result $status "$3" "got '$1', wanted '$2'"
}

# like TEXT PATTERN WHAT
like() {
	local status=0
	[[ $1 =~ $2 ]] || status=1
	result $status "$3" "got '$1', wanted something like '$2'"
}

# in_range GOT LEAST MOST WHAT
in_range() {
	local status=1
	[ "${1:-none}" = none ] || [ "$1" -lt "$2" ] || [ "$1" -gt "$3" ] || status=0
	result $status "$4" "got '$1', wanted $2 to $3"
}

# plan: how many there were; fails where one did, or nothing was checked
plan() {
	echo "1..$tests"
	[ $failures = 0 ] && [ $tests -gt 0 ]
}
