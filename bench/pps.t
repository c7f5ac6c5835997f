#!/bin/bash
# Packets per second of testpmd between two e1000e, on flatiommu (or behind the IOMMU of the machine peers-iommu) and on
# uio_pci_generic, in turns. For uio_pci_generic the IOMMU must pass DMA through. rounds=N on the kernel's command line
# asks for more rounds. A clock of instructions gives an exact result, which the test judges. By time, the result depends on
# the builder's other work. Also what a testpmd costs that ends as soon as it has started.
# shellcheck source=tests/guest/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/guest/peers.sh
. "${0%/*}/peers.sh"

clock=time seconds=8 rounds=$(parameter rounds 5 15)
# a run has many instructions, and all runs are alike
[[ -z $FLATIOMMU_ICOUNT ]] || clock=instructions seconds=3 rounds=2
vfio=flatiommu mode=pa
if [[ $FLATIOMMU_MACHINE == peers-iommu ]]; then
	vfio=IOMMU mode=va
else
	insmod "$MODULE"
fi
modprobe -a vfio-pci uio_pci_generic
huge_pages 64

median() {
	sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# prepare DRIVER IOVA_MODE: binds the cards, and sets testpmd to the command
prepare() {
	dpdk-devbind.py --force -b "$1" "$NIC" "$NIC_PEER" >/dev/null
	rm -rf /run/dpdk /hugepages/rtemap_*
	testpmd=(dpdk-testpmd --iova-mode="$2" -l '0,1' -a "$NIC" -a "$NIC_PEER" -m 64 --no-telemetry -- --no-mlockall
		--total-num-mbufs=8192 --nb-cores=1 --no-lsc-interrupt)
}

# start DRIVER IOVA_MODE: prints the microseconds of a testpmd that starts, has no input, and ends
start() {
	local began
	prepare "$@"
	began=$EPOCHREALTIME
	"${testpmd[@]}" >/tmp/testpmd 2>&1 </dev/null || return
	echo $((${EPOCHREALTIME/./} - ${began/./}))
}

# measure DRIVER IOVA_MODE: prints the packets that a port receives in a second, the median of all seconds and both ports
measure() {
	local pid
	prepare "$@"
	"${testpmd[@]}" --tx-first --stats-period=1 >/tmp/testpmd 2>&1 </dev/null &
	pid=$!
	until_true 120 grep -q 'Logical Core' /tmp/testpmd
	sleep $seconds
	kill -INT $pid
	wait $pid
	awk '/Rx-pps:/ && $2 > 0 { print $2 }' /tmp/testpmd | median
}

for ((i = 0; i < rounds; i++)); do
	measure vfio-pci $mode >>/tmp/vfio
	start vfio-pci $mode >>/tmp/vfio.start
	measure uio_pci_generic pa >>/tmp/uio
	start uio_pci_generic pa >>/tmp/uio.start
done
is "$(cat /tmp/{vfio,uio}.start | wc -l)" $((2 * rounds)) "testpmd starts and ends"
diag "figure|dpdk-start|testpmd: $vfio|0|vfio|$(xargs </tmp/vfio.start)"
diag "figure|dpdk-start|testpmd: $vfio|0|uio_pci_generic|$(xargs </tmp/uio.start)"
diag "figure|pps|testpmd: $vfio|0|vfio|$(xargs </tmp/vfio)"
diag "figure|pps|testpmd: $vfio|0|uio_pci_generic|$(xargs </tmp/uio)"
flat=$(median </tmp/vfio) uio=$(median </tmp/uio)
diag "testpmd, packets a second of $clock, median of $rounds: $flat on $vfio, $uio on uio_pci_generic: $((flat * 1000 / uio)) per mille"
diag "$vfio: $(sort -n /tmp/vfio | xargs); uio_pci_generic: $(sort -n /tmp/uio | xargs)"
if [[ $clock == instructions ]]; then
	((flat * 100 >= uio * 98))
	is $? 0 "at least 0.98 of what it is on uio_pci_generic"
fi
if [[ $vfio == flatiommu ]]; then
	for device in "$NIC" "$NIC_PEER"; do
		release "$device"
	done
	rmmod flatiommu
fi
rm -rf /run/dpdk /hugepages/rtemap_*
huge_pages 0
modprobe -r vfio-pci uio_pci_generic
done_testing
