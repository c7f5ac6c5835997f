#!/bin/bash
# The DPDK of later Debians, each in a root directory with its own C library: started by flatiommu
# run, it chooses physical addresses, and packets arrive. Without run its maps are refused, and the
# log says why. dpdk-devbind needs a first claim.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"

packets=$(parameter packets 5000 100000)
before=$(iommus)
pinned=$(pins)
root=/tmp/root
rm -rf /run/dpdk
insmod "$MODULE"
modprobe vfio-pci
huge_pages 64

# enter DISK: mounts it, and from the machine what its programs need
enter() {
	local dir
	mkdir -p $root
	mount -o ro "$1" $root
	for dir in dev hugepages run tmp flatiommu; do
		mount --bind /$dir $root/$dir
	done
	mount -t proc proc $root/proc
	mount -t sysfs sysfs $root/sys
}

leave() {
	umount $root/{dev,hugepages,run,tmp,proc,sys} $root
}

# bound EXPECTED DEVICE...: they have this driver
bound() {
	local expected=$1 device
	shift
	for device; do
		is "$(driver_of "$device")" "$expected" "$suite: $device has the driver ${expected:-none}"
	done
}

# cold: no huge page of the last start is used again
cold() {
	rm -rf /run/dpdk /hugepages/rtemap_*
}

# ended NAME: the program $pid, in which nothing stays pinned
ended() {
	kill -INT $pid
	until_true 60 gone $pid || kill -KILL $pid
	wait $pid 2>/dev/null
	is "$(pins)" "$pinned" "$1: nothing stays pinned"
}

# devbind DRIVER DEVICE...
devbind() {
	chroot $root dpdk-devbind.py -b "$@"
}

one_suite() {
	local output status=0 device

	diag "$suite: dpdk-devbind"
	output=$(devbind vfio-pci "$VIRTIO" 2>&1) || status=$?
	is "$status" 1 "$suite: dpdk-devbind does not bind to vfio-pci before the first claim"
	like "$output" "[Nn]o-IOMMU|enable_unsafe_noiommu_mode" "$suite: because it sees no IOMMU"
	is "$(group_of "$VIRTIO")" '' "$suite: nothing is claimed"
	succeeds "$suite: flatiommu binds the first one" flatiommu bind "$NIC"
	succeeds "$suite: now dpdk-devbind binds" devbind vfio-pci "$NIC_PEER" "$VIRTIO" "$VIRTIO_PEER"
	for device in "$NIC" "$NIC_PEER" "$VIRTIO" "$VIRTIO_PEER"; do
		is "$(driver_of "$device") $(cat "/sys/kernel/iommu_groups/$(group_of "$device")/name")" "vfio-pci flatiommu" \
			"$suite: $device is claimed"
	done
	is "$(chroot $root dpdk-devbind.py --status-dev net | grep -c 'drv=vfio-pci')" 4 \
		"$suite: and it finds all of them bound"

	diag "$suite: virtual addresses"
	cold
	log_mark
	: >/tmp/testpmd
	timeout -s INT -k 10 300 chroot $root dpdk-testpmd -v -l 0,1 -a "$NIC" -m 64 --no-telemetry -- --no-mlockall \
		--auto-start --forward-mode=txonly --stats-period=1 >/tmp/testpmd 2>&1 </dev/null &
	pid=$!
	until_true 200 grep -q 'No probed ethernet devices\|TX-packets: [1-9]\|Cannot init EAL' /tmp/testpmd
	diag "$(grep -o 'DPDK.*' /tmp/testpmd | head -n 1), $(chroot $root /usr/lib/x86_64-linux-gnu/libc.so.6 | head -n 1)"
	like "$(</tmp/testpmd)" "Version: 'DPDK ${versions[$suite]}" "$suite: it is DPDK ${versions[$suite]}"
	like "$(</tmp/testpmd)" "Selected IOVA mode 'VA'.*Cannot assign requested address.*No probed ethernet devices" \
		"$suite: by itself it chooses virtual addresses, is refused, and has no port"
	like "$(flat_log)" "$NIC: dpdk-testpmd\[[0-9]+\] is refused a map of [0-9]+ bytes: the IOVA is a virtual address" \
		"$suite: the log has the cause"
	like "$(flat_log)" "--iova-mode=pa" "$suite: and the cure"
	ended "$suite, virtual addresses"

	diag "$suite: flatiommu run"
	cold
	log_mark
	# the library that run preloads is in /flatiommu
	wired "$suite, e1000e" "$NIC" "$NIC_PEER" "$packets" flatiommu run -- chroot $root dpdk-testpmd
	is "$(pins)" "$pinned" "$suite, e1000e: nothing stays pinned"
	umount $root/flatiommu
	cold
	wired "$suite, virtio-net, without the library" "$VIRTIO" "$VIRTIO_PEER" "$packets" \
		flatiommu run -- chroot $root dpdk-testpmd
	is "$(pins)" "$pinned" "$suite, virtio-net: nothing stays pinned"

	diag "$suite: a second process"
	cold
	: >/tmp/testpmd
	flatiommu run -- chroot $root dpdk-testpmd -l 0,1 -a "$NIC" -m 64 --no-telemetry -- --no-mlockall --auto-start \
		--total-num-mbufs=4096 --forward-mode=txonly --stats-period=1 >/tmp/testpmd 2>&1 </dev/null &
	pid=$!
	succeeds "$suite: the first one sends" until_true 120 grep -q 'TX-packets: [1-9]' /tmp/testpmd
	flatiommu run -- chroot $root dpdk-proc-info -a "$NIC" -- --xstats >/tmp/secondary 2>&1 </dev/null
	like "$(</tmp/secondary)" "tx_good_packets: [1-9]" "$suite: the second one sees its counters"
	is "$(grep -E '(error|crc)[a-z_]*: [1-9]' /tmp/secondary)" '' "$suite: none of them of an error"
	ended "$suite, two processes"
	is "$(flat_log | grep refused)" '' "$suite: no map is refused"

	diag "$suite: the way back"
	succeeds "$suite: dpdk-devbind gives back what flatiommu has bound" devbind e1000e "$NIC"
	succeeds "$suite: and what it has bound itself" devbind e1000e "$NIC_PEER"
	succeeds "$suite: of both kinds" devbind virtio-pci "$VIRTIO" "$VIRTIO_PEER"
	bound e1000e "$NIC" "$NIC_PEER"
	bound virtio-pci "$VIRTIO" "$VIRTIO_PEER"
	for device in "$NIC" "$NIC_PEER" "$VIRTIO" "$VIRTIO_PEER"; do
		release "$device"
	done
	cold
}

declare -A versions=([trixie]=24.11 [sid]=25.11)
for suite in trixie sid; do
	disk=$(grep -lx "$suite" /sys/block/vd*/serial)
	isnt "$disk" '' "$suite: there is a disk with its DPDK"
	disk=${disk%/serial}
	enter "/dev/${disk##*/}"
	one_suite
	leave
done
huge_pages 0
modprobe -r vfio-pci
rmmod flatiommu
is "$(iommus)" "$before" "nothing is left"
done_testing
