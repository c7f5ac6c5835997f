#!/bin/bash
# DPDK as Debian packages it, in its default mode and without CAP_SYS_ADMIN, started by flatiommu run: on vfio-pci, and on
# uio_pci_generic, where only the answers of pagemap pin its memory.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"

packets=$(parameter packets 10000 1000000)
before=$(iommus)
pinned=$(pins)
modprobe vfio-pci
insmod "$MODULE"
huge_pages 64

# with what it takes, and nothing besides. No function: the process ID in the background would be that of a shell.
without_admin=(setpriv "--inh-caps=-all,+sys_rawio,+ipc_lock" "--bounding-set=-all,+sys_rawio,+ipc_lock")

# pages PID: of huge pages that it has mapped
pages() {
	awk '/rtemap_/ { huge = 1 } huge && /^(Shared|Private)_Hugetlb:/ { n += $2 }
		/^VmFlags:/ { huge = 0 } END { print n / 4 }' "/proc/$1/smaps"
}

# the pins that there are, in huge pages and a few: pagemap's, and as many pages of VFIO's as $vfio says
meanwhile() {
	local pid count
	pid=$(pidof dpdk-testpmd | tr ' ' '\n' | head -n 1)
	count=$(pages "$pid")
	isnt "$count" 0 "$driver: it has huge pages"
	is $((($(pins) - pinned) >= (vfio ? count : 0) + count / 512)) 1 "$driver: each is pinned by pagemap$( ((vfio)) && echo ', and by VFIO')"
	is $((($(pins) - pinned) <= (vfio ? count : 0) + count / 512 + 64)) 1 "$driver: and little else is"
}

# from cold: no huge page of the last start is used again
begin() {
	rm -rf /run/dpdk /hugepages/rtemap_*
}

driver=vfio-pci vfio=1
succeeds "dpdk-devbind binds to vfio-pci" dpdk-devbind.py -b vfio-pci "$NIC" "$NIC_PEER"
begin
wired "vfio-pci" "$NIC" "$NIC_PEER" "$packets" "${without_admin[@]}" flatiommu run -- dpdk-testpmd
is "$(pins)" "$pinned" "vfio-pci: nothing stays pinned"
for device in "$NIC" "$NIC_PEER"; do
	release "$device"
done

modprobe uio_pci_generic
driver=uio_pci_generic vfio=0
succeeds "dpdk-devbind binds to uio_pci_generic" dpdk-devbind.py -b uio_pci_generic "$NIC" "$NIC_PEER"
begin
wired "uio_pci_generic" "$NIC" "$NIC_PEER" "$packets" "${without_admin[@]}" flatiommu run -- dpdk-testpmd
is "$(pins)" "$pinned" "uio_pci_generic: nothing stays pinned"

for device in "$NIC" "$NIC_PEER"; do
	release "$device"
done
rm -rf /run/dpdk /hugepages/rtemap_*
huge_pages 0
modprobe -r vfio-pci uio_pci_generic
rmmod flatiommu
is "$(iommus)" "$before" "nothing is left"
done_testing
