#!/bin/bash
# flatiommu doctor on other machines than the emulated one: Xen, encrypted memory, an IOMMU that is off, another
# processor, a kernel without some modules, a container. Other files are mounted over those by which doctor recognises
# such a machine.
. "${0%/*}/lib.sh"
. "${0%/*}/doctor.sh"
. "${0%/*}/overlay.sh"
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

# silent NAME CHECK TEXT: doctor has no such line
silent() {
	is "$(line "$2" "$3" "${doctor[@]}")" null "$1"
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
	# as on arm64; Xen's directory is not in the /proc of other machines
	mkdir /tmp/real /tmp/proc
	mount --bind /proc /tmp/real
	mount -t tmpfs none /tmp/proc
	ln -s /tmp/real/* /tmp/proc
	mkdir /tmp/proc/xen
	echo control_d >/tmp/proc/xen/capabilities
	mount --bind /tmp/proc /proc
	tells HVM problem "^Xen HVM: physical"
	umount /proc
	umount /tmp/proc /tmp/real
	rmdir /tmp/proc /tmp/real
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

diag "a device tree"
mount -t tmpfs none /sys/firmware
tree=/sys/firmware/devicetree/base
mkdir -p $tree/pcie@1
: >$tree/dma-coherent
says "a host bridge" iommu ok "^the firmware offers none"
: >$tree/pcie@1/iommu-map
says "an SMMU" iommu ok "^the firmware has an SMMU, and no function is behind it yet"
silent "coherent DMA" iommu coherent
: >$tree/pcie@1/dma-noncoherent
says "DMA that is not coherent" iommu problem "^DMA behind pcie@1 is not coherent with the processor's caches"
echo disabled >$tree/pcie@1/status
silent "of a bridge that is not there" iommu coherent
umount /sys/firmware

diag "modules"
if modprobe -r -a vfio-pci vfio_iommu_type1 2>/dev/null; then
	for module in vfio_pci vfio_iommu_type1; do
		says "$module" vfio ok "^$module is there; bind loads it\$"
	done
	modules=/lib/modules/$(uname -r)/modules.dep
	grep -v -e '^[^:]*vfio_iommu_type1.ko' -e '^[^:]*iommufd.ko' "$modules" >/tmp/instead
	mount --bind /tmp/instead "$modules"
	# vfio itself may be loaded still
	for check in dpdk spdk; do
		less vfio
		over /sys/class says "no type1" $check warning "^it needs VFIO groups, and this kernel \($(uname -r | sed 's/[.+]/\\&/g')\) has none\$"
	done
	# a kernel that has it built in has the node
	if [[ ! -e /dev/iommu ]]; then
		says "no type1" vfio problem "^vfio_iommu_type1 is not there"
		: >/.dockerenv
		less vfio
		over /sys/class says "in a container" container warning "^/dev/iommu is not in this container\$"
		rm /.dockerenv
		: >/dev/iommu
		says "but iommufd" vfio ok "^vfio_iommu_type1 is not there; programs that use iommufd do not need it\$"
		rm /dev/iommu
	fi
	umount "$modules"
else
	skip "modules that are not loaded" "this kernel has them built in"
fi
modprobe -a vfio-pci vfio_iommu_type1
for module in vfio_pci vfio_iommu_type1; do
	says "$module" vfio ok "^$module is loaded\$"
done
parameter=/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts
before=$(<$parameter)
echo N >$parameter
says "type1, with nothing claimed" interrupts ok "^vfio_iommu_type1 does not allow unsafe interrupts; bind does it if needed\$"
echo Y >$parameter
says "type1" interrupts ok "^vfio_iommu_type1 allows unsafe interrupts\$"
more iommufd/initstate live
more iommufd/parameters/allow_unsafe_interrupts N
iommufd() {
	says "iommufd" vfio ok "^iommufd is loaded\$"
	says "iommufd, with nothing claimed" interrupts ok "^iommufd does not allow unsafe interrupts; bind does it if needed\$"
	echo Y >/sys/module/iommufd/parameters/allow_unsafe_interrupts
	says "iommufd" interrupts ok "^iommufd allows unsafe interrupts\$"
}
over /sys/module iommufd
more vfio/parameters/enable_unsafe_noiommu_mode Y
over /sys/module broken "VFIO's no-IOMMU mode" vfio warning "^VFIO's no-IOMMU mode is on: SPDK then does not pin" \
	"echo N >/sys/module/vfio/parameters/enable_unsafe_noiommu_mode" "${doctor[@]}"

diag "lockdown"
security=/sys/kernel/security
if [[ -d $security ]]; then
	mount -t tmpfs none $security
	says "no lockdown" lockdown ok "^this kernel has none, or securityfs is not mounted\$"
	echo "[none] integrity confidentiality" >$security/lockdown
	says "lockdown that is off" lockdown ok "^off\$"
	chmod 600 $security/lockdown
	says "for who may not see it" lockdown unseen "^only root can see whether the kernel is locked down\$" as_nobody
	echo "none [integrity] confidentiality" >$security/lockdown
	says "lockdown" lockdown problem "^the kernel is locked down: claims fail, by design, .*, and signed\$"
	mount -t tmpfs none /sys/firmware
	mkdir -p /sys/firmware/efi/efivars /var/lib/dkms
	printf '\6\0\0\0\1' >/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
	: >/var/lib/dkms/mok.pub
	says "by Secure Boot" lockdown problem \
		"^the kernel is locked down, as Secure Boot is on: .*, and signed; the key here is /var/lib/dkms/mok.pub\$"
	rm -r /var/lib/dkms
	umount /sys/firmware $security
else
	skip "lockdown" "this kernel has no securityfs"
fi

diag "containers"
for file in /.dockerenv /run/.containerenv; do
	: >$file
	says "$file" container warning "^this is a container: programs need /dev/vfio, huge pages and the capabilities in it\$"
	rm $file
done
with /proc/1/environ container=lxc "the first process is told" container warning "^this is a container: "
: >/.dockerenv
mount -o remount,bind,ro /sys
says "a container that only reads /sys" container warning "^this is a container, and /sys is read-only: bind on the host"
mount -o remount,bind,rw /sys
mv /dev/vfio /dev/vfio-away
says "without VFIO" container warning "^/dev/vfio/vfio is not in this container\$"
mv /dev/vfio-away /dev/vfio
rm /.dockerenv

diag "the process"
says "any user" capability problem "^CAP_SYS_RAWIO is missing: root has it, or a service with AmbientCapabilities=CAP_SYS_RAWIO; " \
	as_nobody
says "root that has given it up" capability problem "^CAP_SYS_RAWIO is missing, though root may have it here: it was dropped before this was started; " \
	setpriv --securebits=+noroot --inh-caps=-all
says "pagemap" pagemap ok "^flatiommu run answers it from pins\$"
mkdir /tmp/elsewhere
cp "$(command -v flatiommu)" /tmp/elsewhere
is "$(line pagemap "^libflatiommu-pagemap.so is not there: programs read the kernel's pagemap" /tmp/elsewhere/flatiommu --json doctor |
	jq -r .state)" warning "pagemap, without the library"
rm -r /tmp/elsewhere

diag "with a claim"
insmod "$MODULE"
says "the module" module ok "^flatiommu is loaded; 0 functions are claimed\$"
flatiommu claim "$EDU" >/dev/null
says "the module, and a claim" module ok "^flatiommu is loaded; 1 functions are claimed\$"
says "refused maps" refusals ok "^0 programs were refused maps; on_refusal=warn\$"
says "for who may not see them" refusals unseen "^only root can see whether programs were refused maps\$" as_nobody
echo N >$parameter
says "unsafe interrupts on arm64" interrupts warning \
	"^vfio_iommu_type1 does not allow .*, unless the machine's MSIs are isolated, as by a GICv3 ITS\$" \
	env LD_PRELOAD="${0%/*}/answers.so" ANSWERS=aarch64
echo "$before" >$parameter
way="flatiommu run -- PROGRAM, or "
libraries=(/usr/lib/*/librte_eal.so*)
if [[ -e ${libraries[0]} ]]; then
	says "DPDK" dpdk ok "^installed: $way--iova-mode=pa for every process of it\$"
	mkdir /tmp/away
	mv "${libraries[@]}" /tmp/away
	says "no DPDK" dpdk ok "^not installed: $way--iova-mode=pa for every process of it\$"
	mv /tmp/away/* "${libraries[0]%/*}"
	rmdir /tmp/away
fi
says "DPDK that run has started" dpdk ok "installed: --iova-mode=pa for every process of it\$" flatiommu run --force --
with /proc/cpuinfo "vendor_id : AuthenticAMD" "SPDK that run has started" spdk ok "^not on Intel, 25.09 and later: --iova-mode pa\$" \
	flatiommu run --force --
says "a program of run's" run ok "^flatiommu run has started it: it sees no IOMMU group, and pagemap is answered from pins\$" \
	flatiommu run --force --
says "one that the library is not in" run ok \
	"^flatiommu run has started it: it sees no IOMMU group; pagemap is the kernel's \(its environment has no LD_PRELOAD for it\)\$" \
	flatiommu run --force -- env -u LD_PRELOAD
flatiommu release "$EDU" >/dev/null
rmmod flatiommu
modprobe -r -a vfio-pci vfio_iommu_type1 2>/dev/null
mkdir -p /run/flatiommu
: >/run/flatiommu/machine
broken "a bind that was stopped early" bind warning "^bind or unbind was interrupted\$" "flatiommu unbind --all" "${doctor[@]}"

diag "programs"
for vendor in AuthenticAMD HygonGenuine '  Shanghai  ' CentaurHauls; do
	with /proc/cpuinfo "vendor_id : $vendor" "SPDK on $vendor" spdk ok "^not on Intel, 25.09 and later: flatiommu run"
done
with /proc/cpuinfo "vendor_id : GenuineIntel" "SPDK on Intel" spdk ok "^finds physical addresses by itself"

says "DPDK, for who sees no physical addresses" dpdk warning "^Debian's DPDK silently ignores --iova-mode=pa" as_nobody
done_testing
