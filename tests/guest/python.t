#!/bin/bash
# Python drives a device through the library: registers, memory, interrupts with asyncio, peers.
# Calls that fail say why.
. "${0%/*}/lib.sh"

here=${0%/*}
export LD_LIBRARY_PATH=$here/../lib PYTHONPATH=$here/../python PYTHONDONTWRITEBYTECODE=1
cases=(enumerates maps_registers cuts_no_numbers reads_config_space says_why has_buffers keeps_memory_until_stopped has_pools has_peers
	has_interrupts leaks_no_files monitors)

modprobe vfio-pci
insmod "$MODULE"
unsafe=$(unsafe_interrupts)
before=$(<"$unsafe")
echo 1 >"$unsafe"
for device in "$EDU" "$TESTDEV" "$SHM"; do
	echo "$device" >"$CLAIM"
	override "$device" vfio-pci
	probe "$device"
done

for case in "${cases[@]}"; do
	succeeds "python: $case" python3 "$here/python/cases.py" "$case" "$EDU" "$TESTDEV" "$SHM" "$NVME"
done
is "$(python3 "$here/../bin/edu.py" "$EDU" 64 | grep -v ^backend)" 'id       0x10000ed
copied   2048 bytes, there and back' "python: examples/edu.py does what edu.c does"

for device in "$EDU" "$TESTDEV" "$SHM"; do
	unbind "$device"
	override "$device" ''
	echo "$device" >"$RELEASE"
done
rmmod flatiommu
echo "$before" >"$unsafe"
done_testing
