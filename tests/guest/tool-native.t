#!/bin/bash
# Linux's own no-IOMMU mode of 7.3, beside flatiommu: the command reports the truth on functions in that mode and on
# claimed ones. On kernels with and without VFIO groups.
. "${0%/*}/lib.sh"
. "${0%/*}/doctor.sh"
export TERM=dumb

native=/sys/module/vfio/parameters/enable_unsafe_noiommu_mode
unsafe=/sys/module/iommufd/parameters/allow_unsafe_interrupts

# of KEY: what list says of EDU
of() {
	said ".functions[0].$1" list "$EDU"
}

# cdev: the name of EDU's own node
cdev() {
	ls "/sys/bus/pci/devices/$EDU/vfio-dev"
}

# doctor_has CHECK REGEX: the state and the text of the line
doctor_has() {
	line "$@" flatiommu --json doctor "$EDU" | jq -r '.state + " " + .text'
}

# problems: of the machine and of EDU; hugepages and the like are not what this is about
problems() {
	flatiommu --json doctor "$EDU" | jq -r '.checks[] | select(.state == "problem") | .check + ": " + .text'
}

# programs BACKEND: hello and edu, through it
programs() {
	local said
	said=$(hello "$EDU" 2>&1)
	is $? 0 "$1: hello"
	like "$said" "$1" "$1: and says so"
	succeeds "$1: edu" edu "$EDU" 64
}

modprobe -q vfio_iommu_type1
modprobe iommufd
modprobe vfio-pci
none=$(iommus)

diag "native"
echo Y >$native
override "$EDU" vfio-pci
probe "$EDU"
is "$(driver_of "$EDU")" vfio-pci "bound without flatiommu"
like "$(cdev)" ^noiommu- "it has a node of its own"
is "$(of iommu)" vfio-noiommu "list: what stands behind it"
is "$(of group)" "$(has_groups && group_of "$EDU" || echo null)" "list: its group, or that it has none"
is "$(said '.functions[0].iommu' status)" vfio-noiommu "status has it"
is "$(said '.modules[] | select(.name == "vfio") | .parameters.enable_unsafe_noiommu_mode' status)" Y \
	"status shows that the mode is on"
like "$(doctor_has iommu "no-IOMMU mode")" \
	"^warning 1 functions are in VFIO's no-IOMMU mode, where $(has_groups && echo "groups pin nothing" || echo "only programs of iommufd work")\$" \
	"doctor: of the machine"
unlike "$(flatiommu doctor "$EDU")" "nothing is pinned" "doctor: and not that nothing is pinned"
like "$(doctor_has node "devices/$(cdev)")" "^ok /dev/vfio/devices/$(cdev)$" "doctor: the node that pins"
if has_groups; then
	like "$(doctor_has group .)" "^warning $(group_of "$EDU"), .*iommufd, by the function's own node, does" \
		"doctor: of the group, and what pins"
	like "$(doctor_has node "noiommu-[0-9]")" "^ok /dev/vfio/noiommu-$(group_of "$EDU")$" "doctor: the group's node"
else
	like "$(doctor_has group .)" "^warning none: .*iommufd" "doctor: that it has no group, and for whom it is"
fi
is "$(problems)" '' "doctor: no problem"

output=$(FLATIOMMU_BACKEND=noiommu-iommufd without_rawio hello "$EDU" 2>&1)
like "$output" "Operation not permitted: root has no CAP_SYS_RAWIO here. Cure: give it" "without CAP_SYS_RAWIO: the cure is it"
programs noiommu-iommufd

# what bind says of it is what is so, and its cure cures
output=$(flatiommu bind "$EDU" 2>&1)
is $? 1 "bind refuses what is native"
like "$output" "vfio-pci has it in VFIO's no-IOMMU mode.*; try: flatiommu unbind $EDU && flatiommu bind $EDU" \
	"bind: why, and the cure"
eval "${output##*try: }" >/tmp/bound 2>&1
is $? 0 "bind: the cure runs"

diag "claimed, while the mode is on"
node=$(node_of "$EDU")
is "$(driver_of "$EDU")" vfio-pci "it is bound"
unlike "$(cdev)" noiommu "its node is not one of that mode"
like "$(</tmp/bound)" "$EDU: $node, group $(group_of "$EDU") \(flatiommu\)" "bind names the node"
succeeds "which is there" test -c "$node"
is "$(of iommu)" flatiommu "list: what stands behind it"
is "$(of group)" "$(group_of "$EDU")" "list: its group"
is "$(said '.functions[0].iommu' status)" flatiommu "status has it"
like "$(doctor_has node .)" "^ok $node$" "doctor: the node"
like "$(doctor_has group .)" "^ok $(group_of "$EDU"), of flatiommu" "doctor: the group"
is "$(problems)" '' "doctor: no problem"
programs flatiommu-iommufd
echo N >$unsafe
output=$(FLATIOMMU_BACKEND=flatiommu-iommufd hello "$EDU" 2>&1)
like "$output" "VFIO_DEVICE_BIND_IOMMUFD: Operation not permitted: unsafe interrupts are not allowed. Cure: (echo 1 > $unsafe) " \
	"iommufd's question about interrupts has its cure"
eval "${BASH_REMATCH[1]:-}"
is "$(<$unsafe)" Y "which cures it"
chmod 600 "$node"
like "$(setpriv --reuid=65534 --regid=65534 --clear-groups flatiommu --json doctor "$EDU" |
	jq -r '.checks[] | select(.check == "node") | .text')" "^$node may not be opened by this user" "doctor: a node that is not for him"
exec 5<>"$node"
is "$(of 'open_by[0].pid')" $$ "list: who has it open"
output=$(flatiommu unbind "$EDU" 2>&1)
like "$output" "open by .*\[$$\]" "unbind: the same"
exec 5>&-
succeeds "unbind" flatiommu unbind "$EDU"
echo N >$native

diag "claimed, while it is off; and what is neither"
output=$(flatiommu bind --user nobody "$EDU" 2>&1)
is $? 0 "bind"
node=$(node_of "$EDU")
is "$(stat -c %U "$node")" nobody "--user: the node is his"
dpdk=$(line dpdk . flatiommu --json doctor | jq -r '.state + " " + .text')
if has_groups; then
	unlike "$output" "/dev/iommu" "--user: and all that he needs of nodes"
	unlike "$dpdk" "needs VFIO groups" "doctor: of DPDK"
else
	like "$output" "/dev/iommu: owned by root, and nobody needs it, too: (chown nobody /dev/iommu)" "--user: what else he needs"
	cure=${BASH_REMATCH[1]:-false}
	mode=$(stat -c %a /dev/iommu)
	chmod 600 /dev/iommu
	like "$(as_nobody flatiommu --json doctor "$EDU" | jq -r '.checks[] | select(.check == "node") | .text')" \
		"/dev/iommu may not be opened by this user" "doctor: that it is not his yet"
	eval "$cure"
	unlike "$(as_nobody flatiommu --json doctor "$EDU" | jq -r '.checks[] | select(.check == "node") | .text')" \
		"may not be opened by this user" "doctor: and then that it is"
	chown root /dev/iommu
	chmod "$mode" /dev/iommu
	like "$dpdk" "^warning it needs VFIO groups" "doctor: that DPDK has no use for such a kernel"
fi
is "$(problems)" '' "doctor: no problem"
programs flatiommu-iommufd
succeeds "unbind" flatiommu unbind "$EDU"
is "$(of iommu)" none "list: nothing stands behind it"
is "$(said '.functions | length' status)" 0 "status has nothing"
is "$(iommus)" "$none" "nothing is left behind"
done_testing
