#!/bin/bash
# An SMMU, which Linux up to 6.14 finds only when a driver binds to a function: functions behind it are not claimed, and
# VFIO uses it.
. "${0%/*}/lib.sh"

why="not claimed: it is in IOMMU group [0-9]+ already; VFIO works on it without this module"

modprobe vfio-pci
isnt "$(group_of "$NVME")" '' "what has a driver is behind the SMMU"
taint=$(user_taint)

# each of these never had a driver
log_mark
insmod "$MODULE" "devices=$EDU"
like "$(flat_log)" "flatiommu: $EDU: $why" "devices= claims nothing"
is "$(errno_of "$CLAIM" "$FN1")" EALREADY "nor does a claim by hand of what never had a driver"
like "$(flat_log)" "flatiommu: $FN1: $why" "the log says why"
is "$(errno_of "$CLAIM" "$NVME")" EALREADY "nor of what has one"
unbind "$NVME"
is "$(errno_of "$CLAIM" "$NVME")" EALREADY "nor of what had one"
probe "$NVME"
for device in "$EDU" "$FN1" "$NVME"; do
	isnt "$(cat "/sys/bus/pci/devices/$device/iommu_group/name" 2>/dev/null)" flatiommu "$device is not in a group of the module's"
	isnt "$(group_of "$device")" '' "$device is behind the SMMU"
done
is "$(driver_of "$NVME")" nvme "nvme has its driver again"
succeeds "it reads" dd if="$(disk_of "$NVME")" of=/dev/null bs=64k count=1 iflag=direct status=none

said=$(flatiommu bind "$TESTDEV" 2>&1)
like "$said" "$TESTDEV: /dev/vfio/[0-9]+, group [0-9]+ \(iommu\)" "bind of what never had a driver: it is behind the SMMU"
is "$(driver_of "$TESTDEV")" vfio-pci "and vfio-pci has it"
succeeds "unbind gives it back" flatiommu unbind "$TESTDEV"
succeeds "bind of another one" flatiommu bind "$EDU"
like "$(edu "$EDU" 64 2>&1)" "backend +iommu-type1.*copied +2048 bytes" "edu copies, through the SMMU"
like "$(said '.checks[] | select(.check == "group") | .text' doctor "$EDU")" "of a real IOMMU" "doctor says so"
succeeds "unbind gives it back" flatiommu unbind "$EDU"

log_mark
succeeds "a device is plugged in" plug_edu
is "$(errno_of "$CLAIM" "$HOT_EMPTY_DEV")" EALREADY "it is not claimed, either"
succeeds "it is unplugged" unplug edu-hot
is "$(user_taint)" "$taint" "there is no taint"
succeeds "the module unloads" rmmod flatiommu
rmmod vfio_pci
done_testing
