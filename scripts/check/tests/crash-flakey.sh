# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2154
# xfstests on a mybrd with a write cache in place of dm-flakey. The some 60 generic tests that
# drop writes and mount again then lose what was not flushed, where dm-flakey keeps all that
# the file system has sent to the disk. Once, in the directory of xfstests:
#
#	echo '. /path/to/mybrd/scripts/check/tests/crash-flakey.sh' >>common/dmflakey
#
# and then, with SCRATCH_DEV=/dev/mybrd-scratch, ./check as usual. CRASH_HOW is how the power
# is cut, "lose" if not set (see crash.sh). Tests that want errors, and go on, have to stay
# with dm-flakey: a disk that is cut reads nothing, either.

. "$(dirname "${BASH_SOURCE[0]}")/crash.sh"

crash_name=${SCRATCH_DEV#/dev/mybrd-}

_require_dm_target() { [ "$1" = flakey ] || _notrun "no dm-$1 on a mybrd"; }
_require_flakey_with_error_writes() { _notrun "a disk that is cut has no reads, either"; }

_init_flakey() { [ "$(cat "$crash_configfs/$crash_name/state")" = on ] || crash_back "$crash_name"; }
_cleanup_flakey() {
	_unmount "$SCRATCH_MNT" >/dev/null 2>&1
	_init_flakey
}

_load_flakey_table() {
	if [ "$1" = "$FLAKEY_ALLOW_WRITES" ]; then
		_init_flakey
	else
		crash_cut "$crash_name" "${CRASH_HOW:-lose}"
	fi
}

_flakey_drop_and_remount() {
	crash_cut "$crash_name" "${CRASH_HOW:-lose}"
	_scratch_unmount
	crash_back "$crash_name" || _fatal "$SCRATCH_DEV does not come back"
	[ "${1:-}" != yes ] || _check_scratch_fs
	_scratch_mount
}
