#!/bin/bash
# On a machine without problems doctor prints only ok; and the lines of devices show each of their states.
. "${0%/*}/lib.sh"
. "${0%/*}/doctor.sh"
. "${0%/*}/overlay.sh"
export TERM=dumb

huge=/sys/kernel/mm/hugepages
doctor=(flatiommu --json doctor)

# of CHECK DEVICE: the state and the text
of() {
	line "$1" . "${doctor[@]}" "$2" | jq -r '.state + " " + .text'
}

# instead DEVICE FILE TEXT: sysfs says TEXT
instead() {
	printf '%s\n' "$3" >/tmp/instead
	mount --bind /tmp/instead "/sys/bus/pci/devices/$1/$2"
}

as_before() {
	umount "/sys/bus/pci/devices/$1/$2"
}

diag "all is well"
disk_of "$NVME" >/dev/null
flatiommu bind "$NVME" "$NIC" >/dev/null
policy=/sys/module/flatiommu/parameters/on_unmap
[[ ! -e $policy ]] || echo hold >$policy
if [[ $(<$huge/hugepages-1048576kB/nr_hugepages) != 0 ]]; then
	mkdir /tmp/huge1G
	mount -t hugetlbfs -o pagesize=1G hugetlbfs /tmp/huge1G
fi
if [[ $FLATIOMMU_MACHINE == movable ]]; then
	echo 1 >/proc/sys/vm/nr_hugepages
	is "$(line hugepages ZONE_MOVABLE "${doctor[@]}" | jq -r .state)" warning "a huge page in ZONE_MOVABLE is a warning"
	is "$(line hugepages ZONE_MOVABLE as_nobody "${doctor[@]}" | jq -r .state)" unseen "which only root sees"
	like "$(line hugepages ZONE_MOVABLE "${doctor[@]}" | jq -r .text)" "without movablecore= or kernelcore= .* there is no such zone" \
		"the command line has made the zone"
	echo quiet >/tmp/instead
	mount --bind /tmp/instead /proc/cmdline
	like "$(line hugepages ZONE_MOVABLE "${doctor[@]}" | jq -r '.text + "; " + .cure')" \
		"memory that is plugged in later stays out of it; echo online_kernel >/sys/devices/system/memory/auto_online_blocks" \
		"or memory that was plugged in"
	umount /proc/cmdline
	# from where it moves as it is pinned
	flatiommu doctor --run "$NVME" >/dev/null
else
	echo 16 >/proc/sys/vm/nr_hugepages
fi
"${doctor[@]}" "$NVME" "$NIC" >/tmp/said
is "$?" 0 "doctor has nothing to say"
is "$(jq -r '.checks[] | select(.state != "ok") | .check + ": " + .text' /tmp/said)" '' "and every line is ok"
is "$(jq -r .worst /tmp/said)" ok "as is the sum"
if [[ -n $(jq '.checks[] | select(.check == "hold")' /tmp/said) ]]; then
	echo free >$policy
	"${doctor[@]}" >/tmp/noted
	is "$? $(jq -r .worst /tmp/noted)" "0 ok" "a recommendation does not change that"
	is "$(jq -r '.checks[] | select(.state != "ok") | .check + " " + .state' /tmp/noted)" "hold note" "it is a line of its own"
fi
diag "$(jq -r '.checks[] | .check + ": " + .text' /tmp/said)"
[[ ! -e /tmp/huge1G ]] || {
	umount /tmp/huge1G
	rmdir /tmp/huge1G
}
echo 0 >/proc/sys/vm/nr_hugepages

diag "lines of devices"
like "$(of bars "$NIC")" "^ok 0: 128 KiB, 1: 128 KiB, 2: 32 bytes of ports" "ports are counted in bytes"
like "$(of bars "$SHM")" "2: 4 MiB prefetchable" "memory that is prefetchable is said"
instead "$NIC" resource ''
like "$(of bars "$NIC")" "^ok none\$" "or that there are none"
as_before "$NIC" resource
instead "$NIC" resource "0x00000000febc0000 0x00000000febdffff 0x0000000020040200"
like "$(of bars "$NIC")" "^problem BAR 0 has no address" "a BAR without an address is a problem"
as_before "$NIC" resource
like "$(of reset "$NVME")" "^ok .*flr" "how it is reset"
instead "$NVME" reset_method ''
like "$(of reset "$NVME")" "^warning it has no reset of its own" "or that it is not"
as_before "$NVME" reset_method
like "$(of power "$NVME")" "^ok D" "its power"
instead "$NVME" power_state error
like "$(of power "$NVME")" "^problem error" "or that it has none"
as_before "$NVME" power_state
like "$(of vectors "$NIC")" "^ok MSI-X 5, MSI 1, INTx yes" "its vectors"
like "$(as_nobody flatiommu doctor "$NVME")" "unseen +vectors" "what only root sees"
like "$(as_nobody flatiommu doctor "$NVME")" "unseen +open +only root can see whether others have it open" "also of programs"
like "$(of driver "$NVME")" "^ok vfio-pci\$" "its driver"
node=$(node_of "$NVME")
like "$(of node "$NVME")" "^ok $node" "its node"
# within /dev: the kernel removes a node with the device only if it has made that node itself
mv "$node" "$node-away"
like "$(of node "$NVME")" "^problem $node is not there" "or that there is none"
mv "$node-away" "$node"
is "$(line open . "${doctor[@]}" "$NVME")" null "nobody has it open"
function=$(readlink -f "/sys/bus/pci/devices/$NVME")
group=$(group_of "$NVME")
less iommu_group
less vfio-dev
like "$(over "$function" of node "$NVME")" "^problem VFIO has made none: the kernel log says why" "or that VFIO has made none"
if [[ $FLATIOMMU_MACHINE != *-iommu ]]; then
	like "$(of group "$NVME")" "^ok $group, of flatiommu: bus addresses, no isolation\$" "its group"
	# as on kernels that have VFIO's no-IOMMU mode without iommufd
	noiommu() {
		mkdir -p "/tmp/more/vfio/noiommu-$group"
		less "iommu/$(basename "/sys/class/iommu/"*"$NVME")"
		over /sys/class "$@"
	}
	less iommu
	like "$(over "$function" noiommu of group "$NVME")" "^warning $group, of VFIO's no-IOMMU mode: it pins nothing\$" \
		"or that it is one that pins nothing"
	less iommu
	like "$(over "$function" noiommu line iommu "no-IOMMU mode" "${doctor[@]}" | jq -r '.state + " " + .text')" \
		"^warning 1 functions are in VFIO's no-IOMMU mode, where groups pin nothing\$" "which is said of the machine, too"
fi
flatiommu unbind --all >/dev/null
disk_of "$NVME" >/dev/null
done_testing
