#!/bin/bash
# The number of system calls of a command on a machine with hundreds of functions, where each call costs time.
. "${0%/*}/lib.sh"

echo Y >"$(unsafe_interrupts)"
modprobe vfio-pci
insmod "$MODULE"
functions=(/sys/bus/pci/devices/*)
many=(/sys/bus/pci/devices/0000:05:*)
for path in "${many[@]:0:200}"; do
	[[ ! -e $path/driver ]] || echo "${path##*/}" >"$path/driver/unbind"
	echo "${path##*/}" >"$CLAIM"
done
is "$(said .functions_claimed status)" 200 "200 of ${#functions[@]} functions are claimed"

# makes LIMIT COMMAND...: it makes fewer
makes() {
	local limit=$1 made
	shift
	made=$(calls "$@" 2>/tmp/calls)
	if ((made && made < limit)); then
		ok "$*: fewer than $limit system calls"
	else
		not_ok "$*: fewer than $limit system calls"
	fi
	diag "$* made $made"
}

makes 1500 flatiommu list
makes 1500 flatiommu list --all --json
makes 1500 flatiommu status
makes 1500 flatiommu doctor
flatiommu bind "$FN1" >/dev/null
flatiommu unbind "$FN1" >/dev/null
bind=$(calls flatiommu bind "$EDU")
unbind=$(calls flatiommu unbind "$EDU")
diag "bind makes $bind, unbind $unbind"
is "$((unbind <= bind && unbind))" 1 "unbind of one makes no more than bind of one"
for path in "${many[@]:0:200}"; do
	echo "${path##*/}" >"$RELEASE"
done
rmmod flatiommu
done_testing
