#!/bin/bash
# The ways to a claim: by hand, by devices=, and automatically when a vfio driver binds.
. "${0%/*}/lib.sh"

# claimed DEVICE HOW: it has a group of ours, and the log says HOW, a regex, it came to it
claimed() {
	local group
	group=$(group_of "$1")
	isnt "$group" '' "$1 has a group"
	is "$(cat "/sys/kernel/iommu_groups/$group/name")" flatiommu "the group's name says what it is"
	like "$(flat_log)" "flatiommu: $1: claimed $2: bus addresses, no isolation" "the log says how it came to it"
}

# on_vfio DEVICE: it is for VFIO to use
on_vfio() {
	is "$(driver_of "$1")" vfio-pci "$1 is bound to vfio-pci"
	succeeds "VFIO has its node" test -c "$(node_of "$1")"
}

# on_vfio_by COMMAND DEVICE: vfio-pci bound, which claimed it automatically
on_vfio_by() {
	on_vfio "$2"
	claimed "$2" "automatically, as vfio-pci binds \($1\[[0-9]+\]\)"
}

# not_on_vfio DEVICE LOG: nothing came of it
not_on_vfio() {
	is "$(driver_of "$1")" '' "$1 is not bound"
	is "$(group_of "$1")" '' "and not claimed"
	like "$(log_since)" "$2" "the log says why"
}

# give_back DEVICE DRIVER: from any state to that before the claim
give_back() {
	override "$1" ''
	[[ ! -e /sys/bus/pci/devices/$1/driver ]] || unbind "$1"
	is "$(errno_of "$RELEASE" "$1")" OK "$1 is released"
	is "$(group_of "$1")" '' "its group is gone"
	[[ -z $2 ]] || probe "$1"
	is "$(driver_of "$1")" "$2" "it is as it was"
}

none=$(iommus)
modprobe vfio-pci
failed_probe="probe .*failed with error -22"

diag "by hand"
insmod "$MODULE"
log_mark
unbind "$NVME"
is "$(errno_of "$CLAIM" "$NVME")" OK "the write succeeds"
claimed "$NVME" "by hand"
is "$(driver_of "$NVME")" '' "nothing binds by itself"
override "$NVME" vfio-pci
probe "$NVME"
on_vfio "$NVME"
give_back "$NVME" nvme
rmmod flatiommu

diag "devices="
log_mark
insmod "$MODULE" "devices=$EDU,$TESTDEV"
claimed "$EDU" "by devices="
claimed "$TESTDEV" "by devices="
isnt "$(group_of "$EDU")" "$(group_of "$TESTDEV")" "each has its own group"
give_back "$EDU" ''
give_back "$TESTDEV" ''
rmmod flatiommu

diag "devices=, one of them bound, and one that is yet to come"
log_mark
insmod "$MODULE" "devices=$NVME,$HOT_EMPTY_DEV"
like "$(flat_log)" "$NVME: not claimed: nvme is bound to it" "a bound device is left alone"
is "$(driver_of "$NVME")" nvme "with its driver"
like "$(flat_log)" "devices=: $HOT_EMPTY_DEV is not there; it will be claimed when it comes" "the other is waited for"
is "$(ls /sys/kernel/iommu_groups)" '' "nothing is claimed"
log_mark
succeeds "a device is plugged in" plug_edu
succeeds "it gets a group" until_true 30 test -e "/sys/bus/pci/devices/$HOT_EMPTY_DEV/iommu_group"
claimed "$HOT_EMPTY_DEV" "by devices="
succeeds "and is unplugged" unplug edu-hot
succeeds "with its group" until_true 30 groups_are ''
like "$(flat_log)" "$HOT_EMPTY_DEV: released: it was removed" "the log says so"
rmmod flatiommu

diag "driverctl"
insmod "$MODULE"
log_mark
succeeds "driverctl sets the override" driverctl --nosave set-override "$NVME" vfio-pci
on_vfio_by driverctl "$NVME"
succeeds "driverctl takes it back" driverctl --nosave unset-override "$NVME"
is "$(driver_of "$NVME")" nvme "nvme has its driver again"
log_mark
succeeds "driverctl sets the override again" driverctl --nosave set-override "$NVME" vfio-pci
on_vfio "$NVME"
is "$(flat_log)" '' "it is still claimed"
give_back "$NVME" nvme

diag "driverctl, a device that never had a driver"
log_mark
succeeds "driverctl sets the override" driverctl --nosave set-override "$EDU" vfio-pci
on_vfio_by driverctl "$EDU"
give_back "$EDU" ''

diag "dpdk-devbind.py"
# it knows network cards, but no nvme; a cloud kernel has no driver for this one
nic_driver=$(driver_of "$NIC")
log_mark
succeeds "dpdk-devbind.py binds vfio-pci" dpdk-devbind.py -b vfio-pci "$NIC"
on_vfio_by dpdk-devbind.py "$NIC"
if [[ -n $nic_driver ]]; then
	succeeds "dpdk-devbind.py binds $nic_driver" dpdk-devbind.py -b "$nic_driver" "$NIC"
else
	succeeds "dpdk-devbind.py unbinds" dpdk-devbind.py -u "$NIC"
fi
is "$(driver_of "$NIC")" "$nic_driver" "the network card has its driver again"
give_back "$NIC" "$nic_driver"

diag "new_id"
log_mark
is "$(errno_of /sys/bus/pci/drivers/vfio-pci/new_id "1b36 0005")" OK "vfio-pci is told of pci-testdev"
on_vfio_by put "$TESTDEV"
is "$(errno_of /sys/bus/pci/drivers/vfio-pci/remove_id "1b36 0005")" OK "and told to forget it"
give_back "$TESTDEV" ''

diag "override before unbind"
log_mark
override "$NVME" vfio-pci
is "$(driver_of "$NVME")" nvme "an override alone does nothing"
unbind "$NVME"
is "$(group_of "$NVME")" '' "nor does the unbind"
probe "$NVME"
on_vfio_by routes.t "$NVME"
give_back "$NVME" nvme

diag "another driver than vfio's"
modprobe uio_pci_generic
override "$EDU" uio_pci_generic
probe "$EDU"
is "$(driver_of "$EDU")" uio_pci_generic "uio_pci_generic binds"
is "$(group_of "$EDU")" '' "which claims nothing"
override "$EDU" ''
unbind "$EDU"
rmmod uio_pci_generic

diag "root without CAP_SYS_RAWIO"
override "$EDU" vfio-pci
log_mark
without_rawio put /sys/bus/pci/drivers_probe "$EDU" >/dev/null
not_on_vfio "$EDU" "flatiommu: $EDU: not claimed automatically: put\[[0-9]+\] has no CAP_SYS_RAWIO"
like "$(log_since)" "$failed_probe" "vfio-pci could not bind"
is "$(ls /sys/class/iommu)" '' "nothing is left behind"
override "$EDU" ''

diag "auto=0"
echo N >/sys/module/flatiommu/parameters/auto
override "$EDU" vfio-pci
log_mark
probe "$EDU"
not_on_vfio "$EDU" "$failed_probe"
echo Y >/sys/module/flatiommu/parameters/auto
log_mark
probe "$EDU"
on_vfio_by routes.t "$EDU"
give_back "$EDU" ''
rmmod flatiommu

diag "the module after the override"
override "$EDU" vfio-pci
log_mark
probe "$EDU"
not_on_vfio "$EDU" "$failed_probe"
log_mark
insmod "$MODULE" auto=0
is "$(driver_of "$EDU")" '' "with auto=0 nothing binds"
is "$(ls /sys/kernel/iommu_groups)" '' "and nothing is claimed"
rmmod flatiommu
insmod /flatiommu/setting.ko function="$EDU" is=external
log_mark
insmod "$MODULE"
is "$(driver_of "$EDU")" '' "what may not be claimed does not bind"
like "$(flat_log)" "$EDU: its driver_override is a vfio driver, which did not bind" "the log says so"
rmmod flatiommu setting
log_mark
insmod "$MODULE"
on_vfio_by insmod "$EDU"
is "$(driver_of "$NVME")" nvme "what has no override keeps its driver"
is "$(driver_of "$TESTDEV")" '' "or has none"
give_back "$EDU" ''

diag "a PF on vfio-pci and its VFs"
numvfs=/sys/bus/pci/devices/$SRIOV_PF/sriov_numvfs
echo Y >/sys/module/vfio_pci/parameters/enable_sriov
log_mark
driverctl --nosave set-override "$SRIOV_PF" vfio-pci
on_vfio_by driverctl "$SRIOV_PF"
log_mark
is "$(errno_of "$numvfs" 2)" OK "the PF gets its VFs"
for vf in "$SRIOV_VF0" "$SRIOV_VF1"; do
	succeeds "$vf is bound" until_true 30 test -e "/sys/bus/pci/devices/$vf/driver"
	on_vfio_by put "$vf"
done
is "$(printf '%s\n' /sys/kernel/iommu_groups/* | wc -l)" 3 "each of the three has its own group"
log_mark
is "$(errno_of "$numvfs" 0)" OK "the VFs go"
like "$(flat_log)" "$SRIOV_VF0: released: it was removed" "the log says so of the first"
like "$(flat_log)" "$SRIOV_VF1: released: it was removed" "and of the second"
succeeds "only the PF has a group" until_true 30 groups_are "$(group_of "$SRIOV_PF")"
is "$(ls /sys/class/iommu)" "flatiommu-$SRIOV_PF" "and an IOMMU"
give_back "$SRIOV_PF" nvme

is "$(iommus)" "$none" "nothing is left behind"
succeeds "the module unloads" rmmod flatiommu
rmmod vfio_pci
done_testing
