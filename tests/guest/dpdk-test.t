#!/bin/bash
# DPDK's own tests, as Debian packages them, of code that uses memory for devices, with two cards on flatiommu.
# doc/dpdk.md says why the others are left out.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"

suites=(memory memzone mempool mbuf external_mem ring_pmd)
# these take long
in_full=(malloc func_reentrancy multiprocess eal_flags_mem eal_flags_file_prefix pdump pmd_perf)
(($(parameter full 0 0))) && suites+=("${in_full[@]}")
before=$(iommus)
pinned=$(pins)
insmod "$MODULE"
modprobe vfio-pci
huge_pages 256
succeeds "dpdk-devbind binds both cards" dpdk-devbind.py -b vfio-pci "$NIC" "$NIC_PEER"

for suite in "${suites[@]}"; do
	DPDK_TEST=${suite}_autotest timeout -k 10 300 dpdk-test --iova-mode=pa -l 0,1 -a "$NIC" -a "$NIC_PEER" -m 128 \
		>/tmp/suite 2>&1 </dev/null
	is "$?" 0 "$suite passes"
	like "$(</tmp/suite)" "Selected IOVA mode 'PA'.*Using IOMMU type 1.*Test OK" "$suite has the cards"
	rm -rf /run/dpdk /hugepages/*map_*
	is "$(pins)" "$pinned" "$suite leaves no pin"
done

for device in "$NIC" "$NIC_PEER"; do
	release "$device"
done
huge_pages 0
modprobe -r vfio-pci
rmmod flatiommu
is "$(iommus)" "$before" "nothing is left"
done_testing
