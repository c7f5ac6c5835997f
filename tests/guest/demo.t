#!/bin/bash
# The guest's part of ./demo: its messages to people are TAP comments. As a test it reads whatever the disk contains.
. "${0%/*}/lib.sh"

tell() {
	printf '# %s\n' "$@"
}

# shown COMMAND...: says it, runs it, and shows what it says
shown() {
	tell "    \$ $*"
	"$@" 2>&1 | sed 's/^/#     /'
}

echo 16 >/proc/sys/vm/nr_hugepages
log_mark

tell "" "1. A PC without an IOMMU, and Debian's kernel $(uname -r)." \
	"   The kernel's own VFIO driver refuses the NVMe controller:"
modprobe vfio-pci
shown driverctl --nosave set-override "$NVME" vfio-pci
log=$(log_since)
grep -e ' -22' <<<"$log" | sed 's/^/#     /'
isnt "$(driver_of "$NVME")" vfio-pci "stock vfio-pci refuses a device without an IOMMU"
like "$log" "-22" "its probe says -22"
driverctl --nosave unset-override "$NVME" 2>/dev/null

tell "" "2. With flatiommu loaded the same command binds it. The function is claimed as vfio-pci binds:" \
	"   it gets a dummy IOMMU and a group of its own."
log_mark
shown insmod /flatiommu/flatiommu.ko
shown driverctl --nosave set-override "$NVME" vfio-pci
log_since | sed -n 's/.*\(flatiommu: [0-9u].*\)/#     \1/p'
is "$(driver_of "$NVME")" vfio-pci "with flatiommu it binds"
group=$(group_of "$NVME")
shown cat "/sys/kernel/iommu_groups/$group/name"

tell "" "3. A driver in user space (examples/nvme) reads the whole disk: DMA into hugepages that VFIO pins," \
	"   and an MSI-X interrupt for completions, through stock vfio-pci and type1."
shown nvme "$NVME" identify
blocks=$(($(nvme "$NVME" identify 2>&1 | sed -n 's/^namespace.*: \([0-9]*\) blocks.*/\1/p')))
before=$(awk '/^nr_foll_pin_acquired/ { print $2 }' /proc/vmstat)
tell "    \$ nvme --stats $NVME read 0 $blocks | sha256sum"
sum=$(nvme --stats "$NVME" read 0 "$blocks" 2>/tmp/stats | sha256sum)
sed 's/^/#     /' /tmp/stats
tell "    ${sum%% *}"
sum=${sum%% *}
echo "# sha256 $sum"
pinned=$(($(awk '/^nr_foll_pin_acquired/ { print $2 }' /proc/vmstat) - before))
tell "    pages that were pinned for it: $pinned"
isnt "$pinned" 0 "its memory was pinned"
like "$(cat /tmp/stats)" 'irq_completions=[1-9]' "completions came with interrupts"

tell "" "4. It writes one block, the disk's last:"
tell "    \$ echo 'Written without an IOMMU.' | nvme $NVME write $((blocks - 1))"
{
	echo 'Written without an IOMMU.'
	head -c 512 /dev/zero
} | head -c 512 | nvme "$NVME" write $((blocks - 1))
is "$?" 0 "the write succeeds"

tell "" "5. mlock is not a pin. This machine has two NUMA nodes, and the kernel moves memory between them," \
	"   under the device if need be; not so what is pinned through /dev/flatiommu:"
nodes=$(nodes.t 2>&1)
sed -n 's/^  /#       /p' <<<"$nodes"
unlike "$nodes" "not ok" "only what is pinned stays where it is"
like "$nodes" "pinned by flatiommu: it stays" "and stays it does"

tell "" "6. And all goes back as it was:"
shown driverctl --nosave unset-override "$NVME"
is "$(driver_of "$NVME")" nvme "the kernel's driver has the disk again"
echo "$NVME" >"/sys/bus/pci/drivers/nvme/unbind"
is "$(errno_of /sys/class/misc/flatiommu/release "$NVME")" OK "the function is released"
echo "$NVME" >/sys/bus/pci/drivers_probe
shown rmmod flatiommu
modprobe -r vfio-pci
is "$(ls /sys/kernel/iommu_groups)" "" "no group is left"
echo 0 >/proc/sys/vm/nr_hugepages
done_testing
