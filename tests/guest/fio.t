#!/bin/bash
# The kernel's nvme driver and fio read back what examples/nvme writes, and the other way round: blocks of mixed sizes
# in random order, each with its checksum. rounds=N on the kernel's command line makes it longer.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"

MIB=60
rounds=$(parameter rounds 1 20)
file=/tmp/disk

# run_fio FILE OPTION...
run_fio() {
	local on=$1
	shift
	fio --name=flatiommu --filename="$on" --size="${MIB}M" --rw=randwrite --iodepth=8 \
		--bssplit=512/20:4k/30:12k/10:64k/20:128k/10:1m/10 --verify=crc32c --verify_fatal=1 "$@"
}

# What fio writes is the same every time: what was there before has to go.
wiped() {
	blkdiscard -zf "$disk"
	fails "nothing is there before" fio_verifies "$disk" "${on_disk[@]}"
}

fio_writes() {
	run_fio "$@" --do_verify=0
}

fio_verifies() {
	run_fio "$@" --verify_only
}

on_disk=(--ioengine=libaio --direct=1)
before=$(iommus)
insmod "$MODULE"
modprobe vfio-pci
for ((round = 1; round <= rounds; round++)); do
	how=(--irq --qdepth $((1 << round % 8)))
	((round % 2)) || how[0]=--poll
	diag "round $round: nvme ${how[*]}"

	disk=$(disk_of "$NVME")
	wiped
	succeeds "fio writes through the kernel's driver" fio_writes "$disk" "${on_disk[@]}"
	driverctl --nosave set-override "$NVME" vfio-pci
	is "$(driver_of "$NVME")" vfio-pci "the disk is a process's"
	nvme "${how[@]}" "$NVME" read 0 $((MIB * 2048)) >$file
	is "$?" 0 "nvme reads it"
	succeeds "as fio wrote it" fio_verifies $file
	driverctl --nosave unset-override "$NVME"

	disk=$(disk_of "$NVME")
	wiped
	rm $file
	succeeds "fio writes a file" fio_writes $file
	driverctl --nosave set-override "$NVME" vfio-pci
	nvme "${how[@]}" "$NVME" write 0 <$file
	is "$?" 0 "nvme writes it to the disk"
	driverctl --nosave unset-override "$NVME"
	disk=$(disk_of "$NVME")
	succeeds "where fio finds it, through the kernel's driver" fio_verifies "$disk" "${on_disk[@]}"
	rm $file
done
# a byte
printf '\x01' | dd of="$disk" bs=1 seek=$((MIB * 1024 * 512 + 77)) conv=notrunc,fsync status=none
fails "fio finds a byte that is changed" fio_verifies "$disk" "${on_disk[@]}"
unbind "$NVME"
release "$NVME"
modprobe -r vfio-pci
rmmod flatiommu
is "$(iommus)" "$before" "nothing is left"
disk_of "$NVME" >/dev/null
done_testing
