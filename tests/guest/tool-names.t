#!/bin/bash
# Names that last: links to VFIO's nodes by the functions' addresses, and what --persist has kept is for one kind of device.
. "${0%/*}/lib.sh"
export TERM=dumb

rules=/flatiommu/60-flatiommu.rules
bind_rules=/etc/udev/rules.d/99-flatiommu-bind.rules
unsafe=$(unsafe_interrupts)
echo N >"$unsafe"
mkdir /tmp/rules
cp /usr/lib/udev/rules.d/05-driverctl.rules /tmp/rules
start_udev "$rules" /tmp/rules/05-driverctl.rules

# links: which node each function has by its name
links() {
	local device directory=/dev/vfio
	has_groups || directory=/dev/vfio/devices
	udevadm settle
	for device in "$NIC" "$EDU"; do
		echo "$device $(readlink -f "$directory/by-path/pci-$device")"
	done
}

nodes() {
	local device
	for device in "$NIC" "$EDU"; do
		echo "$device $(node_of "$device")"
	done
}

diag "links"
flatiommu bind "$NIC" "$EDU" >/dev/null
is "$(links)" "$(nodes)" "each function has its node by its address"
before=$(nodes)
flatiommu unbind --all >/dev/null
udevadm settle
is "$(find /dev/vfio -name 'pci-*' 2>/dev/null)" '' "unbind takes the links away"
flatiommu bind "$EDU" "$NIC" >/dev/null
# a real IOMMU's groups are there from the start
[[ $FLATIOMMU_MACHINE == intel-iommu ]] || isnt "$(nodes)" "$before" "in another order the numbers are others"
is "$(links)" "$(nodes)" "and the names are the same"
if has_groups && [[ -e $(echo /dev/vfio/devices/vfio*) ]]; then
	is "$(readlink -f "/dev/vfio/devices/by-path/pci-$EDU")" \
		"/dev/vfio/devices/$(ls "/sys/bus/pci/devices/$EDU/vfio-dev")" "and so has what iommufd takes"
fi
flatiommu unbind --all >/dev/null

if [[ $FLATIOMMU_MACHINE == intel-iommu ]]; then
	flatiommu bind "$FN0" "$FN1" >/dev/null
	is "$(group_of "$FN0")" "$(group_of "$FN1")" "two functions share a group"
	udevadm settle
	for device in "$FN0" "$FN1"; do
		is "$(readlink -f "/dev/vfio/by-path/pci-$device")" "$(node_of "$device")" "$device has its node, too"
	done
	flatiommu unbind --all >/dev/null
	disk_of "$FN0" >/dev/null
fi

diag "--persist"
extra=/lib/modules/$(uname -r)/extra
mkdir "$extra"
cp "$MODULE" "$extra"
depmod
# of DEVICE KEY: in list's JSON
of() {
	said ".functions[0].$2" list "$1"
}

# wanted DEVICE: what driverctl binds as the device comes, as at boot
wanted() {
	udevadm control --reload
	udevadm test --action=add "/sys/bus/pci/devices/$1" 2>/dev/null | sed -n 's/^ *\(E: *\)\?SYSTEMD_WANTS=//p'
}

succeeds "bind --persist" flatiommu bind --persist "$EDU" "$NIC"
is "$(of "$EDU" persistent) $(of "$EDU" persistent_id)" "true 1234:11e8" "list has what it was"
like "$(flatiommu list "$EDU")" "\(bound at boot, as 1234:11e8\)" "as text, too"
like "$(</etc/modules-load.d/flatiommu-bind.conf)" "# $EDU 1234:11e8" "it is kept beside the address"
is "$(wanted "$EDU")" "driverctl@pci-$EDU.service" "driverctl is to bind it"
is "$(wanted "$TESTDEV")" '' "and no other"
is "$(said '[.checks[] | select(.check == "persist")] | length' doctor)" 0 "doctor has nothing to say"

diag "another device is there"
sed -i "s/0x11e8/0x11e9/" "$bind_rules"
sed -i "s/1234:11e8/1234:11e9/" /etc/modules-load.d/flatiommu-bind.conf
is "$(wanted "$EDU")" '' "driverctl leaves it alone"
is "$(wanted "$NIC")" "driverctl@pci-$NIC.service" "and not the others"
is "$(of "$EDU" persistent) $(of "$EDU" persistent_id)" "false 1234:11e9" "list has both"
like "$(flatiommu list "$EDU")" "\(not bound at boot, as it is not 1234:11e9\)" "as text, too"
like "$(flatiommu doctor)" \
	"warning +persist +$EDU: 1234:11e9 is to be bound at boot, and 1234:11e8 is there, which is left alone" \
	"doctor says so"
like "$(flatiommu doctor)" "> flatiommu unbind $EDU" "with what mends it"
succeeds "bound once more" flatiommu bind --persist "$EDU"
is "$(wanted "$EDU") $(of "$EDU" persistent_id)" "driverctl@pci-$EDU.service 1234:11e8" "it is this one that is kept"

diag "no device is there, and a vendor that differs"
cp /etc/driverctl.d/pci-"$EDU" /etc/driverctl.d/pci-0000:00:1e.7
echo "# 0000:00:1e.7 8086:10d3" >>/etc/modules-load.d/flatiommu-bind.conf
like "$(flatiommu doctor)" "warning +persist +0000:00:1e.7: 8086:10d3 is to be bound at boot, and nothing is there" \
	"doctor says so"
succeeds "what mends it does" eval "$(said '.checks[] | select(.check == "persist") | .cure' doctor)"
is "$(said '[.checks[] | select(.check == "persist")] | length' doctor)" 0 "and it is gone"
sed -i "/$NIC/s/0x8086/0x8087/" "$bind_rules"
is "$(wanted "$NIC")" '' "another vendor is left alone, too"

succeeds "unbind of one" flatiommu unbind "$NIC"
is "$(grep -c "$NIC" "$bind_rules") $(grep -c "$EDU" "$bind_rules")" "0 2" "takes its rules away, and leaves the others"
succeeds "unbind of all" flatiommu unbind --all
fails "takes the file away" test -e "$bind_rules"
is "$(cat /etc/driverctl.d/pci-* /etc/modules-load.d/flatiommu* /etc/modprobe.d/flatiommu* 2>/dev/null)" '' "and the others"
stop_udev
rm -r "$extra" /tmp/rules
depmod
# which had no driver as it was bound again
probe "$NIC"
echo Y >"$unsafe"
done_testing
