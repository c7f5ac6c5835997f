#!/bin/bash
# libvfn chooses its IOVAs itself, from 64 KiB on: its maps are refused, with the reason, and it
# ends cleanly. vfntool binds and gives back.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"
. "${0%/*}/source.sh"
source_of libvfn FLATIOMMU_LIBVFN

before=$(iommus)
pinned=$(pins)
modprobe vfio-pci
insmod "$MODULE"
succeeds "vfntool binds" "$source/vfntool" -d "$NVME"
is "$(driver_of "$NVME")" vfio-pci "to vfio-pci"
is "$(cat "/sys/kernel/iommu_groups/$(group_of "$NVME")/name")" flatiommu "which claims the function"
for program in identify regs; do
	log_mark
	status=0
	output=$(timeout 60 "$source/$program" -d "$NVME" 2>&1 </dev/null) || status=$?
	is "$status" 1 "$program: it fails"
	like "$output" "Cannot assign requested address" "$program: it says why"
	like "$(flat_log)" "$NVME: $program.* is refused a map of [0-9]+ bytes: another page is at that address; if the program chose the IOVA, declare" \
		"$program: the log names both causes"
	is "$(pins)" "$pinned" "$program: nothing stays pinned"
done
like "$(said '.refusals[].cure' status | head -n 1)" "^chosen by the program: declare" "status has the cure"
like "$(nvme "$NVME" identify)" "flat0" "the disk works for the next one"
succeeds "vfntool gives it back" "$source/vfntool" -d "$NVME" -t nvme
is "$(driver_of "$NVME")" nvme "to its driver"
release "$NVME"
modprobe -r vfio-pci
rmmod flatiommu
is "$(iommus)" "$before" "nothing is left"
done_testing
