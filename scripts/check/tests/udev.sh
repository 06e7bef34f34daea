# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2086 # paths and numbers have no blanks
# udev and mybrd. With the rules that make install and the package bring (scripts/vm/init puts
# them where make install does), the system knows what is on a disk. And where udev has a disk
# open for a moment, what needs the disk closed waits for that.
# What 65-udev.t and its like have in common. MYBRD_UDEV_ROUNDS says how often a disk is made,
# written to and taken down at once.

. "$(dirname "$0")/configfs.sh"

by=/dev/disk
events=/tmp/events
export LVM_SUPPRESS_FD_WARNINGS=1
rounds=${MYBRD_UDEV_ROUNDS:-${rounds:-20}}

link() { readlink -f "$by/$1" 2>&1; }
lsblk_() { lsblk -nro "$1" "$2" | paste -sd ' ' | sed 's/ *$//'; }
now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

# a time in the test's own words; the machine may be emulated, and debugged
quick=$(rounds 500 900)

# takes FIRST LAST WHAT ERROR COMMAND...: op COMMAND answers ERROR, after FIRST to LAST ms. The
# machine may have stood still for longer than that, if it is emulated: then once more.
takes() {
	local first=$1 last=$2 what=$3 error=$4 start took try
	shift 4
	for try in 1 2 3; do
		op nap 1
		start=$(now_ms)
		op "$@"
		took=$(($(now_ms) - start))
		[[ $said = "$error" && $took -gt $last ]] || break
		diag "$what: $took ms at try $try"
	done
	is "$said" "$error" "$what"
	in_range $took "$first" "$last" "$what: after $took ms"
}

# listen, heard NAME...: how many events of these disks udev has handled since
listen() {
	settle
	: >$events
	stdbuf -oL udevadm monitor --udev --subsystem-match=block >$events &
	listener=$!
	until grep -q . $events; do sleep 0.05; done
	sleep 0.3
}
heard() {
	local name count
	settle
	sleep 0.3
	kill $listener
	wait $listener 2>/dev/null
	for name; do
		count=$(grep -c "/block/$name " $events)
		echo "$count"
	done | xargs
}

udev_version=$(udevadm --version)
diag "udev $udev_version, $(lsblk --version)"

# What the rules say

test_known() {
	local uuid=0d5f6f7e-1f4e-4b4b-8a3d-5b9b2a9c1f00

	load size=64M
	is "$(link by-id/mybrd-mybrd)" /dev/mybrd "by-id: mybrd-NAME, also of the default disk"
	is "$(counter mybrd pages)" 0 "a look takes no page"
	target a size=64M
	settle
	is "$(link by-id/mybrd-a)" /dev/mybrd-a "by-id: a disk of configfs"
	is "$(lsblk_ FSTYPE,LABEL,UUID /dev/mybrd-a)" "" "lsblk -f: nothing on it yet"

	mkfs.ext4 -q -L "a label" -U $uuid /dev/mybrd-a
	settle
	is "$(lsblk_ FSTYPE,LABEL,UUID /dev/mybrd-a)" "ext4 a\\x20label $uuid" "lsblk -f: mkfs is noticed"
	is "$(link "by-label/a\\x20label")" /dev/mybrd-a "by-label"
	is "$(link by-uuid/$uuid)" /dev/mybrd-a "by-uuid"
	ok "mount LABEL=" mount "LABEL=a label" /mnt
	is "$(findmnt -no SOURCE /mnt)" /dev/mybrd-a "mount LABEL=: it is that disk"
	umount /mnt
	ok "mount UUID=" mount "UUID=$uuid" /mnt
	umount /mnt
	e2label /dev/mybrd-a other
	settle
	is "$(link by-label/other) $(ls "$by/by-label/a\\x20label" 2>/dev/null)" "/dev/mybrd-a " "watch: another label is noticed"
	set_ a reset 1
	settle
	is "$(lsblk_ FSTYPE /dev/mybrd-a) $(ls $by/by-label/other 2>/dev/null)" " " "reset: nothing is on it any more"
	mkswap -q -L swap /dev/mybrd-a 2>/dev/null || mkswap -L swap /dev/mybrd-a >/dev/null
	settle
	is "$(link by-label/swap)" /dev/mybrd-a "by-label: swap space has one, too"
	set_ a power 0
	settle
	is "$(ls -d $by/by-id/mybrd-a $by/by-label/swap 2>/dev/null)" "" "power 0: the links are gone"

	# a clone has the label of its origin, and a name of its own
	set_ a write_cache 1
	set_ a power 1
	printf 'label: gpt\nsize=16M,name="first part"\nsize=+,name=second\n' | sfdisk -q /dev/mybrd-a
	settle
	is "$(link "by-partlabel/first\\x20part") $(link by-partlabel/second)" "/dev/mybrd-a1 /dev/mybrd-a2" "by-partlabel"
	is "$(link by-id/mybrd-a-part2)" /dev/mybrd-a2 "by-id: of a partition"
	is "$(link "by-partuuid/$(lsblk_ PARTUUID /dev/mybrd-a2)")" /dev/mybrd-a2 "by-partuuid"
	mkfs.ext4 -q -L part /dev/mybrd-a2
	settle
	is "$(link by-label/part)" /dev/mybrd-a2 "by-label: of a partition"
	mount LABEL=part /mnt
	takes 0 $quick "power 0 while a partition is mounted" EBUSY put $cfs/a/power 0
	umount /mnt
	settle
	mkdir $cfs/c9
	set_ c9 clone_of a
	set_ c9 power 1
	settle
	is "$(link by-id/mybrd-c9) $(link by-id/mybrd-c9-part2)" "/dev/mybrd-c9 /dev/mybrd-c9p2" "by-id: of a clone and its partition"
	is "$(lsblk_ LABEL /dev/mybrd-c9p2)" part "lsblk -f: a clone has its origin's label"
	remove c9
	settle
	is "$(link by-label/part)" /dev/mybrd-a2 "by-label: without the clone it is the origin"
	sync /dev/mybrd-a
	set_ a cut keep
	set_ a power 1
	settle
	is "$(lsblk_ LABEL /dev/mybrd-a2)" part "after a power cut, it is still known"
	ok "mount LABEL= after a power cut" mount LABEL=part /mnt
	umount /mnt
	remove a
}

# As the guide has it: are the rules there, and if not, what to do
test_rules() {
	local dir=/usr/local/lib/udev/rules.d
	load size=16M
	mkfs.ext4 -q -F -L found /dev/mybrd
	mv $dir/60-mybrd.rules /tmp/
	udevadm control --reload
	udevadm trigger --settle --sysname-match='mybrd*'
	is "$(ls -d $by/by-id/mybrd-* $by/by-label/found 2>/dev/null)" "" "without the rules there are no links"
	mkdir -p /etc/udev/rules.d
	cp /tmp/60-mybrd.rules /etc/udev/rules.d/
	udevadm control --reload
	udevadm trigger --settle --sysname-match='mybrd*'
	is "$(link by-id/mybrd-mybrd) $(link by-label/found)" "/dev/mybrd /dev/mybrd" "they come with the rules"
	mv /etc/udev/rules.d/60-mybrd.rules $dir/
	udevadm control --reload
}

test_md() {
	local mdstat
	modprobe -q raid1 || true
	[ -e /proc/mdstat ] || { skip "md: an array is assembled" "this kernel has no md"; return; }
	target a size=32M
	target b size=32M
	yes | mdadm --create /dev/md/pair --run --metadata=1.2 --level=1 --raid-devices=2 --assume-clean \
		/dev/mybrd-a /dev/mybrd-b >/tmp/said 2>&1 || { fail "md: create an array"; diag "$(cat /tmp/said)"; }
	settle
	takes 0 $quick "power 0 of a disk in an array" EBUSY put $cfs/a/power 0
	mdadm --stop /dev/md/pair 2>/dev/null
	settle
	is "$(lsblk_ FSTYPE /dev/mybrd-b)" linux_raid_member "lsblk -f: a disk of an array"
	is "$(grep -c '^md' /proc/mdstat)" 0 "md: the array is stopped"
	# as when the disks appear
	for mdstat in a b; do udevadm trigger --action=add "/sys/block/mybrd-$mdstat"; settle; done
	settle
	mdstat=$(grep -c 'active.* raid1 .*mybrd' /proc/mdstat)
	is "$mdstat" 1 "md: udev assembles it"
	[ "$mdstat" = 1 ] || diag "$(cat /proc/mdstat)"
	mdadm --stop --scan 2>/dev/null
	settle
	remove a b
}

test_lvm() {
	command -v lvm >/dev/null || return 0
	modprobe -q dm-mod || true
	mount | grep -q ' /run/lock ' || mkdir -p /run/lock/lvm
	target a size=64M
	ok "LVM: a volume group" sh -c 'pvcreate -qq /dev/mybrd-a && vgcreate -qq vg /dev/mybrd-a && lvcreate -qq -L 16M -n volume vg'
	settle
	is "$(lsblk_ FSTYPE /dev/mybrd-a | cut -d ' ' -f 1)" LVM2_member "lsblk -f: a physical volume"
	takes 0 $quick "power 0 of a physical volume" EBUSY put $cfs/a/power 0
	vgchange -qq -an vg
	settle
	is "$(ls /dev/vg 2>/dev/null)" "" "LVM: the group is not active"
	# as when the disk appears
	rm -rf /run/lvm/*_online
	udevadm trigger --action=add /sys/block/mybrd-a
	settle
	# the rules may leave the last step to a service of systemd, which does not run here
	if grep -qs systemd-run /usr/lib/udev/rules.d/69*lvm*.rules && [ ! -d /run/systemd/system ] &&
		! grep -qs lvm_direct_vgchange /usr/lib/udev/rules.d/69*lvm*.rules; then
		like "$(udevadm info -q property /dev/mybrd-a)" "LVM_VG_NAME_COMPLETE=vg" "LVM: udev knows that the group is complete"
	else
		for _ in {1..50}; do [ ! -e /dev/vg/volume ] || break; sleep 0.1; done
		ok "LVM: udev activates it" [ -b /dev/vg/volume ]
	fi
	vgchange -qq -an vg
	settle
	vgremove -qq -f vg
	remove a
}

# Events: one for each time that somebody closes the disk after writing, and no more

test_calm() {
	local count start took
	target a size=64M
	mkfs.ext4 -q /dev/mybrd-a
	listen
	sleep 2
	is "$(heard mybrd-a)" 0 "no event of a disk that nobody uses: a look causes none"

	listen
	fio --name=raw --filename=/dev/mybrd --rw=randrw --bs=4k --size=32M --time_based --runtime=4 --numjobs=2 \
		--ioengine=psync --direct=1 >/tmp/fio 2>&1 &
	mount /dev/mybrd-a /mnt
	fio --name=file --directory=/mnt --rw=randwrite --bs=4k --size=16M --time_based --runtime=4 --fsync=32 >>/tmp/fio 2>&1
	wait $!
	start=$(now_ms)
	settle
	took=$(($(now_ms) - start))
	umount /mnt
	count=$(heard mybrd mybrd-a)
	diag "events of both disks during 4 s of heavy I/O: $count"
	in_range "${count% *}" 0 12 "heavy I/O of a disk makes no storm of events"
	in_range "${count#* }" 0 6 "heavy I/O of files on another makes none either"
	in_range "$took" 0 $((quick * 4)) "udevadm settle after it is short: $took ms"
	mkfs.ext4 -q -F /dev/mybrd-a
	start=$(now_ms)
	settle
	took=$(($(now_ms) - start))
	in_range "$took" 0 $((quick * 4)) "udevadm settle after a mkfs is short: $took ms"
	remove a
}

# Who needs the disk closed waits for udev.

test_peace() {
	local i busy='' others='' start=$SECONDS what
	mkdir $cfs/a
	set_ a size 16M
	for ((i = 0; i < rounds; i++)); do
		op put $cfs/a/power 1 || others+=" on:$said"
		mkfs.ext4 -q -F /dev/mybrd-a || others+=" mkfs"
		op put $cfs/a/power 0 && continue
		busy+=" $i:$said"
		settle
		op put $cfs/a/power 0
	done
	is "$busy$others" "" "power on, mkfs, power off: $rounds times without an EBUSY, $((SECONDS - start)) s"

	# the same of the others that need it closed
	for what in reset shrink ro cut; do
		busy=
		set_ a write_cache 1
		op put $cfs/a/power 1
		for ((i = 0; i < (rounds + 3) / 4; i++)); do
			mkfs.ext4 -q -F /dev/mybrd-a || busy+=" mkfs"
			case $what in
			reset) op put $cfs/a/reset 1 || busy+=" $said" ;;
			shrink) op put $cfs/a/size 15M && op put $cfs/a/size 16M || busy+=" $said" ;;
			ro) op put $cfs/a/ro 1 && op put $cfs/a/ro 0 || busy+=" $said" ;;
			cut) op put $cfs/a/cut keep && op put $cfs/a/power 1 || busy+=" $said" ;;
			esac
		done
		is "$busy" "" "mkfs, $what: $i times without an EBUSY"
		op put $cfs/a/power 0
		settle
	done

	# a disk that was pulled out makes room for a new one
	busy=
	for ((i = 0; i < (rounds + 3) / 4; i++)); do
		op put $cfs/a/power 1 || busy+=" $said"
		mkfs.ext4 -q -F /dev/mybrd-a
		op put $cfs/a/cut unplug || busy+=" unplug: $said"
	done
	is "$busy" "" "mkfs, unplug, power: $i times without an EBUSY"
	op put $cfs/a/power 0
	rmdir $cfs/a
}

# But not for those who keep it.
test_held() {
	local start took status pid
	target a size=16M
	settle
	exec {fd}</dev/mybrd-a
	takes 900 5000 "power 0 of a disk that stays open" EBUSY put $cfs/a/power 0
	takes 900 5000 "reset of a disk that stays open" EBUSY put $cfs/a/reset 1
	takes 900 5000 "shrinking a disk that stays open" EBUSY put $cfs/a/size 8M
	takes 900 5000 "ro=1 for a disk that stays open" EBUSY put $cfs/a/ro 1
	ok "it grows" op put $cfs/a/size 32M
	is "$(get a ro) $(get a power) $(get a size)" "0 1 33554432" "all is as it was"

	# a signal: the writer is a process of its own, which is to end at once
	bash -c 'echo 0 >"$0/a/power"' $cfs &
	pid=$!
	sleep 0.4
	start=$(now_ms)
	kill -TERM $pid
	wait $pid
	status=$?
	took=$(($(now_ms) - start))
	is $status 143 "a signal ends who waits"
	in_range $took 0 $quick "at once: after $took ms"
	is "$(get a power)" 1 "and the disk is there"
	exec {fd}>&-

	mkfs.ext4 -q -F /dev/mybrd-a
	settle
	mount /dev/mybrd-a /mnt
	for what in power:0 reset:1 size:8M ro:1; do
		takes 0 $quick "${what%:*} of a mounted disk" EBUSY put $cfs/a/${what%:*} ${what#*:}
	done
	op put $cfs/a/cut lose
	takes 0 $quick "power after a cut, still mounted" EBUSY put $cfs/a/power 1
	umount /mnt
	op put $cfs/a/power 1
	is "$said" ok "umount, power: without an EBUSY"
	remove a
}

# Unloading: the kernel refuses it while somebody has a disk open, before the module is asked.
test_unload() {
	local i said='' dir
	dir=/tmp/modules/lib/modules/$(uname -r)
	mkdir -p "$dir"
	cp "$ko" "$dir/"
	cp /lib/modules/"$(uname -r)"/modules.{builtin,order} "$dir/" 2>/dev/null
	depmod -b /tmp/modules 2>/dev/null
	for i in {1..5}; do
		[ -d /sys/module/mybrd ] || insmod "$ko" size=16M
		mkfs.ext4 -q -F /dev/mybrd
		modprobe -d /tmp/modules -r --wait 10000 mybrd 2>/tmp/said || said+=" $i: $(cat /tmp/said)"
	done
	is "$said" "" "mkfs, modprobe -r --wait: 5 times"
	said=
	for i in {1..5}; do
		insmod "$ko" size=16M
		mkfs.ext4 -q -F /dev/mybrd
		udevadm settle
		rmmod mybrd 2>/tmp/said || said+=" $i: $(cat /tmp/said)"
	done
	is "$said" "" "mkfs, udevadm settle, rmmod: 5 times"

	# dd without a disk
	dd if=/dev/zero of=/dev/mybrd bs=4k count=1 status=none
	ok "without the module, dd makes a plain file" [ -f /dev/mybrd ]
	marker plain file
	insmod "$ko" size=16M
	is "$(said_since 'plain file' | grep -c '/dev/mybrd is no block device')" 1 "insmod says that it is in the way"
	ok "and it is" [ -f /dev/mybrd ]
	settle
	rmmod mybrd
	rm /dev/mybrd
	marker no plain file
	insmod "$ko" size=16M
	is "$(said_since 'no plain file')" "" "without it, insmod says nothing"
	ok "and the node is there" [ -b /dev/mybrd ]
}

for what in known rules md lvm calm peace held unload; do
	marker "$what"
	"test_$what"
done
done_testing
