#!/bin/bash
# DPDK as Debian packages it, started by flatiommu run on uio_pci_generic, is killed while it sends: its cards are stopped, and
# nothing stays pinned.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"

kills=$(parameter kills 2 50)
before=$(iommus)
pinned=$(pins)
insmod "$MODULE"
modprobe uio_pci_generic
huge_pages 64

# with what it takes, and nothing besides. No function: the process ID in the background would be that of a shell.
without_admin=(setpriv "--inh-caps=-all,+sys_rawio,+ipc_lock" "--bounding-set=-all,+sys_rawio,+ipc_lock")

# from cold: no huge page of the last start is taken over
begin() {
	rm -rf /run/dpdk /hugepages/rtemap_*
}

succeeds "dpdk-devbind binds to uio_pci_generic" dpdk-devbind.py -b uio_pci_generic "$NIC" "$NIC_PEER"

# its memory is somebody else's at once, and the card has been stopped before
for ((i = 1; i <= kills; i++)); do
	begin
	: >/tmp/testpmd
	"${without_admin[@]}" flatiommu run -- dpdk-testpmd -l 0,1 -a "$NIC" -a "$NIC_PEER" -m 64 --no-telemetry -- \
		--no-mlockall --auto-start --forward-mode=txonly --total-num-mbufs=8192 --stats-period=1 \
		>/tmp/testpmd 2>&1 </dev/null &
	succeeds "kill $i: it sends" until_true 120 grep -qE "TX-packets: [1-9]" /tmp/testpmd
	pid=$(pidof dpdk-testpmd | tr ' ' '\n' | head -n 1)
	kill -KILL "$pid"
	until_true 30 gone "$pid"
	is "$(bus_master "$NIC") $(bus_master "$NIC_PEER")" "0 0" "kill $i: the cards are stopped"
	wait
	is "$(pins)" "$pinned" "kill $i: nothing stays pinned"
done 2>/dev/null
for device in "$NIC" "$NIC_PEER"; do
	release "$device"
done
rm -rf /run/dpdk /hugepages/rtemap_*
huge_pages 0
modprobe -r uio_pci_generic
rmmod flatiommu
is "$(iommus)" "$before" "nothing is left"
done_testing
