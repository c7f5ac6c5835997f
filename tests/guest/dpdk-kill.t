#!/bin/bash
# testpmd on vfio-pci is killed while it forwards a flood of packets.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"

driver=vfio-pci
testpmd=(dpdk-testpmd --iova-mode=pa)
. "${0%/*}/kill.sh"
