#!/bin/bash
# uPCIe's NVMe driver, unmodified: by type1 it maps at physical addresses by itself, and flatiommu
# accepts these maps.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"
. "${0%/*}/source.sh"
source_of upcie FLATIOMMU_UPCIE

before=$(iommus)
pinned=$(pins)
flatiommu bind "$NVME" >/dev/null
huge_pages 96
# identifies NAME COMMAND...
identifies() {
	local name=$1
	shift
	log_mark
	like "$(UPCIE_VFIO_MODE=type1 timeout 60 "$@" 2>&1)" "SN\('flat0" "$name: it identifies the disk"
	unlike "$(flat_log)" "refused" "$name: no map is refused"
	is "$(pins)" "$pinned" "$name: nothing stays pinned"
}
driver=("$source/upcie_nvme_driver" "$NVME")
identifies "by itself" "${driver[@]}"
identifies "flatiommu run" flatiommu run -- "${driver[@]}"
identifies "flatiommu run, without CAP_SYS_ADMIN" \
	setpriv --inh-caps=-all,+sys_rawio,+ipc_lock --bounding-set=-all,+sys_rawio,+ipc_lock flatiommu run -- "${driver[@]}"

pins_more() {
	(($(pins) > pinned + 1000))
}
for i in 1 2 3; do
	UPCIE_VFIO_MODE=type1 "${driver[@]}" >/dev/null 2>&1 &
	pid=$!
	succeeds "kill $i: it has memory pinned" until_true 30 pins_more
	kill -KILL $pid
	wait
	is "$(bus_master "$NVME")" 0 "kill $i: the disk is stopped"
	is "$(pins)" "$pinned" "kill $i: nothing stays pinned"
done 2>/dev/null
identifies "after the kills" "${driver[@]}"

flatiommu unbind "$NVME" >/dev/null
huge_pages 0
modprobe -r vfio-pci
rmmod flatiommu
is "$(iommus)" "$before" "nothing is left"
done_testing
