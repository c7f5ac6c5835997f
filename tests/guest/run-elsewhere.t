#!/bin/bash
# flatiommu run hides IOMMU groups wherever its program looks: in the sysfs of a network namespace,
# in a chroot, and in a sysfs that is mounted later. No message advises flatiommu run for a program
# that run has started.
. "${0%/*}/lib.sh"

before=$(iommus)
hugepages=$(</proc/sys/vm/nr_hugepages)
root=/tmp/root
flatiommu bind "$EDU" >/dev/null
echo 4 >/proc/sys/vm/nr_hugepages
group=$(group_of "$EDU")

# a root of its own, with a sysfs of its own, and without the library
mkdir -p $root /tmp/other
mount --bind / $root
mount -t tmpfs tmpfs $root/flatiommu
mount --bind /dev $root/dev
mount -t sysfs sysfs $root/sys
mount -t proc proc $root/proc
cp "$(command -v own-iova)" $root/flatiommu/own-iova
cp "$(readlink -f "$(command -v cat)")" $root/flatiommu/busybox
ip netns add elsewhere

# sees NAME EXPECTED COMMAND...: the program prints EXPECTED
sees() {
	local name=$1 expected=$2
	shift 2
	is "$("$@" 2>/tmp/stderr)" "$expected" "$name"
	diag "$(</tmp/stderr)"
}
try=(own-iova "$EDU" dpdk)

diag "by itself, and started by run"
sees "it takes virtual addresses, and is refused" "VA EADDRNOTAVAIL" "${try[@]}"
sees "run: physical ones" "PA OK" flatiommu run -- "${try[@]}"
sees "ip netns exec" "PA OK" flatiommu run -- ip netns exec elsewhere "${try[@]}"
sees "ip netns exec, a static program" "" flatiommu run -- ip netns exec elsewhere busybox ls /sys/kernel/iommu_groups
sees "chroot" "PA OK" flatiommu run -- chroot $root /flatiommu/own-iova "$EDU" dpdk
sees "chroot, a static program" "" flatiommu run -- chroot $root /flatiommu/busybox ls /sys/kernel/iommu_groups
sees "unshare -m" "PA OK" flatiommu run -- unshare -m "${try[@]}"
# in a network namespace it is another one, which may be mounted above the first
sees "a sysfs that is mounted later" "" \
	flatiommu run -- unshare -n sh -c "mount -t sysfs sysfs /sys && busybox ls /sys/kernel/iommu_groups"
sees "one in a chroot" "PA OK" flatiommu run -- \
	sh -c "umount -l $root/sys && mount -t sysfs sysfs $root/sys && chroot $root /flatiommu/own-iova $EDU dpdk"
sees "one that is bound there" "PA OK" flatiommu run -- \
	sh -c "umount -l $root/sys && mount --bind /sys $root/sys && chroot $root /flatiommu/own-iova $EDU dpdk"
sees "without an environment" "PA OK" flatiommu run -- env -i "$(command -v own-iova)" "$EDU" dpdk
sees "run in run" "PA OK" flatiommu run -- flatiommu run -- "${try[@]}"
is "$(flatiommu run -- chroot $root /flatiommu/busybox readlink "/sys/bus/pci/devices/$EDU/iommu_group" | sed 's,.*/,,')" "$group" \
	"the program finds its function's group"
is "$(ls /sys/kernel/iommu_groups) $(ls $root/sys/kernel/iommu_groups)" "$group $group" "others see it, in both"
sees "also in a sysfs that is mounted in the machine's namespace" "$group" \
	flatiommu run -- nsenter -t 1 -m sh -c "mount -t sysfs sysfs /tmp/other && ls /tmp/other/kernel/iommu_groups && umount /tmp/other"

like "$(unshare -m sh -c 'umount -l /proc && exec flatiommu run -- true' 2>&1)" \
	"/proc is not mounted, or shows another PID namespace.*; try: mount -t proc proc /proc" "without /proc run says so"

diag "cures"
# refused COMMAND...: it is refused a map, and waits; its pid is in $pid
refused() {
	log_mark
	: >/tmp/said
	"$@" >/tmp/said 2>/tmp/stderr &
	until_true 30 grep -q . /tmp/said
	pid=$(pidof own-iova)
	is "$(</tmp/said)" "VA EADDRNOTAVAIL" "$name: it is refused"
	diag "$(</tmp/stderr)"
	unlike "$(flat_log)" "flatiommu run" "$name: the log does not name flatiommu run"
	like "$(flat_log)" "the IOVA is a virtual address .*--iova-mode=pa" "$name: but what remains"
}
# cure: of $pid
cure() {
	flatiommu --json status | jq -r ".refusals[] | select(.pid == $pid).cure"
}
doctor() {
	flatiommu doctor --pid "$pid" | sed -n 's/ \+/ /g; /^[a-z]* run /p'
}
ends() {
	kill "$pid"
	wait
} 2>/dev/null

name="not run"
refused own-iova "$EDU" dpdk hold
like "$(cure)" "^DPDK and SPDK: flatiommu run -- PROGRAM; others" "$name: status knows run"
is "$(doctor)" "" "$name: doctor has nothing to say"
ends
like "$(cure)" "flatiommu run -- PROGRAM or, if run has started it, --iova-mode=pa; others" "$name: it has ended, and nobody knows"

# without CAP_SYS_ADMIN the library alone hides groups, and it is not in the other root
name="run, then chroot without the library"
refused setpriv --inh-caps=-all,+sys_rawio,+ipc_lock,+sys_chroot --bounding-set=-all,+sys_rawio,+ipc_lock,+sys_chroot \
	flatiommu run -- chroot $root /flatiommu/own-iova "$EDU" dpdk hold
like "$(cure)" "^flatiommu run has started it, but its /sys has IOMMU groups, and .* is not loaded \(its root directory has no libflatiommu-pagemap.so\): let run start the program itself" \
	"$name: status says what is in the way"
like "$(doctor)" "^warning run flatiommu run has started it, but its /sys has IOMMU groups" "$name: so does doctor"
unlike "$(flatiommu doctor --pid "$pid")" "(dpdk|spdk) .*flatiommu run -- PROGRAM" "$name: and it has no cure that was tried"
ends

name="run, then the groups are uncovered"
refused flatiommu run -- env -u LD_PRELOAD sh -c "umount /sys/kernel/iommu_groups; exec own-iova $EDU dpdk hold"
like "$(cure)" "is not loaded \(its environment has no LD_PRELOAD for it\)" "$name: status says what is in the way"
ends

# with a group of its own the dynamic linker preloads nothing
name="run, then set-group-ID"
mkdir /tmp/set
cp "$(command -v own-iova)" /tmp/set/own-iova
chmod 2755 /tmp/set/own-iova
refused setpriv --regid=1500 --clear-groups --inh-caps=-all,+sys_rawio,+ipc_lock --bounding-set=-all,+sys_rawio,+ipc_lock \
	flatiommu run -- sh -c "exec /tmp/set/own-iova $EDU dpdk hold"
like "$(cure)" "is not loaded \(it has started with other privileges than its parent, AT_SECURE: " "$name: status says what is in the way"
ends

name="run, and virtual addresses by the program's own choice"
log_mark
: >/tmp/said
flatiommu run -- own-iova "$EDU" dpdk hold >/tmp/said 2>&1 &
until_true 30 grep -q . /tmp/said
pid=$(pidof own-iova)
is "$(</tmp/said)" "PA OK" "$name: it is not refused"
like "$(doctor)" "^ok run flatiommu run has started it: it sees no IOMMU group, and pagemap is answered from pins" "doctor says how it was started"
ends

rm -r /tmp/set
umount $root/proc $root/sys $root/dev $root/flatiommu $root
ip netns del elsewhere
flatiommu unbind "$EDU" >/dev/null
echo "$hugepages" >/proc/sys/vm/nr_hugepages
is "$(iommus)" "$before" "nothing is left"
done_testing
