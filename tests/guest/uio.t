#!/bin/bash
# Programs of doc/from-uio.md: one that stays on uio_pci_generic and has its memory pinned by /dev/flatiommu, and
# the same on VFIO.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"

# take DRIVER
take() {
	[[ -z $(driver_of "$EDU") ]] || unbind "$EDU"
	override "$EDU" "$1"
	probe "$EDU"
}

acquired() {
	echo 1 >/proc/sys/vm/stat_refresh
	awk '/^nr_foll_pin_acquired/ { print $2 }' /proc/vmstat
}

# copies NAME PROGRAM
copies() {
	local before
	before=$(acquired)
	is "$("$2" "$EDU" 2>&1)" "copied there and back" "$1: the device copies"
	isnt "$(acquired)" "$before" "$1: its memory was pinned"
	is "$(pins)" "$pinned" "$1: and is not any more"
}

before=$(iommus)
pinned=$(pins)
insmod "$MODULE"
modprobe vfio-pci
modprobe uio_pci_generic

take uio_pci_generic
is "$(driver_of "$EDU")" uio_pci_generic "uio_pci_generic has the device"
is "$(group_of "$EDU")" '' "without a group"
copies "on uio_pci_generic" uio-pin
command=$(od -An -tu1 -j4 -N1 "/sys/bus/pci/devices/$EDU/config")
is $((command & 4)) 0 "its bus mastering is cleared with the pin"

take vfio-pci
copies "on VFIO" from-uio
release "$EDU"
modprobe -r vfio-pci uio_pci_generic
rmmod flatiommu
is "$(iommus)" "$before" "nothing is left"
done_testing
