#!/bin/bash
# flatiommu doctor on other machines than the emulated one: Xen, encrypted memory, an IOMMU that is off, another
# processor. Other files are mounted over those by which doctor recognises such a machine.
. "${0%/*}/lib.sh"
. "${0%/*}/doctor.sh"
export TERM=dumb

doctor=(flatiommu --json doctor)

# says NAME CHECK STATE TEXT [COMMAND...]: doctor has such a line
says() {
	local name=$1 check=$2 state=$3 text=$4 found
	shift 4
	found=$(line "$check" "$text" "$@" "${doctor[@]}")
	is "$(jq -r .state <<<"$found")" "$state" "$name"
	[[ $found != null ]] || diag "$(line "$check" . "$@" "${doctor[@]}")"
}

# with FILE TEXT SAYS...: the same while the file is one with this text
with() {
	local file=$1
	printf '%s\n' "$2" >/tmp/instead
	shift 2
	mount --bind /tmp/instead "$file"
	says "$@"
	umount "$file"
}

says "as it is: the platform" platform ok "^x86_64, Linux $(uname -r | sed 's/[.+]/\\&/g')\$"
says "as it is: encryption" encryption ok "^no sign of memory encryption\$"
says "as it is: the IOMMU" iommu ok "^the firmware offers none"
says "as it is: capabilities" capability ok "^CAP_SYS_RAWIO and CAP_SYS_ADMIN\$"
says "as it is: memlock" memlock ok "^no limit, by CAP_IPC_LOCK\$"
says "as it is: containers" container ok "^none that can be seen\$"

says "another architecture" platform problem "^i686: flatiommu is for" setarch i686

# tells GUEST STATE TEXT: what Xen's files say of a guest of this type
tells() {
	echo "$1" >/sys/hypervisor/guest_type
	says "Xen $1" platform "$2" "$3"
}
if [[ -d /sys/hypervisor ]]; then
	mount -t tmpfs none /sys/hypervisor
	echo xen >/sys/hypervisor/type
	tells PV problem "^Xen PV: physical addresses are not bus addresses\$"
	tells PVH problem "^Xen PVH: physical"
	tells HVM ok "^x86_64, Linux"
	umount /sys/hypervisor
else
	skip "Xen" "this kernel has no /sys/hypervisor"
fi

with /proc/cpuinfo "flags : fpu tdx_guest" "TDX" encryption problem "^memory is encrypted \(TDX\)"
with /proc/cpuinfo "flags : fpu tdx_guests" "a word that begins like it" encryption ok "^no sign"
with /proc/cmdline "quiet mem_encrypt=on" "SME" encryption problem "^memory is encrypted \(SEV or SME\)"
with /proc/cmdline "quiet swiotlb=force" "swiotlb=force" encryption problem "^swiotlb=force: all DMA would"
: >/dev/sev-guest
says "SEV" encryption problem "^memory is encrypted \(SEV or SME\)"
rm /dev/sev-guest

for option in intel_iommu=off amd_iommu=off iommu=off; do
	with /proc/cmdline "quiet $option" "$option" iommu ok "^off, by the kernel's command line"
done
# offers TABLE TEXT: a table of the firmware's, and what would use it
offers() {
	: >"$tables/$1"
	says "$1" iommu ok "^the firmware has one that the kernel does not use \($2\)"
	rm "$tables/$1"
}
tables=/sys/firmware/acpi/tables
if [[ -d $tables ]]; then
	mount -t tmpfs none "$tables"
	offers DMAR "intel_iommu=on would"
	offers IVRS "see AMD-Vi in its log"
	umount "$tables"
else
	skip "the firmware's tables" "this kernel has no ACPI"
fi

for vendor in AuthenticAMD HygonGenuine '  Shanghai  ' CentaurHauls; do
	with /proc/cpuinfo "vendor_id : $vendor" "SPDK on $vendor" spdk ok "^not on Intel, 25.09 and later: flatiommu run"
done
with /proc/cpuinfo "vendor_id : GenuineIntel" "SPDK on Intel" spdk ok "^finds physical addresses by itself"

says "DPDK, for who sees no physical addresses" dpdk warning "^Debian's DPDK silently ignores --iova-mode=pa" as_nobody
done_testing
