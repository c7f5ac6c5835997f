#!/bin/bash
# A host bridge whose DMA is not coherent with the processor's caches: no claim, no pin, and each says why.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"

why="its DMA is not coherent with the processor's caches, which no program can write back"

before=$(iommus)
log_mark
insmod "$MODULE" "devices=$EDU"
like "$(flat_log)" "flatiommu: $EDU: not claimed: $why" "devices= claims nothing"
is "$(iommus)" "$before" "nothing is left behind"
refused "a claim by hand of what never had a driver" EPROTONOSUPPORT "$EDU: not claimed: $why" errno_of "$CLAIM" "$EDU"
unbind "$NVME"
refused "a claim by hand of what had one" EPROTONOSUPPORT "$NVME: not claimed: $why" errno_of "$CLAIM" "$NVME"

modprobe vfio-pci
log_mark
override "$NVME" vfio-pci
probe "$NVME" 2>/dev/null
like "$(flat_log)" "flatiommu: $NVME: not claimed: $why" "nor as a vfio driver binds"
is "$(driver_of "$NVME")" '' "which does not bind then"
override "$NVME" ''
probe "$NVME"
is "$(driver_of "$NVME")" nvme "nvme has its driver again"

said=$(flatiommu bind "$EDU" 2>&1)
like "$said" "its DMA is not coherent with the processor's caches" "bind says why"
like "$(said '.checks[] | select(.check == "iommu") | .text' doctor)" "is not coherent with the processor's caches" \
	"and doctor"

modprobe uio_pci_generic
override "$EDU" uio_pci_generic
probe "$EDU"
is "$(driver_of "$EDU")" uio_pci_generic "uio_pci_generic has a device"
pinned=$(pins)
log_mark
fails "memory is not pinned for it" uio-pin "$EDU"
like "$(flat_log)" "flatiommu: $EDU: memory is not pinned for it: $why" "the log says why"
is "$(pins)" "$pinned" "none is pinned"
unbind "$EDU"
override "$EDU" ''

is "$(iommus)" "$before" "nothing is left behind"
rmmod flatiommu uio_pci_generic vfio_pci
done_testing
