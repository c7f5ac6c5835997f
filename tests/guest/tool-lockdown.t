#!/bin/bash
# flatiommu in a locked down kernel, which loads signed modules only: doctor says so, and bind fails, names the
# reason and leaves nothing behind. Lockdown cannot be undone.
. "${0%/*}/lib.sh"

lockdown=/sys/kernel/security/lockdown
[[ -e $lockdown ]] || skip_all "this kernel has no lockdown"

# line CHECK KEY
line() {
	flatiommu --json doctor | jq -r --arg check "$1" ".checks[] | select(.check == \$check) | .$2"
}

modules() {
	lsmod | sed -n 's/ .*//p' | sort
}

if [[ $(<$lockdown) == *"[none]"* ]]; then
	is "$(line lockdown state)" ok "without lockdown there is nothing to say"
	insmod "$MODULE"
	echo integrity >$lockdown
	is "$(flatiommu claim "$EDU" 2>&1)" \
		"flatiommu: $EDU: not claimed: the kernel is locked down, and this module was not built for that; try: flatiommu doctor $EDU" \
		"claim says why not"
	rmmod flatiommu
fi
before=$(pci_snapshot)
modules=$(modules)
is "$(line lockdown state)" problem "lockdown is a problem"
like "$(line lockdown text)" "the kernel is locked down.*by design" "it says why"
like "$(line lockdown cure)" "make module LOCKDOWN=trust-signer$" "and what may be done"
is "$(line module state)" problem "so is a module that is not signed"
like "$(line module text)" "$MODULE is not signed" "it says which"
like "$(line module cure)" "/sign-file sha256 .* $MODULE && insmod $MODULE" "and how to sign it"
fails "it does not load" insmod "$MODULE"
log_mark
output=$(flatiommu bind "$NVME" 2>&1)
is "$?" 1 "bind fails"
like "$output" "^flatiommu: flatiommu: cannot be loaded: .*; try: flatiommu doctor\$" "and says why"
is "$(driver_of "$NVME")" nvme "the device has its driver"
is "$(modules)" "$modules" "no module is left"
is "$(diff <(echo "$before") <(pci_snapshot))" '' "and all is as before"
done_testing
