#!/bin/bash
# A module built with LOCKDOWN=trust-signer claims in a locked down kernel, and logs each such claim. Lockdown cannot
# be undone: no test may follow.
. "${0%/*}/lib.sh"

trusting=${MODULE%/*}/trust-signer.ko
on="the kernel is locked down; going on, as this module was built with LOCKDOWN=trust-signer"
lockdown=/sys/kernel/security/lockdown

[[ -e $lockdown ]] || skip_all "this kernel has no lockdown"
modprobe vfio-pci
insmod "$trusting"
log_mark
is "$(errno_of "$CLAIM" "$EDU")" OK "edu is claimed"
unlike "$(flat_log)" "locked down" "without lockdown there is nothing to say of it"
is "$(errno_of $lockdown integrity)" OK "the kernel is locked down"

log_mark
is "$(errno_of "$CLAIM" "$TESTDEV")" OK "pci-testdev is claimed by hand"
like "$(flat_log)" "flatiommu: $TESTDEV: $on" "the log says that it goes on"
log_mark
driverctl --nosave set-override "$NVME" vfio-pci
is "$(driver_of "$NVME")" vfio-pci "nvme is claimed automatically"
like "$(flat_log)" "flatiommu: $NVME: $on" "the log says that it goes on"
log_mark
like "$(nvme "$NVME" info 2>&1)" "flatiommu-type1: bus addresses" "a program can have it"
like "$(flat_log)" "flatiommu: $NVME: $on" "the log says that it goes on"

driverctl --nosave unset-override "$NVME"
unbind "$NVME"
for device in "$EDU" "$TESTDEV" "$NVME"; do
	is "$(errno_of "$RELEASE" "$device")" OK "$device is released"
done
probe "$NVME"
succeeds "the module unloads" rmmod flatiommu
rmmod vfio_pci
done_testing
