#!/bin/bash
# DPDK as Debian packages it, behind an IOMMU, started by flatiommu run --fault: it chooses physical addresses, as it does
# without an IOMMU, its packets arrive, and none of its accesses is a fault.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"

packets=$(parameter packets 5000 100000)
modprobe vfio-pci
huge_pages 64
succeeds "the cards are bound" flatiommu bind "$NIC" "$NIC_PEER"
isnt "$(group_of "$NIC")" '' "they have groups"
rm -rf /run/dpdk /hugepages/rtemap_*
wired "vfio-pci" "$NIC" "$NIC_PEER" "$packets" flatiommu run --fault -- dpdk-testpmd
is "$(grep 'flatiommu: ' /tmp/testpmd)" '' "no fault is told"
is "$(ls /tmp/flatiommu-fault.* 2>/dev/null)" '' "no file is left"
rm -rf /run/dpdk /hugepages/rtemap_*
huge_pages 0
succeeds "the cards are given back" flatiommu unbind "$NIC" "$NIC_PEER"
done_testing
