#!/bin/bash
# DPDK as Debian packages it: binds by its own tool and by driverctl, packets between the cards of three makers,
# pinned memory, interrupts. On the kernel's command line packets=N and starts=N make it longer, and full=1 is the
# full length (make check-peers).
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"

packets=$(parameter packets 20000 1000000)
starts=$(parameter starts 1 20)
before=$(iommus)
pinned=$(pins)
insmod "$MODULE"
modprobe vfio-pci
huge_pages 64

for device in "$NIC" "$NIC_PEER"; do
	succeeds "driverctl binds $device" driverctl --nosave set-override "$device" vfio-pci
done
succeeds "dpdk-devbind binds virtio-net and vmxnet3" \
	dpdk-devbind.py -b vfio-pci "$VIRTIO" "$VIRTIO_PEER" "$VMXNET3" "$VMXNET3_PEER"
is "$(dpdk-devbind.py --status-dev net | grep -c 'drv=vfio-pci')" 6 "and finds all of them bound"

diag "virtual addresses"
log_mark
timeout -s INT -k 10 100 dpdk-testpmd -l 0,1 -a "$NIC" -m 64 --no-telemetry -- --no-mlockall --auto-start \
	--forward-mode=txonly --stats-period=1 >/tmp/testpmd 2>&1 </dev/null &
pid=$!
refused_va() {
	flat_log | grep -q -e '--iova-mode=pa'
}
succeeds "of its own accord testpmd is refused, and the log has the cure" until_true 90 refused_va
until_true 30 grep -q 'No probed ethernet devices\|Bye' /tmp/testpmd
like "$(</tmp/testpmd)" "Selected IOVA mode 'VA'.*Cannot assign requested address.*No probed ethernet devices" \
	"it has no port then"
kill -INT $pid
wait
is "$(pins)" "$pinned" "and nothing is pinned"
unlike "$(</tmp/testpmd)" "TX-packets: [1-9]" "nothing was sent"

# for the first start: what the kernel, DPDK and the command say of it
meanwhile() {
	local pages map block
	pages=$(awk '/rtemap_/ { huge = 1 } huge && /^(Shared|Private)_Hugetlb:/ { n += $2 }
		/^VmFlags:/ { huge = 0 } END { print n / 4 }' "/proc/$1/smaps")
	isnt "$pages" 0 "it has huge pages"
	is $(($(pins) - pinned)) "$pages" "the kernel has counted a pin for each page of them"
	is $(($(awk '/^VmLck/ { print $2 }' "/proc/$1/status") / 4)) "$pages" "and locked them"
	is "$(flatiommu --json status | jq -r ".processes[] | select(.pid == $1) | .locked")" $((pages * 4096)) \
		"and the command says so"
	# a request to move all of the memory that one of its huge pages is in
	read -r map _ < <(grep rtemap_ "/proc/$1/maps")
	map=$(flatiommu --json addresses "$1" "0x${map%-*}" 2M | jq -r '.segments[0].address')
	block=/sys/devices/system/memory/memory$((map / 0x$(</sys/devices/system/memory/block_size_bytes)))
	timeout -s INT 3 bash -c "echo offline >$block/state" 2>/dev/null
	is "$(<"$block/state")" online "memory that is pinned does not move"
	(
		while [[ -e /proc/$1/fd/0 ]]; do
			echo 1 >/proc/sys/vm/compact_memory
			sleep 0.5
		done
	) &
}
for ((i = 1; i <= starts; i++)); do
	# from cold: no huge page of the last start is used again
	rm -rf /run/dpdk /hugepages/rtemap_*
	wired "e1000e, start $i" "$NIC" "$NIC_PEER" "$packets" dpdk-testpmd --iova-mode=pa
	unset -f meanwhile
	is "$(pins)" "$pinned" "e1000e, start $i: nothing stays pinned"
done
# link_events: that testpmd has told of
link_events() {
	(($(grep -c 'Port 0: link state change event' /tmp/testpmd) >= $1))
}
afterwards() {
	local events interrupts
	events=$(grep -c 'Port 0: link state change event' /tmp/testpmd)
	interrupts=$(vectors "$VIRTIO")
	qmp '{"execute": "set_link", "arguments": {"name": "net0e.0", "up": false}}' >/dev/null
	succeeds "the card's interrupt tells that its cable is out" until_true 30 link_events $((events + 1))
	isnt "$(vectors "$VIRTIO")" "$interrupts" "it is MSI-X"
	qmp '{"execute": "set_link", "arguments": {"name": "net0e.0", "up": true}}' >/dev/null
}
# this one chooses physical addresses by itself
wired virtio-net "$VIRTIO" "$VIRTIO_PEER" "$packets" flatiommu run -- dpdk-testpmd
unset -f afterwards
wired vmxnet3 "$VMXNET3" "$VMXNET3_PEER" "$packets" dpdk-testpmd --iova-mode=pa

# asleep: each frame wakes it by an MSI-X vector of the queue. Not on e1000e: DPDK leaves it to the reset value of
# a register which vector its queue has, and QEMU's has none there.
sleeper() {
	local name=$1
	timeout 120 rx-interrupt --iova-mode=pa -l 0 -a "$2" -a "$3" -m 32 --no-telemetry -- 200 >/tmp/sleeper 2>&1 &
	until_true 110 gone $!
	wait $!
	like "$(</tmp/sleeper)" "200 sent, 0 early, 200 woken, 200 good" "$name: an interrupt for each frame"
}
sleeper virtio-net "$VIRTIO" "$VIRTIO_PEER"
sleeper vmxnet3 "$VMXNET3" "$VMXNET3_PEER"

diag "the way back"
for device in "$NIC" "$NIC_PEER"; do
	succeeds "driverctl gives $device back" driverctl --nosave unset-override "$device"
	is "$(driver_of "$device")" e1000e "to its driver"
done
succeeds "dpdk-devbind gives virtio-net back" dpdk-devbind.py -b virtio-pci "$VIRTIO" "$VIRTIO_PEER"
succeeds "and unbinds vmxnet3" dpdk-devbind.py -u "$VMXNET3" "$VMXNET3_PEER"
for device in "$NIC" "$NIC_PEER" "$VIRTIO" "$VIRTIO_PEER" "$VMXNET3" "$VMXNET3_PEER"; do
	release "$device"
done
rm -rf /run/dpdk /hugepages/rtemap_*
huge_pages 0
modprobe -r vfio-pci
rmmod flatiommu
is "$(iommus)" "$before" "nothing is left"
done_testing
