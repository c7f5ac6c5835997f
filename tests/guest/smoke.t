#!/bin/bash
# The machine has everything that the other tests expect.
. "${0%/*}/lib.sh"

is "$(driver_of "$NVME")" nvme "nvme has its driver"
is "$(cat "/sys/bus/pci/devices/$NVME/nvme/"nvme*/serial | tr -d ' ')" flat0 "nvme is the one at its place"
is "$(driver_of "$SRIOV_PF")" nvme "the nvme with SR-IOV has its driver"
is "$(<"/sys/bus/pci/devices/$SRIOV_PF/sriov_totalvfs")" 2 "it can have two VFs"
is "$(driver_of "$FN0")" nvme "function 0 of the slot has its driver"
is "$(driver_of "$HOT_DEV")" nvme "the device to be unplugged has its driver"
is "$(<"/sys/bus/pci/devices/$EDU/device")" 0x11e8 "edu is there"
is "$(<"/sys/bus/pci/devices/$FN1/device")" 0x11e8 "edu is function 1 of the slot"
is "$(<"/sys/bus/pci/devices/$TESTDEV/device")" 0x0005 "pci-testdev is there"
is "$(<"/sys/bus/pci/devices/$SHM/device")" 0x1110 "ivshmem is there"
is "$(<"/sys/bus/pci/devices/$BRIDGE/class")" 0x060400 "the bridge is one"
for device in "$EDU" "$FN1" "$TESTDEV" "$SHM"; do
	is "$(driver_of "$device")" '' "$device has no driver"
done
if modinfo e1000e >/dev/null 2>&1; then
	is "$(driver_of "$NIC")" e1000e "the network card has its driver"
else
	skip "the network card has its driver" "this kernel has none"
fi
fails "the empty slot is empty" test -e "/sys/bus/pci/devices/$HOT_EMPTY_DEV"

if has_iommu; then
	isnt "$(group_of "$NVME")" '' "there are IOMMU groups"
	isnt "$(ls /sys/class/iommu)" '' "there is an IOMMU"
else
	is "$(ls /sys/kernel/iommu_groups)" '' "there is no IOMMU group"
	is "$(ls /sys/class/iommu)" '' "there is no IOMMU"
fi
if [[ $FLATIOMMU_MACHINE == movable ]]; then
	like "$(</proc/cmdline)" movablecore= "the kernel was asked for movable memory"
	isnt "$(awk '/zone +Movable/ { zone = 1 } zone && /present/ { print $2; exit }' /proc/zoneinfo)" 0 "there is some"
fi

# a kernel without VFIO groups has iommufd instead
memory=vfio_iommu_type1
[[ " $FLATIOMMU_KERNEL_WORDS " == *" GROUPS "* ]] || memory=iommufd
for module in $memory vfio-pci uio_pci_generic; do
	succeeds "$module loads" modprobe "$module"
done
if [[ $memory == vfio_iommu_type1 ]]; then
	is "$(cat /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts)" Y "type1 takes unsafe interrupts"
else
	fails "there is no container" test -e /dev/vfio/vfio
fi
is "$(cat /proc/sys/kernel/tainted)" 0 "the kernel is not tainted"

like "$(driverctl -v list-devices 2>&1)" "$NVME nvme" "driverctl runs"
like "$(dpdk-devbind.py --status 2>&1)" "$NIC .*(drv|unused)=" "dpdk-devbind.py runs"
succeeds "driverctl sets an override" driverctl set-override "$NVME" none
is "$(driver_of "$NVME")" '' "the driver is gone"
succeeds "driverctl takes it back" driverctl unset-override "$NVME"
is "$(driver_of "$NVME")" nvme "the driver is there again"

like "$(qmp '{"execute": "query-status"}' 2>&1)" '"running": true' "QEMU answers"
refusal=$(qmp '{"execute": "device_del", "arguments": {"id": "nothing"}}' 2>&1)
is $? 1 "an error is one"
like "$refusal" DeviceNotFound "and is told"
is "$(errno_of /proc/sys/kernel/hung_task_timeout_secs x)" EINVAL "errno_of tells an error"
is "$(errno_of "/sys/bus/pci/devices/$EDU/driver_override" none)" OK "errno_of tells success"
errno_of "/sys/bus/pci/devices/$EDU/driver_override" $'\n' >/dev/null

done_testing
