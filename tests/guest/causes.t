#!/bin/bash
# If an errno has several causes, the message names the right one, with its cure: rows of tests/causes.list.
. "${0%/*}/lib.sh"
export TERM=dumb

unsafe=$(unsafe_interrupts)
# what a program on the library says: by type1 where it is, as there is one way then
has_groups && export FLATIOMMU_BACKEND=flatiommu-type1
program() {
	"$@" hello "$EDU" 2>&1
}

# says NAME REGEX COMMAND...
says() {
	local name=$1 regex=$2
	shift 2
	like "$("$@" 2>&1)" "$regex" "$name"
}

# service COMMAND...: as one with User= and AmbientCapabilities=
service() {
	setpriv --reuid=1500 --regid=1500 --clear-groups --inh-caps=+sys_rawio,+ipc_lock --ambient-caps=+sys_rawio,+ipc_lock "$@"
}

insmod "$MODULE"
mode=$(stat -c %a /dev/flatiommu)
flatiommu bind "$EDU" >/dev/null
node=$(node_of "$EDU")
succeeds "root is let in" hello "$EDU"

diag "root of a user namespace"
in_namespace=(unshare -Ur)
output=$(program "${in_namespace[@]}")
like "$output" "this is a user namespace.* counts only outside of it.*Cure: run it outside, or import" "the library says that it is the namespace"
unlike "$output" "run it as root|--cap-add" "and not that it should be root"
output=$("${in_namespace[@]}" flatiommu doctor 2>&1)
like "$output" "problem +capability +this is a user namespace.*run it outside" "doctor says so"
unlike "$output" "capsh|sudo" "and has no cure that is none"
for command in "claim $EDU" "release $EDU" "bind $EDU" "unbind $EDU" "run -- true"; do
	# shellcheck disable=SC2086
	says "$command: the same" "this is a user namespace" "${in_namespace[@]}" flatiommu $command
done
sleep 1000 &
sleeper=$!
output=$("${in_namespace[@]}" flatiommu addresses $sleeper 0x0 4K 2>&1)
like "$output" "another user's process, or one with more privileges" "addresses: of a process outside"
unlike "$output" "sudo" "and no cure that is none"
kill $sleeper
wait $sleeper 2>/dev/null
says "of a user, too" "this is a user namespace" setpriv --reuid=65534 --regid=65534 --clear-groups "${in_namespace[@]}" hello "$EDU"
says "one without any user in it, too" "this is a user namespace" unshare -U hello "$EDU"
# all users are the same ones: what is mapped does not tell
unshare -U sleep 1000 &
sleeper=$!
is_elsewhere() {
	[[ $(readlink "/proc/$sleeper/ns/user") != "$(readlink /proc/self/ns/user)" ]]
}
until_true 20 is_elsewhere || diag "it has no namespace"
echo "0 0 4294967295" >/proc/$sleeper/uid_map
echo "0 0 4294967295" >/proc/$sleeper/gid_map
says "one that has all users, too" "this is a user namespace" nsenter -U -t $sleeper hello "$EDU"
kill $sleeper
wait $sleeper 2>/dev/null

diag "a service of its own user, with CAP_SYS_RAWIO"
echo 'svc:x:1500:1500::/tmp:/bin/sh' >>/etc/passwd
chown 1500 "$node"
output=$(program service)
like "$output" "/dev/flatiommu: Permission denied: it belongs to user 0 \(mode 600\), and this is user 1500" "whose node it is"
unlike "$output" "with CAP_SYS_RAWIO " "and not that it lacks what it has"
output=$(service flatiommu doctor)
like "$output" "problem +flatiommu +/dev/flatiommu may not be opened by this user" "doctor says so"
like "$output" "sudo chmod 666 /dev/flatiommu" "with the cure"
chmod 666 /dev/flatiommu
succeeds "which cures it" service hello "$EDU"
chmod "$mode" /dev/flatiommu
output=$(flatiommu bind --user svc "$EDU")
like "$output" "/dev/flatiommu: everybody with CAP_SYS_RAWIO can open it" "bind --user says that it lets others try"
has_groups || chown 1500 /dev/iommu
chmod 700 /dev/vfio
says "a directory that is not for the user" "Permission denied: this user may not enter a directory above it" program service
chmod 755 /dev/vfio
succeeds "the user that bind was told of is let in" service hello "$EDU"
says "and without the capability not" "Operation not permitted: this user has no CAP_SYS_RAWIO.*AmbientCapabilities=" \
	program setpriv --reuid=1500 --regid=1500 --clear-groups
like "$(service flatiommu doctor)" "ok +flatiommu +/dev/flatiommu" "doctor has no complaint of the node"
says "root without it is told who has to give it" "Operation not permitted: root has no CAP_SYS_RAWIO here.*--cap-add SYS_RAWIO" \
	program without_rawio
says "doctor says so" "CAP_SYS_RAWIO is missing, and nobody here can get it: .*CapabilityBoundingSet=CAP_SYS_RAWIO" without_rawio flatiommu doctor
flatiommu unbind --all >/dev/null
is "$(stat -c %a /dev/flatiommu)" "$mode" "unbind puts the node's mode back"
flatiommu bind "$EDU" >/dev/null
node=$(node_of "$EDU")

diag "nodes"
mv /dev/flatiommu /dev/flatiommu-away
says "a node that is not in this /dev" "the kernel has it, but this /dev does not.*pass it in \(--device /dev/flatiommu;" program
like "$(flatiommu doctor)" "warning +flatiommu +/dev/flatiommu is not there" "doctor says so"
mv /dev/flatiommu-away /dev/flatiommu
mv "$node" "$node-away"
says "a device's node" "the kernel has it, but this /dev does not.*pass it in \(--device $node;" program
mknod "$node" c $((0x$(stat -c %t "$node-away"))) 1000
says "one of a device that goes" "the device is being unbound or removed" program
rm "$node"
mv "$node-away" "$node"
if has_groups; then
	mv /dev/vfio/vfio /dev/vfio/away
	mknod /dev/vfio/vfio c 10 254
	says "one without a module" "the node exists, but its module is not loaded. Cure: modprobe vfio_iommu_type1" program
	rm /dev/vfio/vfio
	mv /dev/vfio/away /dev/vfio/vfio
fi
chown 1500 "$node"
mkdir -p /tmp/dev
mount --bind "${node%/*}" "${node%/*}"
mount -o remount,bind,nodev "${node%/*}"
says "a mount without devices" "Permission denied: its file system is mounted nodev" program
umount "${node%/*}"
chown 0 "$node"
if has_groups; then
	sleep 1000 3<>"$node" &
	sleeper=$!
	until_true 20 test -e "/proc/$sleeper/fd/3"
	says "a device that somebody has" "busy: another program has it open" program
	kill $sleeper
	wait $sleeper 2>/dev/null
fi
open_files() (
	ulimit -n 4
	hello "$EDU"
)
says "a program with too many files" "Too many open files: this program has reached its limit of open files" open_files
mkdir -p /tmp/cgroup
if mount -t cgroup -o devices none /tmp/cgroup 2>/dev/null; then
	mkdir /tmp/cgroup/few
	in_cgroup() (
		echo "$BASHPID" >/tmp/cgroup/few/cgroup.procs
		hello "$EDU"
	)
	succeeds "a cgroup that allows it" in_cgroup
	echo "c $((0x$(stat -c %t "$node"))):* rwm" >/tmp/cgroup/few/devices.deny
	says "a cgroup that does not" "$node: Operation not permitted: the cgroup of this container or service does not allow it.*DeviceAllow=$node" in_cgroup
	rmdir /tmp/cgroup/few
	umount /tmp/cgroup
else
	skip "a cgroup that does not" "this kernel has no cgroups of the first version"
fi

diag "unsafe interrupts, and not the capability"
echo N >"$unsafe"
lockdown=/sys/kernel/security/lockdown
if [[ -e $lockdown ]]; then
	echo "none [integrity] confidentiality" >/tmp/lockdown
	mount --bind /tmp/lockdown $lockdown
	like "$(program)" "Operation not permitted: the kernel is locked down. Cure: doc/secure-boot.md" \
		"a kernel that is locked down is named first, as the parameter may not be needed"
	umount $lockdown
else
	skip "lockdown" "this kernel has none"
fi
output=$(program)
like "$output" "Operation not permitted: unsafe interrupts are not allowed. Cure: (echo 1 > $unsafe)" "the parameter is named"
eval "${BASH_REMATCH[1]:-false}"
succeeds "which cures it" hello "$EDU"

diag "capabilities"
capable=$(dirname "$(command -v flatiommu)")/capable
cp "$(command -v flatiommu)" "$capable"
# a small kernel has no such attributes on a tmpfs
if setcap cap_sys_rawio,cap_ipc_lock+ep "$capable"; then
	says "run as a program with capabilities of its file" \
		"CAP_SYS_RAWIO ends where the program starts.*AmbientCapabilities=CAP_SYS_RAWIO" \
		setpriv --reuid=1500 --regid=1500 --clear-groups "$capable" run -- true
fi
rm "$capable"

diag "namespaces"
says "run --force without the capability" "it takes CAP_SYS_ADMIN, and a seccomp filter that lets unshare\(\) be" \
	setpriv --inh-caps=-sys_admin --bounding-set=-sys_admin flatiommu run --force -- busybox true
read_only() {
	unshare -m bash -c 'mount -o remount,bind,ro /sys && "$@"' bash "$@"
}
for command in bind unbind claim release; do
	says "$command where /sys is read-only" "$command: /sys is read-only, as in a container: do it on the host" \
		read_only flatiommu $command "$EDU"
done
limit=/proc/sys/user/max_mnt_namespaces
most=$(<$limit)
echo 0 >$limit
says "a machine with no more of them" "max_mnt_namespaces has no more" flatiommu run --force -- busybox true
echo "$most" >$limit

diag "an IOVA that the program chose"
if has_groups; then
	# libvfn begins at 64 KiB, and iommufd at 2 MiB; the last one is the kernel's own memory
	for iova in 0x10000 0x200000 0x1000000; do
		log_mark
		is "$(own-iova "$EDU" $iova)" EADDRNOTAVAIL "$iova: another page is there"
		like "$(flat_log)" "another page is at that address; if the program chose the IOVA, .*FLATIOMMU_DECLARE" "$iova: the log names both causes"
		unlike "$(flat_log)" "; this one moved since" "$iova: and does not say that the page moved"
	done
	like "$(flatiommu status)" "other-page; chosen by the program: declare that the program looks addresses up .*; looked up by the program: " "so does status"
	# the first page is the firmware's
	for iova in 0 0x10000000000; do
		log_mark
		is "$(own-iova "$EDU" $iova)" EADDRNOTAVAIL "$iova: nothing is there"
		like "$(flat_log)" "at IOVA 0x(0|10000000000): no memory has that bus address; .*FLATIOMMU_DECLARE" \
			"$iova: the log has the way for such programs"
	done
	like "$(flatiommu status)" "no-bus-address; map at the bus address, or declare that the program looks addresses up" "and status"
fi

flatiommu unbind --all >/dev/null
rmmod flatiommu
rm -rf /tmp/dev /tmp/cgroup
done_testing
