#!/bin/bash
# In a locked down kernel no program gets a device without an IOMMU: no claim is made, and no program takes an earlier
# claim over. A program that has such a device goes on. Lockdown cannot be undone: no test may follow.
. "${0%/*}/lib.sh"

lockdown=/sys/kernel/security/lockdown
[[ -e $lockdown ]] || skip_all "this kernel has no lockdown"

why="not for programs, as the kernel is locked down; .*"
data=/tmp/data pipe=/tmp/pipe

insmod "$MODULE"
modprobe vfio-pci
echo 16 >/proc/sys/vm/nr_hugepages
is "$(errno_of "$CLAIM" "$EDU")" OK "edu is claimed"
for device in "$NVME" "$FN0"; do
	driverctl --nosave set-override "$device" vfio-pci
	is "$(driver_of "$device")" vfio-pci "$device is claimed automatically"
done
like "$(nvme "$FN0" identify 2>&1)" flat2 "a program can have it"

# one that writes blocks to the disk, half of them after lockdown
dd if=/dev/urandom of=$data bs=64k count=2 status=none
mkfifo $pipe
nvme "$NVME" write 0 <$pipe &
writer=$!
exec 5>$pipe
dd if=$data bs=64k count=1 status=none >&5
succeeds "a program has the other" until_true 60 grep -qF "[vfio-device]" "/proc/$writer/maps"
before=$(iommus)

is "$(errno_of $lockdown integrity)" OK "the kernel is locked down"
like "$(<$lockdown)" '\[integrity\]' "it says so"

refused "a claim by hand" EACCES "$TESTDEV: $why" errno_of "$CLAIM" "$TESTDEV"
log_mark
override "$TESTDEV" vfio-pci
probe "$TESTDEV"
is "$(driver_of "$TESTDEV")" '' "vfio-pci does not bind to another device"
like "$(flat_log)" "^flatiommu: $TESTDEV: $why\$" "the log says why"
override "$TESTDEV" ''
is "$(iommus)" "$before" "nothing is left behind"

log_mark
fails "no other program gets what was claimed before" nvme "$FN0" identify
like "$(flat_log)" "^flatiommu: $FN0: $why\$" "the log says why"

dd if=$data bs=64k skip=1 count=1 status=none >&5
exec 5>&-
wait "$writer"
is $? 0 "the program that had one goes on"
driverctl --nosave unset-override "$NVME"
is "$(driver_of "$NVME")" nvme "nvme has its driver again"
succeeds "the disk has what was written" cmp -n 131072 $data "$(disk_of "$NVME")"

driverctl --nosave unset-override "$FN0"
for device in "$EDU" "$NVME" "$FN0"; do
	[[ ! -e /sys/bus/pci/devices/$device/driver ]] || unbind "$device"
	is "$(errno_of "$RELEASE" "$device")" OK "$device is released"
done
refused "a claim of what was claimed before" EACCES "$EDU: $why" errno_of "$CLAIM" "$EDU"
probe "$NVME"
probe "$FN0"
succeeds "the module unloads" rmmod flatiommu
rmmod vfio_pci
echo 0 >/proc/sys/vm/nr_hugepages
rm $data $pipe
done_testing
