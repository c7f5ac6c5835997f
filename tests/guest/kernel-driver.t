#!/bin/bash
# The kernel driver of a claimed device works as before.
. "${0%/*}/lib.sh"

# works NAME: DMA in both directions, past the page cache
works() {
	local wrote=/tmp/wrote read=/tmp/read disk
	disk=$(disk_of "$NVME")
	isnt "$disk" '' "$1: there is its disk"
	dd if=/dev/urandom of=$wrote bs=64k count=1 status=none
	succeeds "$1: it writes" dd if=$wrote of="$disk" bs=64k seek=5 oflag=direct status=none
	succeeds "$1: it reads" dd if="$disk" of=$read bs=64k skip=5 count=1 iflag=direct status=none
	succeeds "$1: what was written" cmp $wrote $read
	rm -f $wrote $read
}

modprobe vfio-pci
insmod "$MODULE"
none=$(iommus)
works "before"

fails "a bound device has no group" group_of "$NVME"
unbind "$NVME"
is "$(errno_of "$CLAIM" "$NVME")" OK "unbound, it is claimed"
is "$(cat "/sys/kernel/iommu_groups/$(group_of "$NVME")/type")" identity "its DMA goes where it went"
probe "$NVME"
is "$(driver_of "$NVME")" nvme "nvme binds"
works "claimed"
is "$(errno_of "$RELEASE" "$NVME")" EBUSY "it is not released while bound"
works "after that"
unbind "$NVME"
is "$(errno_of "$RELEASE" "$NVME")" OK "unbound, it is released"
probe "$NVME"
is "$(driver_of "$NVME")" nvme "nvme binds again"
works "released"

for i in {1..10}; do
	name="round $i"
	unbind "$NVME"
	is "$(errno_of "$CLAIM" "$NVME")" OK "$name: claimed"
	probe "$NVME"
	is "$(driver_of "$NVME")" nvme "$name: nvme binds"
	unbind "$NVME"
	override "$NVME" vfio-pci
	probe "$NVME"
	is "$(driver_of "$NVME")" vfio-pci "$name: vfio-pci binds"
	unbind "$NVME"
	override "$NVME" ''
	is "$(errno_of "$RELEASE" "$NVME")" OK "$name: released"
	probe "$NVME"
	is "$(driver_of "$NVME")" nvme "$name: nvme binds again"
done
works "after ten rounds"
is "$(iommus)" "$none" "nothing is left behind"
succeeds "the module unloads" rmmod flatiommu
works "without the module"
rmmod vfio_pci
done_testing
