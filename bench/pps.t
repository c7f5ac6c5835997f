#!/bin/bash
# Packets per second of testpmd between two e1000e, on flatiommu and, in turn, on uio_pci_generic. rounds=N on the
# kernel's command line is for more of them.
# shellcheck source=tests/guest/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/guest/peers.sh
. "${0%/*}/peers.sh"

SECONDS_EACH=10
rounds=$(parameter rounds 5 15)
insmod "$MODULE"
modprobe -a vfio-pci uio_pci_generic
huge_pages 64

# measure DRIVER: packets that both ports have received in a second
measure() {
	local pid
	dpdk-devbind.py --force -b "$1" "$NIC" "$NIC_PEER" >/dev/null
	rm -rf /run/dpdk /hugepages/rtemap_*
	dpdk-testpmd --iova-mode=pa -l 0,1 -a "$NIC" -a "$NIC_PEER" -m 64 --no-telemetry -- --no-mlockall \
		--total-num-mbufs=8192 --nb-cores=1 --tx-first --no-lsc-interrupt --stats-period=60 >/tmp/testpmd 2>&1 </dev/null &
	pid=$!
	until_true 120 grep -q 'Logical Core' /tmp/testpmd
	sleep $SECONDS_EACH
	kill -INT $pid
	wait $pid
	totals /tmp/testpmd | awk -v s=$SECONDS_EACH '$2 == "RX-packets:" { n += $3 } END { printf "%d\n", n / s }'
}

median() {
	sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

for ((i = 0; i < rounds; i++)); do
	measure vfio-pci >>/tmp/flatiommu
	measure uio_pci_generic >>/tmp/uio
done
flat=$(median </tmp/flatiommu) uio=$(median </tmp/uio)
diag "testpmd, packets a second, median of $rounds: $flat on flatiommu, $uio on uio_pci_generic: $((flat * 100 / uio)) %"
diag "flatiommu: $(sort -n /tmp/flatiommu | xargs); uio_pci_generic: $(sort -n /tmp/uio | xargs)"
((flat * 100 >= uio * 98))
is $? 0 "at least 0.98 of what it is on uio_pci_generic"
for device in "$NIC" "$NIC_PEER"; do
	release "$device"
done
rm -rf /run/dpdk /hugepages/rtemap_*
huge_pages 0
modprobe -r vfio-pci uio_pci_generic
rmmod flatiommu
done_testing
