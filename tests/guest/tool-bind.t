#!/bin/bash
# flatiommu list, status, claim, release, bind and unbind, through their JSON; and bind + unbind leave
# nothing behind.
. "${0%/*}/lib.sh"
export TERM=dumb

unsafe=$(unsafe_interrupts)
real=
! has_iommu || real=1

# of DEVICE KEY: in list's JSON
of() {
	said ".functions[0].$2" list "$1"
}

# turned_down NAME MESSAGE CURE COMMAND...: it fails with status 1, one line that has both, and the same in JSON
turned_down() {
	local name=$1 message=$2 cure=$3 output status=0
	shift 3
	output=$("$@" 2>&1 >/dev/null) || status=$?
	is "$status" 1 "$name: the exit status is 1"
	like "$output" "^flatiommu: .*$message.*${cure:+; try: $cure}\$" "$name: it says why"
	is "$(wc -l <<<"$output")" 1 "$name: in one line"
	output=$("$1" --json "${@:2}" 2>/dev/null)
	like "$(jq -r .error <<<"$output")" "$message" "$name: in JSON, too"
	[[ -z $cure ]] || like "$(jq -r .cure <<<"$output")" "^$cure\$" "$name: with what mends it"
}

modules() {
	lsmod | sed -n 's/ .*//p' | sort
}

# shared_disk: of the function with SR-IOV, which may have more than one way to it, where the kernel knows that
shared_disk() {
	local controller disk
	controller=$(echo /sys/class/nvme-subsystem/*/"$(basename "/sys/bus/pci/devices/$SRIOV_PF/nvme/"*)")
	for disk in "${controller%/*}"/nvme*n1 "$controller"/nvme*n1; do
		if [[ -b /dev/${disk##*/} ]]; then
			echo "${disk##*/}"
			return
		fi
	done
	return 1
}

# clean_modules: unloads those that were not there at the start
clean_modules() {
	local module
	for module in flatiommu vfio_pci vfio_pci_core vfio_virqfd iommufd irqbypass; do
		[[ $'\n'$modules$'\n' == *$'\n'$module$'\n'* || ! -e /sys/module/$module/initstate ]] || rmmod $module
	done
}

# flatiommu, as others would run it
by_nobody() {
	as_nobody flatiommu "$@"
}

by_root_without_rawio() {
	without_rawio flatiommu "$@"
}

# from a shell that sshd started, by sudo, which keeps its environment to itself
by_ssh() {
	SSH_CONNECTION="10.0.2.2 50000 10.0.2.15 22" \
		bash -c 'env -u SSH_CONNECTION flatiommu "$@"; exit $?' - "$@"
}

# unchanged NAME
unchanged() {
	local diff
	diff=$(diff <(echo "$before") <(pci_snapshot))
	is "$diff" '' "$1: /sys/bus/pci and the groups are as before"
	is "$(modules)" "$modules" "$1: and so are the modules"
	is "$(cat /run/flatiommu/[m0-9]* 2>/dev/null)" '' "$1: and no record is left"
}

echo N >"$unsafe"
# functions that never had a driver get one once, as that changes their power state for good
nic_driver=$(driver_of "$NIC")
modules=$(modules)
before=$(pci_snapshot)

diag "list and status"
is "$(of "$NVME" address)" "$NVME" "an address"
is "$(of "${NVME#0000:}" address)" "$NVME" "a short address"
is "$(of "$NVME" driver)" nvme "its driver"
like "$(of "$NVME" class)" "Non-Volatile memory controller" "its class has a name"
like "$(of "$NVME" name)" "NVM Express Controller" "and so has it"
is "$(of "$(basename "$(disk_of "$NVME")")" address)" "$NVME" "a disk"
is "$(of "$(shared_disk)" address)" "$SRIOV_PF" "the node of a disk with several ways to it"
if [[ -n $nic_driver ]]; then
	is "$(of "$(interface_of "$NIC")" address)" "$NIC" "an interface"
fi
is "$(said '.functions | length' list 1234:11e8)" 2 "vendor:device names both"
is "$(of "$EDU" driver)" null "no driver is null"
is "$(of "$NVME" iommu)" "$([[ -z $real ]] && echo none || echo iommu)" "what stands behind it"
is "$(said '[.functions[] | select(.class | test("bridge"; "i"))] | length' list)" 0 "list leaves bridges out"
isnt "$(said '[.functions[] | select(.class | test("bridge"; "i"))] | length' list --all)" 0 "list --all does not"
like "$(flatiommu list)" "ADDRESS +DRIVER +GROUP +IOMMU +NAME" "as text it is a table"
is "$(said '.machine.kernel' status)" "$(uname -r)" "status knows the kernel"
is "$(said '.functions | length' status)" 0 "nothing is bound"
like "$(as_nobody flatiommu list 2>&1)" "$NVME +nvme .*Only root sees" "list works for anybody"
succeeds "and so does status" as_nobody flatiommu status

diag "bind and unbind"
output=$(flatiommu --json bind "$NVME" "${EDU#0000:}")
is "$?" 0 "it binds two"
is "$(jq -r '.functions | length' <<<"$output")" 2 "and says so of both"
is "$(jq -r '.functions[0].driver_before' <<<"$output")" nvme "and what they had"
like "$(jq -r '.next' <<<"$output")" "^flatiommu " "and what next"
for device in "$NVME" "$EDU"; do
	is "$(driver_of "$device")" vfio-pci "$device is on vfio-pci"
	succeeds "$device has its node" test -e "$(node_of "$device")"
done
if [[ -n $real ]]; then
	is "$(<"$unsafe")" N "unsafe interrupts are not needed with a real IOMMU"
	fails "and neither is the module" test -e /sys/module/flatiommu
	is "$(of "$NVME" iommu)" iommu "list knows that it is a real one"
else
	is "$(<"$unsafe")" Y "unsafe interrupts are allowed"
	like "$(jq -r '.changes[]' <<<"$output")" "allowed unsafe interrupts" "and it says so"
	is "$(of "$NVME" iommu)" flatiommu "list knows who made the group"
	is "$(said '.functions_claimed' status)" 2 "status counts the claims"
fi
is "$(said '[.functions[] | select(.bound_here and (.interrupted | not))] | length' status)" 2 "status has both"
echo 16 >/proc/sys/vm/nr_hugepages
like "$(nvme "$NVME" identify 2>&1)" flat0 "a program can have it"

exec 6<>"$(node_of "$NVME")"
like "$(of "$NVME" 'open_by[].name')" "bash|tool-bind" "list says who has it open"
turned_down "unbind of what is open" "$NVME: open by" "kill [0-9]+" flatiommu unbind "$NVME"
exec 6>&-
output=$(flatiommu --json unbind "$NVME" "$EDU")
is "$?" 0 "unbind puts them back"
is "$(jq -r '.functions[0].driver' <<<"$output")" nvme "the kernel's driver included"
succeeds "the disk comes back" disk_of "$NVME"
echo 0 >/proc/sys/vm/nr_hugepages
is "$(<"$unsafe")" N "unsafe interrupts are as they were"
unchanged "unbind"
like "$(flatiommu unbind "$NVME")" "nothing to put back" "once more there is nothing to put back"

diag "all or nothing"
turned_down "a bridge among them" "$BRIDGE: .*bridge" '' flatiommu bind "$NVME" "$EDU" "$BRIDGE"
turned_down "one that is not there" "0000:00:1e.7: there is no such" 'flatiommu list' \
	flatiommu bind "$NVME" 00:1e.7
# for a kernel that says no once the first was bound
mount --bind /dev/full "/sys/bus/pci/devices/$EDU/driver_override"
turned_down "the second cannot be bound" "$EDU: driver_override: No space" '' flatiommu bind "$NVME" "$EDU"
umount "/sys/bus/pci/devices/$EDU/driver_override"
is "$(driver_of "$NVME")" nvme "the first has its driver again"
disk_of "$NVME" >/dev/null
unchanged "nothing"

diag "what is in use"
disk=$(disk_of "$FN0")
mkfs.ext4 -q "$disk"
mkdir "/tmp/a disk"
mount "$disk" "/tmp/a disk"
turned_down "a mounted disk" "$FN0: not bound: .* is mounted at /tmp/a disk .*--force" "umount '/tmp/a disk'" \
	flatiommu bind "$FN0"
unshare --mount --propagation private sleep 60 &
sleeper=$!
until_true 10 grep -q sleep "/proc/$sleeper/comm"
umount "/tmp/a disk"
turned_down "one that is mounted in another namespace" \
	"$FN0: not bound: .* is mounted at /tmp/a disk in the mount namespace of sleep\\[$sleeper\\]" \
	"nsenter -t $sleeper -m umount '/tmp/a disk'" flatiommu bind "$FN0"
kill $sleeper
wait $sleeper 2>/dev/null
until_true 20 flatiommu bind "$FN0" >/dev/null 2>&1
is "$(driver_of "$FN0")" vfio-pci "unmounted, it is bound"
flatiommu unbind "$FN0" >/dev/null
disk=$(disk_of "$FN0")
if [[ -e /proc/swaps ]]; then
	mkswap "$disk" >/dev/null 2>&1
	swapon "$disk"
	turned_down "swap" "$FN0: not bound: .* is swapped to" "swapoff $disk" flatiommu bind "$(basename "$disk")"
	swapoff "$disk"
fi
dd if=/dev/zero of="$disk" bs=4k count=4 status=none
printf LABELONE | dd of="$disk" bs=1 seek=512 conv=notrunc status=none
turned_down "an LVM member" "$FN0: not bound: .* member of an LVM" '' flatiommu bind "$FN0"
printf '\xfc\x4e\x2b\xa9' | dd of="$disk" bs=1 seek=4096 conv=notrunc status=none
dd if=/dev/zero of="$disk" bs=512 count=2 conv=notrunc status=none
turned_down "an MD member" "$FN0: not bound: .* member of an MD" '' flatiommu bind "$FN0"
is "$(flatiommu --json bind --force "$FN0" | jq -r '.warnings[0]')" \
	"$FN0: forced, although $(basename "$disk") is a member of an MD volume or array" "--force says what is lost"
flatiommu unbind "$FN0" >/dev/null
disk=$(disk_of "$FN0")
dd if=/dev/zero of="$disk" bs=4k count=4 status=none
exec 6<"$disk"
turned_down "a disk that is open" "$FN0: not bound: .* is open by" "kill [0-9]+" flatiommu bind "$FN0"
exec 6<&-
echo 1 >"/sys/bus/pci/devices/$SRIOV_PF/sriov_numvfs" 2>/dev/null
if [[ -e /sys/bus/pci/devices/$SRIOV_VF0 ]]; then
	is "$(of "$SRIOV_VF0" pf)" "$SRIOV_PF" "list knows a VF's PF"
	turned_down "a function with VFs" "$SRIOV_PF: not bound: it has 1 virtual" "echo 0 >/sys.*" \
		flatiommu bind "$SRIOV_PF"
	echo 0 >"/sys/bus/pci/devices/$SRIOV_PF/sriov_numvfs"
fi
if [[ -n $nic_driver ]]; then
	interface=$(interface_of "$NIC")
	ip link set "$interface" up
	ip addr add 10.0.2.15/24 dev "$interface"
	turned_down "the way to who is logged in" "$NIC: not bound: $interface is the way to 10.0.2.2" '' \
		by_ssh bind "$interface"
	ip addr flush dev "$interface"
	ip link set "$interface" down
fi
rmdir "/tmp/a disk"
until_true 20 shared_disk >/dev/null
unchanged "after all that"

diag "where /etc is for reading"
mount --bind /etc /etc
mount -o remount,bind,ro /etc
succeeds "bind writes nothing there" flatiommu bind "$EDU"
succeeds "nor does unbind" flatiommu unbind "$EDU"
is "$(driver_of "$EDU")" '' "and it is given back"
umount /etc

diag "a program with a name that is none"
flatiommu bind "$EDU" >/dev/null
bash -c 'exec 6<>"$1"; printf "a\033c\377b" >/proc/self/comm; sleep 300 & wait' bash "$(node_of "$EDU")" &
holder=$!
until_true 20 grep -q ^a "/proc/$holder/comm"
is "$(flatiommu status | grep -c $'\033')" 0 "status sends nothing of it to the terminal"
like "$(flatiommu --json unbind "$EDU" 2>/dev/null | jq -r .error)" "open by a\?c\?b\[[0-9]+\]" "and JSON stays JSON"
pkill -P $holder
kill $holder
wait $holder 2>/dev/null
flatiommu unbind --all >/dev/null

diag "--user and --persist"
output=$(flatiommu bind --user nobody "$EDU")
is "$(stat -c %U "$(node_of "$EDU")")" nobody "--user makes the node's owner"
[[ -n $real ]] || like "$output" "CAP_SYS_RAWIO.*all memory" "and says what it means"
flatiommu unbind --all >/dev/null
extra=/lib/modules/$(uname -r)/extra
[[ -n $real ]] || turned_down "--persist with a module that is not installed" "flatiommu.ko is not installed" '.*make -C .* modules_install' \
	flatiommu bind --persist "$EDU"
mkdir "$extra"
cp "$MODULE" "$extra"
depmod
touch /tmp/stamp
succeeds "--persist" flatiommu bind --persist "$EDU"
is "$(written_since /tmp/stamp /etc)" '' "it writes to /etc and /run alone"
like "$(cat /etc/modules-load.d/*)" "vfio-pci" "modules are loaded at boot"
like "$(</etc/udev/rules.d/99-flatiommu-bind.rules)" "KERNEL==\"$EDU\", ATTR.vendor.==\"0x1234\"" "udev has it"
if [[ -z $real ]]; then
	like "$(modprobe -c)" "softdep vfio[-_]pci pre: flatiommu" "flatiommu before vfio-pci"
	like "$(modprobe -c)" "options vfio_iommu_type1 allow_unsafe_interrupts=1" "and unsafe interrupts allowed"
	like "$(modprobe -c)" "options iommufd allow_unsafe_interrupts=1" "also for those who come by iommufd"
fi
is "$(said '.functions[0].persistent' bind "$EDU")" true "it says so when asked again"
if [[ -z $real ]]; then
	unbind "$EDU"
	echo "$EDU" >/sys/class/misc/flatiommu/release
	turned_down "an option that it cannot have" "(not prefetchable|needs PAT)" '.*' flatiommu bind --wc 5 "$EDU"
	like "$(</etc/udev/rules.d/99-flatiommu-bind.rules)" "KERNEL==\"$EDU\"" "a bind that fails leaves what one before has kept"
	flatiommu claim "$EDU"
	turned_down "an option for what is claimed" "--hold is for functions without a group" "flatiommu release $EDU" \
		flatiommu bind --hold "$EDU"
	flatiommu release "$EDU"
	succeeds "bound again" flatiommu bind "$EDU"
fi
# shellcheck disable=SC2119
start_udev
if [[ -z $real ]]; then
	diag "as if the module was not built for the kernel that boots"
	rm -f /run/flatiommu/[m0-9]*
	driverctl --nosave unset-override "$EDU"
	echo "$EDU" >/sys/class/misc/flatiommu/release
	modprobe -r -a vfio_pci flatiommu
	fails "the module is not loaded" test -e /sys/module/flatiommu
	mv "$extra/flatiommu.ko" /tmp
	depmod
	comes "$EDU"
	is "$(driver_of "$EDU")" '' "udev leaves the function alone"
	is "$(<"/sys/bus/pci/devices/$EDU/driver_override")" "(null)" "for its ordinary driver"
	like "$(dmesg | tail -n 5)" "flatiommu: $EDU is not bound, as the module flatiommu is missing" "the log says why"
	mv /tmp/flatiommu.ko "$extra"
	depmod
	# the next one loads both
	modprobe -r vfio_pci
fi
for which in "$EDU" --all; do
	diag "as if after a reboot: no record, udev binds"
	[[ $which != --all ]] || flatiommu bind --persist "$EDU" >/dev/null
	rm -f /run/flatiommu/[m0-9]*
	driverctl --nosave unset-override "$EDU"
	comes "$EDU"
	is "$(driver_of "$EDU")" vfio-pci "udev binds it"
	succeeds "unbind $which" flatiommu unbind "$which"
	fails "unbind $which ends that, too" test -e /etc/udev/rules.d/99-flatiommu-bind.rules
	is "$(driver_of "$EDU")" '' "it has no driver, as before"
	is "$(<"/sys/bus/pci/devices/$EDU/driver_override")" "(null)" "and no override"
done
flatiommu bind --persist "$EDU" >/dev/null
flatiommu unbind "$EDU" >/dev/null
is "$(cat /etc/modules-load.d/flatiommu* /etc/modprobe.d/flatiommu* /etc/udev/rules.d/*flatiommu* \
	2>/dev/null)" '' \
	"with the last one all files are gone"
clean_modules
echo N >"$unsafe"
if [[ -z $real && $(uname -m) != x86_64 ]]; then
	turned_down "--wc, which takes an x86 processor" "$SHM: .*--wc needs PAT of x86 processors" '' flatiommu bind --wc 2 "$SHM"
	is "$(driver_of "$SHM")$(group_of "$SHM")" '' "it has neither driver nor group"
	clean_modules
	echo N >"$unsafe"
elif [[ -z $real ]]; then
	diag "--persist of BARs that are write-combined"
	persisted() {
		modprobe -c | sed -n 's/^options flatiommu devices=//p'
	}
	succeeds "--wc and --persist" flatiommu bind --persist --wc 2 "$SHM"
	is "$(of "$SHM" 'wc_bars | tojson')" "[2]" "list says that it is write-combined"
	is "$(said '.functions[0].wc_bars | tojson' status)" "[2]" "and so does status"
	is "$(of "$EDU" 'wc_bars | tojson')" "[]" "of another it does not"
	like "$(flatiommu list "$SHM")" "write-combined: BAR 2\)" "list as text"
	like "$(flatiommu status)" "$SHM .*\(flatiommu\), write-combined: BAR 2"$'\n' "status as text"
	is "$(as_nobody flatiommu --json list "$SHM" | jq '.functions[0].wc_bars')" null "others do not see it"
	succeeds "another one" flatiommu bind --persist "$EDU"
	is "$(persisted)" "$SHM/wc=2" "the module will be told of the one"
	succeeds "and a third" flatiommu bind --persist --wc 2 "$TESTDEV"
	is "$(persisted)" "$SHM/wc=2,$TESTDEV/wc=2" "and of the third"
	succeeds "one is unbound" flatiommu unbind "$SHM"
	is "$(persisted)" "$TESTDEV/wc=2" "and taken out"
	succeeds "and bound without it" flatiommu bind --persist "$SHM"
	is "$(persisted)" "$TESTDEV/wc=2" "stays out"
	diag "as if after a reboot: no record, no module; modules-load.d loads them, udev binds"
	for device in "$EDU" "$SHM" "$TESTDEV"; do
		driverctl --nosave unset-override "$device"
	done
	rm -f /run/flatiommu/[m0-9]*
	for device in "$EDU" "$SHM" "$TESTDEV"; do
		echo "$device" >"$RELEASE"
	done
	rmmod flatiommu vfio_pci
	sed '/^#/d' /etc/modules-load.d/flatiommu-bind.conf | xargs modprobe -a
	for device in "$EDU" "$SHM" "$TESTDEV"; do
		comes "$device"
	done
	is "$(of "$TESTDEV" 'wc_bars | tojson') $(driver_of "$TESTDEV")" "[2] vfio-pci" "it is write-combined again"
	is "$(of "$SHM" 'wc_bars | tojson') $(driver_of "$SHM")" "[] vfio-pci" "the other is not"
	flatiommu unbind "$SHM" "$EDU" "$TESTDEV" >/dev/null
	is "$(persisted)$(cat /etc/udev/rules.d/*flatiommu* /etc/modprobe.d/flatiommu* 2>/dev/null)" '' "unbind ends that, too"
	diag "--hold and --fence"
	succeeds "with --persist" flatiommu bind --persist --fence --hold "$EDU"
	is "$(said '.functions[0] | [.hold, .fence, .wc_bars] | tojson' list "$EDU")" "[true,true,[]]" "list says so"
	is "$(said '.functions[0] | [.hold, .fence] | tojson' status)" "[true,true]" "and so does status"
	like "$(flatiommu list "$EDU")" " \(hold, fence\)" "list as text"
	like "$(flatiommu status)" "$EDU .*\(flatiommu\), hold, fence"$'\n' "status as text"
	is "$(as_nobody flatiommu --json list "$EDU" | jq '.functions[0].hold')" null "others do not see it"
	is "$(persisted)" "$EDU/hold/fence" "the module will be told"
	turned_down "what is claimed gets no options" "--hold is for functions without a group" "flatiommu unbind $EDU" \
		flatiommu bind --hold "$EDU"
	succeeds "a second one" flatiommu bind --persist --hold --wc 2 "$SHM"
	is "$(persisted)" "$EDU/hold/fence,$SHM/wc=2/hold" "the module will be told of both"
	like "$(flatiommu list "$SHM")" " \(write-combined: BAR 2, hold\)" "list of it as text"
	diag "as if after a reboot"
	rm -f /run/flatiommu/[m0-9]*
	for device in "$EDU" "$SHM"; do
		driverctl --nosave unset-override "$device"
		echo "$device" >"$RELEASE"
	done
	rmmod flatiommu vfio_pci
	sed '/^#/d' /etc/modules-load.d/flatiommu-bind.conf | xargs modprobe -a
	for device in "$EDU" "$SHM"; do
		comes "$device"
	done
	is "$(said '.functions[0] | [.hold, .fence, .driver] | tojson' list "$EDU")" '[true,true,"vfio-pci"]' "the one has its options again"
	is "$(said '.functions[0] | [.hold, .fence, .wc_bars, .driver] | tojson' list "$SHM")" '[true,false,[2],"vfio-pci"]' "and so has the other"
	flatiommu unbind "$EDU" "$SHM" >/dev/null
	is "$(persisted)" '' "unbind ends that, too"
	echo "options flatiommu on_refusal=warn devices=0000:00:1e.7" >/etc/modprobe.d/other.conf
	clean_modules
	turned_down "a devices= of somebody else" "--persist: /etc/modprobe.d/other.conf has devices=" '' \
		flatiommu bind --persist --wc 2 "$SHM"
	turned_down "also for other options" "--persist: /etc/modprobe.d/other.conf has devices=" '' \
		flatiommu bind --persist --fence "$EDU"
	rm /etc/modprobe.d/other.conf
	clean_modules
	echo N >"$unsafe"
fi
stop_udev
rm -r "$extra"
depmod
unchanged "--persist"

if [[ -z $real ]]; then
	diag "claim and release"
	is "$(said '.functions[0].group' claim "$EDU")" 0 "claim gives a group"
	is "$(of "$EDU" iommu)" flatiommu "of flatiommu's"
	turned_down "a second claim" "$EDU: not claimed: it is claimed already" '' flatiommu claim "$EDU"
	turned_down "a claim of what has a driver" "$NVME: not claimed: a driver is bound" "flatiommu bind $NVME" \
		flatiommu claim "$NVME"
	turned_down "a claim of a bridge" "$BRIDGE: not claimed: it is a bridge" '' flatiommu claim "$BRIDGE"
	fails "two, of which one has a driver" flatiommu claim "$FN1" "$NVME"
	is "$(group_of "$FN1")" '' "are none"
	succeeds "a claimed one is bound" flatiommu bind "$EDU"
	turned_down "a release of what is bound" "$EDU: not released: a driver" "flatiommu unbind $EDU" \
		flatiommu release "$EDU"
	succeeds "and unbound" flatiommu unbind "$EDU"
	is "$(of "$EDU" iommu)" flatiommu "still claimed, as before"
	is "$(said '.functions[0].group' release "$EDU")" null "released"
	turned_down "a second release" "$EDU: it is not claimed" '' flatiommu release "$EDU"
	# has_lock PID: has it the lock's file open, whoever has locked it?
	has_lock() {
		[[ -n $(find "/proc/$1/fd" -lname /run/flatiommu/lock) ]]
	}
	# after_another COMMAND BEFORE AFTER: it waits for a command that changes something, and then changes the function
	after_another() {
		exec {lock}>/run/flatiommu/lock
		flock "$lock"
		flatiommu "$1" "$EDU" >/dev/null {lock}>&- &
		until_true 60 has_lock $!
		sleep 1
		is "$(of "$EDU" iommu)" "$2" "$1 waits for another command"
		exec {lock}>&-
		wait $!
		is "$? $(of "$EDU" iommu)" "0 $3" "and then does what it is for"
	}
	after_another claim none flatiommu
	after_another release flatiommu none
	diag "vfio-pci by other means"
	modprobe vfio-pci
	echo "1b36 0005" >/sys/bus/pci/drivers/vfio-pci/new_id
	is "$(driver_of "$TESTDEV")" vfio-pci "new_id binds pci-testdev"
	turned_down "an unbind that new_id undoes" "$TESTDEV: vfio-pci binds it again, .* 1b36:0005" \
		"echo 1b36 0005 >/sys.*/remove_id && flatiommu unbind $TESTDEV" flatiommu unbind "$TESTDEV"
	succeeds "after remove_id" eval "$(flatiommu --json unbind "$TESTDEV" 2>/dev/null | jq -r .cure)"
	is "$(driver_of "$TESTDEV")$(group_of "$TESTDEV")" '' "it has neither driver nor group"
	clean_modules
	unchanged "claim and release"
fi

diag "bad input"
# bad STATUS COMMAND...: one line, no crash
bad() {
	local output status=0 expected=$1
	shift
	output=$(flatiommu "$@" 2>&1 >/dev/null) || status=$?
	is "$status $(wc -l <<<"$output")" "$expected 1" "flatiommu ${*@Q}"
	like "$output" "^flatiommu: .*; try: flatiommu" "says what to try"
}
bad 3 nonsense
bad 3 --nonsense
bad 3 list --nonsense
bad 3 bind
bad 3 bind --user
bad 3 bind --force=yes "$EDU"
bad 3 bind --force --force "$EDU"
bad 3 status now
bad 3 addresses 1
bad 1 bind nonsense
bad 1 bind ''
bad 1 bind /dev/
bad 1 bind ../../../etc
bad 1 bind 00:04
bad 1 bind 0000:00:04.8
bad 1 bind 0000:00:20.0
bad 1 bind 0000:00:04.0x
bad 1 bind ffff:ffff
bad 1 list "$(printf 'x%.0s' {1..5000})"
bad 1 help nonsense
bad 1 unbind
turned_down "lo" "lo: no PCI function is behind it" '' flatiommu bind lo
turned_down "bind by anybody" "bind: only root" "sudo flatiommu bind" by_nobody bind "$EDU"
turned_down "bind without CAP_SYS_RAWIO" "bind: CAP_SYS_RAWIO is missing, and nobody here can get it" '' by_root_without_rawio bind "$EDU"
turned_down "an unknown user" "nouser: there is no such user" '' flatiommu bind --user nouser "$EDU"
for command in list status doctor bind unbind claim release run addresses help version; do
	like "$(flatiommu help $command)" "^Usage: flatiommu $command" "help $command"
	is "$(flatiommu --json help $command | jq -r .name)" $command "help $command in JSON"
done
for words in "--help bind $EDU" "bind --help $EDU" "bind $EDU --help" "--help --json bind $EDU"; do
	read -ra arguments <<<"$words"
	like "$(flatiommu "${arguments[@]}")" "bind" "$words: how it is used"
	is "$(driver_of "$EDU")" '' "$words: and no more"
done

diag "modprobe says more than a pipe holds"
clean_modules
printf 'nonsense%d\n' {1..1000} >/etc/modprobe.d/nonsense.conf
succeeds "bind" env --default-signal=PIPE flatiommu bind "$EDU"
rm /etc/modprobe.d/nonsense.conf
succeeds "unbind" flatiommu unbind "$EDU"

diag "what is there by now is not what was bound"
flatiommu bind "$EDU" >/dev/null
sed -i 's/^id=.*/id=8086:10d3/; s/^driver=.*/driver=e1000e/' "/run/flatiommu/$EDU"
like "$(flatiommu unbind --all)" "$EDU: the function that was bound is not there any more" "unbind --all says so"
is "$(driver_of "$EDU")" '' "and gives it to no driver of that"
fails "its record is gone" test -e "/run/flatiommu/$EDU"
clean_modules

diag "version"
version=$(flatiommu --version | sed -n '1s/flatiommu //p')
uapi=$(said .uapi version)
is "$(said '[.version, .library, .module] | tojson' version)" "[\"$version\",\"$version\",\"$version\"]" \
	"command, library and module are of one version"
is "$(said '[.module_loaded, .module_uapi, .warnings] | tojson' version)" "[false,null,[]]" "the module is not loaded, and fits"
# busybox's sed is for text
/bin/sed 's/\x00version=[0-9.]*/\x00version=9.9.9/' "$MODULE" >/tmp/other.ko
insmod /tmp/other.ko
is "$(said '[.module, .module_loaded, .module_uapi] | tojson' version)" "[\"9.9.9\",true,$uapi]" "one that is loaded"
like "$(flatiommu version)" "module 9.9.9, loaded.*warning: the command is $version, and the module 9.9.9" "one that does not fit"
rmmod flatiommu
rm /tmp/other.ko
fails "a full disk is an error" bash -c 'flatiommu list >/dev/full'
unchanged "at the end"

echo Y >"$unsafe"
done_testing
