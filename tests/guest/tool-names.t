#!/bin/bash
# Stable names: links to VFIO's nodes by the functions' addresses, and --persist keeps the binding for one kind of
# device.
. "${0%/*}/lib.sh"
export TERM=dumb

rules=/flatiommu/60-flatiommu.rules
bind_rules=/etc/udev/rules.d/99-flatiommu-bind.rules
unsafe=$(unsafe_interrupts)
real=
! has_iommu || real=1
echo N >"$unsafe"

# links: which node each function has by its name
links() {
	local device directory=/dev/vfio
	has_groups || directory=/dev/vfio/devices
	[[ ! -e /run/udev/control ]] || udevadm settle
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

diag "links without udev"
flatiommu bind "$NIC" "$EDU" >/dev/null
is "$(links)" "$(nodes)" "each function has its node by its address"
flatiommu unbind "$NIC" >/dev/null
is "$(find /dev/vfio -name 'pci-*' 2>/dev/null | sort -u | sed 's,.*/pci-,,' | uniq)" "$EDU" "unbind takes one's link away"
flatiommu bind "$NIC" >/dev/null
is "$(links)" "$(nodes)" "bound again, it has its link"
flatiommu unbind --all >/dev/null
is "$(find /dev/vfio -name '*-*' 2>/dev/null)" '' "unbind takes all away"

diag "links by udev"
start_udev "$rules"
flatiommu bind "$NIC" "$EDU" >/dev/null
is "$(links)" "$(nodes)" "each function has its node by its address"
before=$(nodes)
flatiommu unbind --all >/dev/null
udevadm settle
is "$(find /dev/vfio -name 'pci-*' 2>/dev/null)" '' "unbind takes the links away"
flatiommu bind "$EDU" "$NIC" >/dev/null
# a real IOMMU's groups are there from the start
[[ -n $real ]] || isnt "$(nodes)" "$before" "in another order the numbers are others"
is "$(links)" "$(nodes)" "and the names are the same"
if has_groups && [[ -e $(echo /dev/vfio/devices/vfio*) ]]; then
	is "$(readlink -f "/dev/vfio/devices/by-path/pci-$EDU")" \
		"/dev/vfio/devices/$(ls "/sys/bus/pci/devices/$EDU/vfio-dev")" "and so has what iommufd takes"
fi
flatiommu unbind --all >/dev/null

if [[ -n $real ]]; then
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

# boot DEVICE...: as if after a reboot: no record, whatever driver wants it has it, and udev finds it there
boot() {
	local device
	rm -f /run/flatiommu/[m0-9]*
	for device; do
		[[ -z $(driver_of "$device") ]] || unbind "$device"
		override "$device" ''
		[[ -n $real || -z $(group_of "$device") ]] || echo "$device" >"$RELEASE"
		probe "$device"
		comes "$device"
	done
}

succeeds "bind --persist" flatiommu bind --persist "$EDU" "$NIC"
is "$(of "$EDU" persistent) $(of "$EDU" persistent_id)" "true 1234:11e8" "list has what it was"
like "$(flatiommu list "$EDU")" "\(bound at boot, as 1234:11e8\)" "as text, too"
boot "$EDU" "$NIC" "$TESTDEV"
is "$(driver_of "$EDU") $(driver_of "$NIC") $(driver_of "$TESTDEV")" "vfio-pci vfio-pci " "these are bound at boot, and no other"
is "$(links)" "$(nodes)" "and have their names"
is "$(said '[.checks[] | select(.check == "persist")] | length' doctor)" 0 "doctor has nothing to say"
exec 6<>"$(node_of "$EDU")"
comes "$EDU"
is "$(driver_of "$EDU")" vfio-pci "udev, asked again, leaves what is bound alone"
exec 6>&-

diag "another device is there"
sed -i "/$EDU/s/0x11e8/0x11e9/" "$bind_rules"
boot "$EDU" "$NIC"
is "$(driver_of "$EDU") $(driver_of "$NIC")" " vfio-pci" "it is left alone, and the other is not"
is "$(of "$EDU" persistent) $(of "$EDU" persistent_id)" "false 1234:11e9" "list has both"
like "$(flatiommu list "$EDU")" "\(not bound at boot, as it is not 1234:11e9\)" "as text, too"
like "$(flatiommu doctor)" \
	"warning +persist +$EDU: 1234:11e9 should be bound at boot, but 1234:11e8 is there, and is left alone" \
	"doctor says so"
like "$(flatiommu doctor)" "> flatiommu unbind $EDU" "with what mends it"
sed -i "/$NIC/s/0x8086/0x8087/" "$bind_rules"
boot "$NIC"
isnt "$(driver_of "$NIC")" vfio-pci "of another vendor, it is left alone, too"
succeeds "bound once more" flatiommu bind --persist "$EDU" "$NIC"
boot "$EDU" "$NIC"
is "$(driver_of "$EDU") $(driver_of "$NIC")" "vfio-pci vfio-pci" "it is these that are kept"
is "$(wc -l <"$bind_rules")" 3 "once each"

diag "one that is in use by then"
flatiommu bind --persist "$NVME" >/dev/null
rm -f "/run/flatiommu/$NVME"
# comes_with_driver: its driver has it before udev sees it, as in an initramfs
comes_with_driver() {
	unbind "$NVME"
	override "$NVME" ''
	[[ -n $real ]] || echo "$NVME" >"$RELEASE"
	probe "$NVME"
	disk=$(disk_of "$NVME")
	$1
	log_mark
	comes "$NVME"
}
in_use() {
	mkfs.ext4 -q -F "$disk"
	mkdir /tmp/disk
	mount "$disk" /tmp/disk
}
comes_with_driver in_use
is "$(driver_of "$NVME")" nvme "it stays with its driver"
is "$(xargs <"/sys/bus/pci/devices/$NVME/driver_override")" "(null)" "and has no override"
like "$(log_since)" "$NVME: not bound: ${disk##*/} is mounted at /tmp/disk" "the log says why"
like "$(flatiommu doctor)" "warning +persist +$NVME: 1b36:0010 should be bound at boot, but nvme has it; a device that is in use" \
	"and doctor that it is so"
fails "bind --check says it" flatiommu bind --check "$NVME"
umount /tmp/disk
rmdir /tmp/disk
like "$(flatiommu bind --check "$NVME")" "^warning: $NVME: ${disk##*/} has ext4: " "or what it would warn of"
is "$(said '.warnings | length' bind --check "$NVME")" 1 "also in JSON"
is "$(driver_of "$NVME")" nvme "and binds nothing"
comes_with_driver true
is "$(driver_of "$NVME")" vfio-pci "what is not in use is bound"
flatiommu unbind "$NVME" >/dev/null

if [[ -n $real ]]; then
	diag "two that share a group, and whose drivers have them"
	modprobe uio_pci_generic
	flatiommu bind --persist "$FN0" "$FN1" >/dev/null
	rm -f "/run/flatiommu/$FN0" "/run/flatiommu/$FN1"
	unbind "$FN0"
	unbind "$FN1"
	override "$FN1" uio_pci_generic
	probe "$FN1"
	probe "$FN0"
	disk_of "$FN0" >/dev/null
	comes "$FN0"
	comes "$FN1"
	is "$(driver_of "$FN0") $(driver_of "$FN1")" "vfio-pci vfio-pci" "both are bound"
	flatiommu unbind "$FN0" "$FN1" >/dev/null
	rmmod uio_pci_generic
fi

diag "no device is there"
sed -i "/$EDU/{p;s/$EDU/0000:00:1e.7/}" "$bind_rules"
like "$(flatiommu doctor)" "warning +persist +0000:00:1e.7: 1234:11e8 should be bound at boot, but there is no such function" \
	"doctor says so"
succeeds "what mends it does" eval "$(said '.checks[] | select(.check == "persist") | .cure' doctor)"
is "$(said '[.checks[] | select(.check == "persist")] | length' doctor)" 0 "and it is gone"

succeeds "unbind of one" flatiommu unbind "$NIC"
is "$(grep -c "$NIC" "$bind_rules") $(grep -c "$EDU" "$bind_rules")" "0 1" "takes its rule away, and leaves the other"
succeeds "unbind of all" flatiommu unbind --all
fails "takes the file away" test -e "$bind_rules"
is "$(cat /etc/modules-load.d/flatiommu* /etc/modprobe.d/flatiommu* 2>/dev/null)" '' "and the others"
stop_udev
rm -r "$extra"
depmod
# which had no driver as it was bound again
probe "$NIC"
# the rule has loaded it, of which no record tells
[[ ! -e /sys/module/flatiommu ]] || rmmod flatiommu
echo Y >"$unsafe"
done_testing
