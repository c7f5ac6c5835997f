#!/bin/bash
# DPDK and libflatiommu in one process, each with functions of its own: both work, whichever closes
# first, and the library cannot open a function that DPDK has.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"

before=$(iommus)
pinned=$(pins)
modprobe vfio-pci
insmod "$MODULE"
huge_pages 64
for device in "$NIC" "$NIC_PEER" "$EDU"; do
	override "$device" vfio-pci
	[[ -z $(driver_of "$device") ]] || unbind "$device"
	probe "$device"
done

# beside NAME COMMAND...: starts it with its options
beside() {
	local name=$1
	shift
	rm -rf /run/dpdk /hugepages/rtemap_*
	log_mark
	timeout 200 "$@" -l 0 -a "$NIC" -a "$NIC_PEER" -m 32 --no-telemetry -- "$EDU" "$NIC" 50 >/tmp/beside 2>/tmp/stderr </dev/null
	is "$?" 0 "$name: the program ends well"
	is "$(grep copies /tmp/beside)" "both: 50 frames, 50 copies
DPDK alone: 50 frames, 0 copies
both again: 50 frames, 50 copies
the library alone: 0 frames, 50 copies" "$name: all frames and copies are right, together and alone"
	like "$(</tmp/beside)" "backend: flatiommu-type1" "$name: the library has a container of its own"
	like "$(</tmp/beside)" "port: EBUSY: $NIC.*this program has it open already" "$name: DPDK's function is not for the library, which says why"
	diag "$(grep port: /tmp/beside)"
	is "$(flat_log | grep refused)" '' "$name: no map is refused"
	is "$(pins)" "$pinned" "$name: nothing stays pinned"
	((!_failed)) || diag "$(tail -n 20 /tmp/stderr)"
}
beside "physical addresses by option" beside --iova-mode=pa
beside "flatiommu run" flatiommu run -- "$(command -v beside)"

for device in "$NIC" "$NIC_PEER" "$EDU"; do
	release "$device"
done
rm -rf /run/dpdk /hugepages/rtemap_*
huge_pages 0
modprobe -r vfio-pci
rmmod flatiommu
is "$(iommus)" "$before" "nothing is left"
done_testing
