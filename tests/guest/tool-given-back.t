#!/bin/bash
# A function that flatiommu bind has bound, and another tool has changed since: status reports the change, and unbind
# undoes the rest, the claim included.
. "${0%/*}/lib.sh"
export TERM=dumb

echo Y >"$(unsafe_interrupts)"
modprobe -q uio_pci_generic
flatiommu bind "$NVME" "$EDU" >/dev/null
flatiommu unbind --all >/dev/null
disk_of "$NVME" >/dev/null
before=$(iommus)

# status_of DEVICE: what status says below its line
status_of() {
	flatiommu status | sed -n "/^  $1/{n;/^    /p}"
}

# put_back NAME DEVICE DRIVER: unbind does it all
put_back() {
	local output status=0
	output=$(flatiommu unbind "$2" 2>&1) || status=$?
	is "$status" 0 "$1: unbind"
	((!status)) || diag "$output"
	is "$(driver_of "$2")" "$3" "$1: its driver is $3"
	is "$(iommus)" "$before" "$1: no claim is left"
	is "$(<"/sys/bus/pci/devices/$2/driver_override")" "(null)" "$1: no override is left"
	is "$(cat /run/flatiommu/[m0-9]* 2>/dev/null)" '' "$1: and no record"
	like "$(flatiommu unbind "$2")" "nothing to put back" "$1: once more there is nothing to do"
}

# give DEVICE DRIVER: as dpdk-devbind does it
give() {
	unbind "$1"
	echo "$1" >"/sys/bus/pci/drivers/$2/bind"
}

diag "driver_override"
flatiommu bind "$NVME" >/dev/null
is "$(<"/sys/bus/pci/devices/$NVME/driver_override")" "(null)" "bind leaves none"
put_back "undisturbed" "$NVME" nvme
override "$NVME" none
flatiommu bind "$NVME" >/dev/null
is "$(driver_of "$NVME") $(<"/sys/bus/pci/devices/$NVME/driver_override")" "vfio-pci none" "bind leaves that which there was"
override "$NVME" ''
succeeds "one that was taken back since" flatiommu unbind "$NVME"
is "$(driver_of "$NVME") $(<"/sys/bus/pci/devices/$NVME/driver_override")" "nvme none" "is as it was before bind"
override "$NVME" ''

diag "given back by name"
flatiommu bind "$NVME" >/dev/null
give "$NVME" nvme
like "$(status_of "$NVME")" "another tool has given it to nvme; it had nvme: flatiommu unbind $NVME" "status says so"
is "$(said '.functions[0] | [.given_away, .driver, .iommu] | tojson' status)" '[true,"nvme","flatiommu"]' "in JSON, too"
put_back "given back by name" "$NVME" nvme

diag "given back by whoever wants it, its disk mounted since"
flatiommu bind "$NVME" >/dev/null
unbind "$NVME"
probe "$NVME"
disk=$(disk_of "$NVME")
mkfs.ext4 -q "$disk"
mkdir /tmp/disk
mount "$disk" /tmp/disk
output=$(flatiommu unbind "$NVME" 2>&1)
is "$?" 1 "a mounted disk is not taken away"
like "$output" "$NVME: not released: .* is mounted at /tmp/disk; try: umount /tmp/disk" "unbind says so"
output=$(flatiommu unbind --all 2>&1)
is "$? $(driver_of "$NVME")" "1 nvme" "and so it is with --all"
succeeds "nothing has become of the disk" touch /tmp/disk/file
umount /tmp/disk
rmdir /tmp/disk
dd if=/dev/zero of="$disk" bs=4k count=16 status=none
put_back "unmounted" "$NVME" nvme

diag "driverctl"
flatiommu bind "$NVME" >/dev/null
driverctl --nosave set-override "$NVME" vfio-pci
driverctl --nosave unset-override "$NVME"
is "$(driver_of "$NVME")" nvme "driverctl gives it back"
put_back "driverctl" "$NVME" nvme

diag "taken from vfio-pci, and no more"
flatiommu bind "$NVME" >/dev/null
unbind "$NVME"
like "$(status_of "$NVME")" "interrupted; it had nvme" "status says that it is half done"
put_back "taken from vfio-pci" "$NVME" nvme

diag "given to uio_pci_generic"
flatiommu bind "$NVME" >/dev/null
override "$NVME" uio_pci_generic
give "$NVME" uio_pci_generic
like "$(status_of "$NVME")" "another tool has given it to uio_pci_generic; it had nvme" "status says so"
exec 5<>/dev/"$(ls "/sys/bus/pci/devices/$NVME/uio")"
like "$(flatiommu unbind "$NVME" 2>&1)" "$NVME: open by" "what is open is not taken away"
exec 5>&-
put_back "given to uio_pci_generic" "$NVME" nvme

diag "what had no driver is given to one"
flatiommu bind "$EDU" >/dev/null
override "$EDU" uio_pci_generic
give "$EDU" uio_pci_generic
output=$(flatiommu unbind "$EDU")
is "$(driver_of "$EDU")" uio_pci_generic "it keeps what another tool has given it"
is "$(iommus)" "$before" "but not the claim"
unbind "$EDU"
override "$EDU" ''

diag "released by hand"
flatiommu bind "$NVME" >/dev/null
unbind "$NVME"
echo "$NVME" >"$RELEASE"
put_back "released by hand" "$NVME" nvme

diag "vfio-pci unloaded and loaded"
flatiommu bind "$NVME" >/dev/null
unbind "$NVME"
rmmod vfio_pci
modprobe vfio-pci
put_back "vfio-pci unloaded and loaded" "$NVME" nvme

diag "removed, and found again"
flatiommu bind "$NVME" >/dev/null
echo 1 >"/sys/bus/pci/devices/$NVME/remove"
like "$(flatiommu status)" "$NVME +was bound, and is gone" "status says that it is gone"
echo 1 >/sys/bus/pci/rescan
disk_of "$NVME" >/dev/null
put_back "removed, and found again" "$NVME" nvme
disk_of "$NVME" >/dev/null

diag "no record"
flatiommu bind "$NVME" >/dev/null
rm -f /run/flatiommu/[m0-9]*
give "$NVME" nvme
succeeds "unbind of what is claimed and has its driver" flatiommu unbind "$NVME"
is "$(driver_of "$NVME")" nvme "it has its driver"
is "$(iommus)" "$before" "and no claim"

diag "an interface with another name"
if [[ -n $(driver_of "$NIC") ]]; then
	interface=$(interface_of "$NIC")
	flatiommu bind "$interface" >/dev/null
	give "$NIC" e1000e
	ip link set "$(interface_of "$NIC")" name other0
	succeeds "unbind by its new name" flatiommu unbind other0
	is "$(driver_of "$NIC")" e1000e "it has its driver"
	is "$(iommus)" "$before" "and no claim"
	flatiommu unbind --all >/dev/null
	ip link set "$(interface_of "$NIC")" name "$interface" 2>/dev/null
fi

flatiommu unbind --all >/dev/null
modprobe -r vfio-pci uio_pci_generic
[[ ! -e /sys/module/flatiommu ]] || rmmod flatiommu
done_testing
