#!/bin/bash
# The module is unloaded and loaded while devices come and go.
. "${0%/*}/lib.sh"

# delete_module: prints what the system call says; rmmod itself looks at the use count before
delete_module() {
	perl -e '$name = "flatiommu"; print syscall(176, $name, 2048) ? $!{EWOULDBLOCK} ? "EWOULDBLOCK" : "$!" : "OK"'
}

rescan() {
	echo 1 >/sys/bus/pci/rescan
}

remove() {
	echo 1 >"/sys/bus/pci/devices/$1/remove"
}

none=$(iommus)

# taken_out NAME: the device is removed while it is claimed. Its IOMMU goes with it, its group in a moment.
taken_out() {
	local device=$1 name=$2
	log_mark
	remove "$device"
	is "$(ls /sys/class/iommu)" '' "$name: removed, its IOMMU goes at once"
	succeeds "$name: and its group" until_true 30 groups_are ''
	like "$(flat_log)" "$device: released: it was removed" "$name: the log says so"
	rescan
	succeeds "$name: it comes again" test -e "/sys/bus/pci/devices/$device"
	is "$(group_of "$device")" '' "$name: without a group"
}

insmod "$MODULE"
is "$(errno_of "$CLAIM" "$EDU")" OK "edu is claimed"
is "$(delete_module)" EWOULDBLOCK "the module cannot be unloaded"
like "$(rmmod flatiommu 2>&1)" "in use" "rmmod says why"
is "$(errno_of "$RELEASE" "$EDU")" OK "edu is released"
is "$(delete_module)" OK "the module can be unloaded"
fails "it is gone" test -e /sys/module/flatiommu
fails "and its device" test -e /dev/flatiommu
is "$(iommus)" "$none" "nothing is left behind"

diag "failing insmod"
for i in {1..3}; do
	fails "insmod fails" insmod "$MODULE" "devices=$EDU,hello"
done
is "$(iommus)" "$none" "nothing is left behind"

diag "a device comes while the module is not there"
for i in {1..10}; do
	insmod "$MODULE"
	is "$(errno_of "$CLAIM" "$EDU")$(errno_of "$RELEASE" "$EDU")" OKOK "round $i: edu is claimed and released"
	succeeds "round $i: the module unloads" rmmod flatiommu
	succeeds "round $i: a device is plugged in" plug_edu
	insmod "$MODULE"
	is "$(errno_of "$CLAIM" "$HOT_EMPTY_DEV")" OK "round $i: it is claimed"
	succeeds "round $i: it is unplugged" unplug edu-hot
	succeeds "round $i: its group goes" until_true 30 groups_are ''
	is "$(iommus)" "$none" "round $i: nothing is left behind"
	succeeds "round $i: the module unloads again" rmmod flatiommu
done

diag "remove and rescan"
insmod "$MODULE"
for i in {1..5}; do
	is "$(errno_of "$CLAIM" "$EDU")" OK "round $i: edu is claimed"
	taken_out "$EDU" "round $i"
done
for driver in nvme vfio-pci; do
	modprobe "$driver"
	unbind "$NVME"
	is "$(errno_of "$CLAIM" "$NVME")" OK "nvme is claimed"
	override "$NVME" "$driver"
	probe "$NVME"
	is "$(driver_of "$NVME")" "$driver" "and bound to $driver"
	taken_out "$NVME" "bound to $driver"
	is "$(driver_of "$NVME")" nvme "the override is gone, too"
done
rmmod vfio_pci

# A claim of a device that the IOMMU core has been told to forget would stay for ever; a release of one
# that it has not forgotten yet would leave it without the IOMMU.
diag "claims and releases while the device is removed"
while :; do
	[[ -e /sys/bus/pci/devices/$EDU ]] || continue
	echo "$EDU" >"$CLAIM"
	echo "$EDU" >"$RELEASE"
done 2>/dev/null &
claimer=$!
for i in {1..60}; do
	remove "$EDU"
	rescan
done
kill "$claimer"
wait "$claimer"
errno_of "$RELEASE" "$EDU" >/dev/null
succeeds "no claim stays" until_true 30 groups_are ''
is "$(iommus)" "$none" "nothing is left behind"
succeeds "the module unloads" rmmod flatiommu
done_testing
