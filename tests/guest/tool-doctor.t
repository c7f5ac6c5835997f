#!/bin/bash
# flatiommu doctor on set-ups that were broken on purpose: it names the problem, and the cure, run
# as printed, solves it.
. "${0%/*}/lib.sh"
. "${0%/*}/doctor.sh"
export TERM=dumb

type1=/sys/module/vfio_iommu_type1/parameters
# as a regex
release=$(uname -r | sed 's/[.+]/\\&/g')
real=
! has_iommu || real=1

doctor=(flatiommu --json doctor)
in_elsewhere=(/tmp/elsewhere/flatiommu --json doctor)
mkdir /tmp/elsewhere
cp "$(command -v flatiommu)" /tmp/elsewhere

"${doctor[@]}" >/tmp/said
is "$?" "$(jq -r '.worst | if . == "problem" then 2 elif . == "ok" then 0 else 1 end' /tmp/said)" \
	"the exit status is the worst that was found"
like "$(as_nobody flatiommu doctor "$NVME")" "unseen +vectors" "it runs for anybody, and says what it cannot see"
for check in platform encryption iommu vfio lockdown module interrupts hugepages memlock capability pagemap container dpdk spdk; do
	isnt "$(jq -r --arg check $check '.checks[] | select(.check == $check) | .state' /tmp/said)" '' "there is a line on $check"
done
for check in group driver bars vectors reset; do
	isnt "$("${doctor[@]}" "$NVME" | jq -r --arg check $check '.checks[] | select(.check == $check) | .text')" '' \
		"and of a device on $check"
done
like "$(line vectors . "${doctor[@]}" "$NVME" | jq -r .text)" "MSI-X 8" "the vectors are right"
like "$(line bars . "${doctor[@]}" "$NVME" | jq -r .text)" "0: 16 KiB" "and so are the BARs"

diag "memory and privilege"
for file in /sys/kernel/mm/hugepages/*/nr_hugepages; do
	echo 0 >"$file"
done
broken "no huge pages" hugepages warning "none are reserved" "echo [0-9]+ >/proc/sys/vm/nr_hugepages" "${doctor[@]}"
echo 16 >/proc/sys/vm/nr_hugepages
ulimit -S -l 64
broken "a low RLIMIT_MEMLOCK" memlock problem "RLIMIT_MEMLOCK is 64 KiB" "ulimit -l unlimited" \
	setpriv --inh-caps=-ipc_lock --bounding-set=-ipc_lock "${doctor[@]}"
echo 1 >$type1/dma_entry_limit
broken "a low dma_entry_limit" hugepages warning "VFIO maps 1 at most" "echo [0-9]+ >.*/dma_entry_limit" "${doctor[@]}"
echo 65535 >$type1/dma_entry_limit
umount /hugepages
broken "no hugetlbfs" hugetlbfs warning "not mounted" "mkdir .* && mount .*" "${doctor[@]}"
umount /dev/hugepages
rmdir /dev/hugepages
mount -t hugetlbfs hugetlbfs /hugepages
who=as_nobody
as() {
	$who "${doctor[@]}"
}
# as whoever sudo is for
sudo() {
	who=
	"$@" || true
}
broken "no capability" capability problem "CAP_SYS_RAWIO is missing" "sudo flatiommu doctor" as
echo 0 >/proc/sys/vm/nr_hugepages

diag "devices"
disk=$(disk_of "$NVME")
mkfs.ext4 -q "$disk"
mkdir /tmp/disk
mount "$disk" /tmp/disk
broken "a mounted disk" use problem "is mounted at /tmp/disk" "umount /tmp/disk" "${doctor[@]}" "$NVME"
rmdir /tmp/disk
if [[ -e /proc/swaps ]]; then
	mkswap "$disk" >/dev/null 2>&1
	swapon "$disk"
	broken "swap" use problem "is swapped to" "swapoff $disk" "${doctor[@]}" "$NVME"
fi
broken "a device with a kernel driver" driver problem "nvme has it" "flatiommu bind $NVME" "${doctor[@]}" "$NVME"
is "$("${doctor[@]}" "$NVME" | jq -r '.checks[] | select(.function and .state == "problem") | .text')" '' \
	"bound, it has no problem"
who=as_nobody
node=/dev/vfio/$(group_of "$NVME")
chmod 600 "$node"
as() {
	as_nobody "${doctor[@]}" "$NVME"
}
broken "a node that is not for the user" node problem "$node may not be opened" "sudo chown 65534 $node" as
flatiommu unbind "$NVME" >/dev/null
disk_of "$NVME" >/dev/null
broken "a device without a driver" driver problem "none" "flatiommu bind $EDU" "${doctor[@]}" "$EDU"
flatiommu unbind "$EDU" >/dev/null
like "$(line group . "${doctor[@]}" "$BRIDGE" | jq -r .text)" "a bridge" "a bridge is told"

if [[ -n $real ]]; then
	diag "behind an IOMMU"
	like "$(line iommu . "${doctor[@]}" | jq -r '.state + " " + .text')" "ok there is one" "it says that there is one"
	like "$(line module . "${doctor[@]}" | jq -r '.state + " " + .text')" "ok .*not needed" "that flatiommu is not needed"
	like "$(line group . "${doctor[@]}" "$NVME" | jq -r '.state + " " + .text')" "ok .*real IOMMU" "and so of the device"
	for program in dpdk spdk; do
		like "$(line $program . "${doctor[@]}" | jq -r '.state + " " + .text')" "^ok no option is needed" "nor an option for $program"
	done
	like "$(line pagemap . "${doctor[@]}" | jq -r '.state + " " + .text')" "^ok programs need none" "nor addresses for programs"
	rm -r /tmp/elsewhere
	done_testing
fi

diag "without a group"
flatiommu claim "$EDU" >/dev/null
flatiommu release "$EDU" >/dev/null
broken "a device without a group" group problem "none" "flatiommu claim $EDU" "${doctor[@]}" "$EDU"
flatiommu release "$EDU" >/dev/null

diag "memory that is unmapped too early"
is "$(line hold . "${doctor[@]}")" null "nothing is claimed: nothing is said of it"
flatiommu claim "$EDU" >/dev/null
like "$(as_nobody flatiommu doctor)" "note +hold +on_unmap=free: .*\(only root sees which claims have it\)" "what others are told"
broken "memory is not held" hold note "on_unmap=free" "echo hold >.*/on_unmap" "${doctor[@]}"
like "$(line hold . "${doctor[@]}" | jq -r '.state + " " + .text')" "^ok on_unmap=hold: " "it says that memory is held"
echo free >/sys/module/flatiommu/parameters/on_unmap
flatiommu claim --hold --fence "$FN1" >/dev/null
is "$(line hold . "${doctor[@]}" | jq -r .state)" note "one of two claims is not enough"
flatiommu release "$EDU" >/dev/null
like "$(line hold . "${doctor[@]}" | jq -r '.state + " " + .text')" "^ok claims have hold: " "all of them are"
flatiommu release "$FN1" >/dev/null

diag "modules"
# what the host made is what would be made here, in the sources; packages cannot be had here
mkdir -p /tmp/source/module
cd /tmp/source || exit 1
apt() {
	[[ $* == "install linux-headers-$(uname -r)" ]] && mkdir -p "/lib/modules/$(uname -r)/build"
}
make() {
	[[ $* == module && -e /lib/modules/$(uname -r)/build ]] && cp "$MODULE" module
}
rmmod flatiommu
broken "a module that is not loaded" module warning "is not loaded" "insmod $MODULE" "${doctor[@]}"
rmmod flatiommu
broken "no module at all" module problem "there is no flatiommu.ko" \
	"apt install linux-headers-$release && make module && insmod module/flatiommu.ko" "${in_elsewhere[@]}"
rmmod flatiommu
rm module/*
broken "no module, and headers" module problem "there is no flatiommu.ko" "make module && insmod module/flatiommu.ko" \
	"${in_elsewhere[@]}"
rmmod flatiommu
rm module/*
mkdir -p /usr/src/flatiommu-{0.0.9,9}
echo 'BUILD_EXCLUSIVE_KERNEL="^[67]"' >/usr/src/flatiommu-0.0.9/dkms.conf
echo 'BUILD_EXCLUSIVE_KERNEL="^(5|9\.)"' >/usr/src/flatiommu-9/dkms.conf
broken "sources of DKMS that leave this kernel out" module problem "there is no flatiommu.ko" \
	"make module && insmod module/flatiommu.ko" "${in_elsewhere[@]}"
rmmod flatiommu
rm -r module/* /usr/src/flatiommu-9
like "$(line module . "${in_elsewhere[@]}" | jq -r .cure)" "dkms autoinstall && modprobe flatiommu$" "sources of DKMS for this kernel"
rm -r /usr/src/flatiommu-0.0.9
rmdir "/lib/modules/$(uname -r)/build"
extra=/lib/modules/$(uname -r)/extra
mkdir "$extra"
cp "$MODULE" "$extra"
broken "one that depmod does not know" module warning "is not loaded" "insmod /lib/modules/$release/extra/flatiommu.ko" \
	"${in_elsewhere[@]}"
rmmod flatiommu
depmod
broken "one that is installed" module warning "is not loaded" "modprobe flatiommu" "${in_elsewhere[@]}"
/bin/sed -i 's/\x00version=0/\x00version=9/' "$extra/flatiommu.ko"
broken "a newer one that was installed meanwhile" module warning "flatiommu 0[^ ]* is loaded, and 9[^ ]* is installed" \
	"flatiommu unbind --all && modprobe -r flatiommu && modprobe flatiommu" "${in_elsewhere[@]}"
/bin/sed -i 's/\x00version=9/\x00version=0/' "$extra/flatiommu.ko"
rmmod flatiommu
/bin/sed -i 's/vermagic=[0-9]/vermagic=3/' "$extra/flatiommu.ko"
if /bin/grep -qa ' modversions' "$MODULE"; then
	broken "one for another kernel that does" module warning "is built for 3\..* only if its symbols are the same" \
		"modprobe flatiommu" "${in_elsewhere[@]}"
	rmmod flatiommu
fi
/bin/sed -i 's/ modversions/ modVersions/' "$extra/flatiommu.ko"
fails "one for another kernel does not load" modprobe flatiommu
broken "a module for another kernel" module problem "is built for 3\..*, and $release runs" "insmod $MODULE" \
	"${doctor[@]}"
rmmod flatiommu
broken "with no other" module problem "is built for 3\..*, and $release runs" \
	"apt install linux-headers-$release && make module && insmod module/flatiommu.ko" "${in_elsewhere[@]}"
rmmod flatiommu
rm -r "$extra" module
rmdir "/lib/modules/$(uname -r)/build"
depmod

diag "interrupts"
flatiommu bind "$EDU" >/dev/null
echo N >$type1/allow_unsafe_interrupts
# as with interrupt remapping, which the machine does not have without an IOMMU
if [[ -z $real ]]; then
	mount -t tmpfs none /sys/kernel/irq
	mkdir /sys/kernel/irq/25
	echo IR-PCI-MSIX-0000:00:04.0 >/sys/kernel/irq/25/chip_name
	is "$(line interrupts "^vfio_iommu_type1 .*need not" "${doctor[@]}" | jq -r .state)" ok "isolated interrupts are not unsafe"
	umount /sys/kernel/irq
fi
broken "unsafe interrupts off" interrupts problem "vfio_iommu_type1 does not allow" "echo Y >.*/allow_unsafe_interrupts" "${doctor[@]}"
flatiommu unbind "$EDU" >/dev/null

diag "an interrupted bind"
flatiommu bind "$NVME" >/dev/null
unbind "$NVME"
broken "interrupted" bind warning "$NVME: bind or unbind was interrupted" "flatiommu unbind --all" "${doctor[@]}"
is "$(driver_of "$NVME")" nvme "the driver is there again"
fails "and no module" test -e /sys/module/flatiommu

rm -r /tmp/elsewhere
done_testing
