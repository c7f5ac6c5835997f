#!/bin/bash
# A machine with a real IOMMU does not change, whatever the module is asked to do.
. "${0%/*}/lib.sh"

# state: all that there is to see of the IOMMU
state() {
	local group
	ls -A /sys/class/iommu /sys/class/iommu/*/devices
	for group in /sys/kernel/iommu_groups/*; do
		echo "$group: $(cat "$group/type" "$group/name" "$group/reserved_regions" 2>/dev/null)"
		ls "$group/devices"
	done
}

modprobe vfio-pci
echo 16 >/proc/sys/vm/nr_hugepages
before=$(state)
isnt "$before" '' "there is an IOMMU"
taint=$(user_taint)
why="not claimed: it is in IOMMU group [0-9]+ already; VFIO works on it without this module"

log_mark
insmod "$MODULE" "devices=$EDU"
like "$(flat_log)" "flatiommu: $EDU: $why" "devices= claims nothing"
refused "a claim of a device without a driver" EALREADY "$EDU: $why" errno_of "$CLAIM" "$EDU"
refused "a claim of a device with one" EALREADY "$NVME: $why" errno_of "$CLAIM" "$NVME"
refused "a claim of a bridge" EOPNOTSUPP "$BRIDGE: not claimed: it is a bridge" errno_of "$CLAIM" "$BRIDGE"
refused "a release" ENOENT "$EDU: not released: it is not claimed" errno_of "$RELEASE" "$EDU"
is "$(state)" "$before" "the IOMMU is as it was"

log_mark
driverctl --nosave set-override "$NVME" vfio-pci
is "$(driver_of "$NVME")" vfio-pci "vfio-pci binds"
is "$(flat_log)" '' "and the module has nothing to say"
like "$(nvme "$NVME" identify 2>&1)" flat0 "VFIO works, through the real IOMMU"
driverctl --nosave unset-override "$NVME"
is "$(driver_of "$NVME")" nvme "nvme has its driver again"
succeeds "it reads" dd if="$(disk_of "$NVME")" of=/dev/null bs=64k count=1 iflag=direct status=none
is "$(state)" "$before" "the IOMMU is as it was"

is "$(user_taint)" "$taint" "there is no taint"
succeeds "the module unloads" rmmod flatiommu
is "$(state)" "$before" "the IOMMU is as it was"
succeeds "a device is plugged in" plug_edu
isnt "$(group_of "$HOT_EMPTY_DEV")" '' "it has a group of the real IOMMU"
insmod "$MODULE" "devices=$HOT_EMPTY_DEV"
refused "a claim of it" EALREADY "$HOT_EMPTY_DEV: $why" errno_of "$CLAIM" "$HOT_EMPTY_DEV"
succeeds "it is unplugged" unplug edu-hot
log_mark
succeeds "and plugged in while the module is there" plug_edu
isnt "$(group_of "$HOT_EMPTY_DEV")" '' "it has a group of the real IOMMU"
like "$(flat_log)" "$HOT_EMPTY_DEV: $why" "devices= leaves it there"
succeeds "it is unplugged" unplug edu-hot
succeeds "the module unloads" rmmod flatiommu
rmmod vfio_pci
echo 0 >/proc/sys/vm/nr_hugepages
done_testing
