#!/bin/bash
# Linux's own selftests of VFIO, unmodified: devices, interrupts, resets and iommufd work. Maps of
# tests that choose IOVAs are refused.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"
. "${0%/*}/source.sh"
source_of selftests FLATIOMMU_SELFTESTS

before=$(iommus)
pinned=$(pins)
flatiommu bind "$NVME" "$EDU" >/dev/null

# passes EXPECTED NAME COMMAND...: so many of its tests
passes() {
	local expected=$1 name=$2 output
	shift 2
	output=$(timeout 120 "$@" 2>&1 </dev/null)
	is "$(sed -n 's/^# \(PASSED\|FAILED\): \(.*\) tests passed.*/\2/p' <<<"$output")" "$expected" "$name"
	[[ $output == *"$expected tests passed"* ]] || diag "$(tail -n 60 <<<"$output")"
	is "$(pins)" "$pinned" "$name: nothing stays pinned"
}

log_mark
if [[ " $FLATIOMMU_KERNEL_WORDS " == *" NODES "* ]]; then
	for device in "$NVME" "$EDU"; do
		passes "5 / 5" "vfio_pci_device_test, $device" "$source/vfio_pci_device_test" "$device"
		passes "6 / 6" "vfio_iommufd_setup_test, $device" "$source/vfio_iommufd_setup_test" "$device"
	done
	passes "5 / 5" "vfio_pci_device_init_perf_test: type1, iommufd in place of type1, and iommufd, two devices at once" \
		"$source/vfio_pci_device_init_perf_test" "$NVME" "$EDU"
	modes=(vfio_type1v2_iommu iommufd_compat_type1v2 iommufd)
else
	for mode in vfio_type1_iommu vfio_type1v2_iommu; do
		passes "1 / 1" "vfio_pci_device_init_perf_test: $mode, two devices at once" \
			"$source/vfio_pci_device_init_perf_test" -v $mode "$NVME" "$EDU"
	done
	modes=(vfio_type1v2_iommu)
fi
is "$(flat_log | grep -c refused)" 0 "none of them is refused a map"

# They map a page at the first IOVA, which is 0, and at the last one.
for mode in "${modes[@]}"; do
	log_mark
	passes "0 / 1" "vfio_dma_mapping_test: $mode, an IOVA of its own choice" \
		"$source/vfio_dma_mapping_test" -r "vfio_dma_mapping_test.${mode}_anonymous.dma_map_unmap" "$NVME"
	passes "0 / 1" "vfio_dma_mapping_test: $mode, the last IOVA" \
		"$source/vfio_dma_mapping_test" -r "vfio_dma_map_limit_test.$mode.unmap_range" "$NVME"
	like "$(flat_log)" "is refused a map .*FLATIOMMU_DECLARE" "$mode: the log says why"
done
like "$(nvme "$NVME" identify)" "flat0" "the disk works for the next one"
flatiommu unbind --all >/dev/null
is "$(iommus)" "$before" "nothing is left"
done_testing
