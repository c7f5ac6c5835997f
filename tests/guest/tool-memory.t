#!/bin/bash
# The memory that a process can get is less than the reserved memory if other programs have it, or because of cgroups,
# nodes, mounts or limits: doctor names the reason, its cure cures it, and run refuses to start a program that would
# get none.
. "${0%/*}/lib.sh"
. "${0%/*}/doctor.sh"
export TERM=dumb

huge=/sys/kernel/mm/hugepages
small=$huge/hugepages-2048kB
type1=/sys/module/vfio_iommu_type1/parameters
doctor=(flatiommu --json doctor)

# refuses_to_run NAME TEXT [COMMAND...]: run says TEXT, and starts nothing
refuses_to_run() {
	local name=$1 text=$2 output status=0
	shift 2
	rm -f /tmp/started
	output=$("$@" flatiommu run -- touch /tmp/started 2>&1) || status=$?
	is "$status" 125 "$name: run does not start a program"
	like "$output" "$text" "$name: and says why"
	fails "$name: nor has it" test -e /tmp/started
}

# is_ok CHECK TEXT NAME COMMAND...
is_ok() {
	local check=$1 text=$2 name=$3
	shift 3
	is "$(line "$check" "$text" "$@" | jq -r .state)" ok "$name"
}

# stays COMMAND...: in the background, once it says something; its pid is in $pid
stays() {
	local out
	exec {out}< <(exec "$@")
	pid=$!
	read -r -t 60 -u $out
	exec {out}<&-
}

ends() {
	kill "$1"
	until_true 20 test ! -e "/proc/$1"
}

# 1 GiB can be had at boot only
gigabyte=$(<$huge/hugepages-1048576kB/nr_hugepages)
if ((gigabyte)); then
	diag "pages of another size"
	broken "no files for 1 GiB" hugetlbfs warning "1 GiB: hugetlbfs is not mounted" \
		"mkdir -p /dev/hugepages1G && mount .* pagesize=1048576K .*" "${doctor[@]}"
	is_ok hugetlbfs "1 GiB: /dev/hugepages1G" "and then they are" "${doctor[@]}"
	umount /dev/hugepages1G
	rmdir /dev/hugepages1G
	is_ok hugepages "1 GiB: 1 of 1 are free" "that it is free is said" "${doctor[@]}"
	echo 0 >$huge/hugepages-1048576kB/nr_hugepages
else
	skip "pages of another size" "this machine has no page of 1 GiB"
fi
echo 0 >$small/nr_hugepages
flatiommu bind "$NIC" >/dev/null

diag "taken by files"
echo 16 >$small/nr_hugepages
is_ok hugepages "2 MiB: 16 of 16 are free" "all are free" "${doctor[@]}"
{ grep -v ^CmaTotal: /proc/meminfo; echo "CmaTotal:       65536 kB"; } >/tmp/meminfo
mount --bind /tmp/meminfo /proc/meminfo
is_ok hugepages "64 MiB of memory are CMA: pinning moves a huge page from there" "memory that moves is said" "${doctor[@]}"
umount /proc/meminfo
rm /tmp/meminfo
succeeds "and run starts a program" flatiommu run -- true
for i in {1..16}; do
	fallocate -l 2M "/hugepages/left$i"
done
refuses_to_run "taken by files" "hugepages: 2 MiB: none of 16 is free; 16 are in files.*; try: rm /hugepages/left\*"
broken "taken by files" hugepages warning "2 MiB: none of 16 is free; 16 are in files that no program has" \
	"rm /hugepages/left\\*" "${doctor[@]}"
succeeds "and run starts one again" flatiommu run -- true
# one that is in use, and names that are not for a shell
stays huge 1 /hugepages/left3
mkdir /hugepages/below
for file in left1 left2 below/x "x;touch gone"; do
	fallocate -l 2M "/hugepages/$file"
done
is_ok hugepages "11 of 16 are free.*; 4 are in files" "beside those that are free they are told" "${doctor[@]}"
is "$(line hugepages . "${doctor[@]}" | jq -r .cure | tr ' ' '\n' | LC_ALL=C sort | xargs)" \
	"/hugepages/below/x /hugepages/left1 /hugepages/left2 rm" "the cure leaves out what is used, and what is no name"
like "$(as_nobody flatiommu doctor)" "11 of 16 are free" "who may not see who uses them"
unlike "$(as_nobody flatiommu doctor)" "in files that no program" "does not say that nobody does"
ends "$pid"
rm -r /hugepages/*

diag "left by DPDK"
for i in {0..15}; do
	fallocate -l 2M "/hugepages/rtemap_$i"
done
broken "left by DPDK" hugepages warning "16 are in files .*, which DPDK and SPDK remove as they start" "rm /hugepages/rtemap_\\*" \
	"${doctor[@]}"
for i in {0..13}; do
	fallocate -l 2M "/hugepages/rtemap_$i"
done
for i in 0 1; do
	fallocate -l 2M "/hugepages/own_$i"
done
is "$(line hugepages "none of 16 is free; 16 are in files .*, a part of which DPDK and SPDK remove as they start" "${doctor[@]}" |
	jq -r .state)" warning "or not all of them"
rm /hugepages/*
for i in {0..15}; do
	fallocate -l 2M "/hugepages/spdk_pid12map_$i"
done
succeeds "as they remove them, run starts them" flatiommu run -- true
rm /hugepages/*

diag "taken by programs"
stays huge 16
refuses_to_run "taken by programs" "2 MiB: none of 16 is free; programs that have some: huge\[$pid\]; try: echo 32"
broken "taken by programs" hugepages warning "programs that have some: huge\[$pid\]" \
	"echo 32 >$small/nr_hugepages" "${doctor[@]}"
ends "$pid"
echo 16 >$small/nr_hugepages

diag "on demand"
echo 0 >$small/nr_hugepages
broken "none" hugepages warning "none are reserved" "echo [0-9]+ >/proc/sys/vm/nr_hugepages" "${doctor[@]}"
echo 0 >$small/nr_hugepages
refuses_to_run "none" "hugepages: none are reserved.*; try: echo [0-9]+ >/proc/sys/vm/nr_hugepages"
echo 8 >$small/nr_overcommit_hugepages
is_ok hugepages "0 of 0 are free.*, and up to 8 more on demand" "what the kernel makes on demand is had, too" "${doctor[@]}"
succeeds "and run starts a program" flatiommu run -- true
echo 0 >$small/nr_overcommit_hugepages
echo 16 >$small/nr_hugepages

diag "VFIO's limit"
echo 8 >$type1/dma_entry_limit
refuses_to_run "dma_entry_limit" "VFIO maps 8 at most, and there are 16.*; try: echo [0-9]+ >$type1/dma_entry_limit"
broken "dma_entry_limit" hugepages warning "VFIO maps 8 at most" "echo [0-9]+ >$type1/dma_entry_limit" "${doctor[@]}"
stays huge 8
echo 8 >$type1/dma_entry_limit
is "$(line hugepages "VFIO maps" "${doctor[@]}")" null "what others have needs no mapping"
ends "$pid"
echo 65535 >$type1/dma_entry_limit

diag "cgroups"
mkdir /tmp/cgroup
mount -t cgroup2 cgroup2 /tmp/cgroup
echo "+hugetlb +memory +cpuset" >/tmp/cgroup/cgroup.subtree_control
mkdir /tmp/cgroup/pod
echo "+hugetlb" >/tmp/cgroup/pod/cgroup.subtree_control
mkdir /tmp/cgroup/pod/inner

# within CGROUP COMMAND...
within() {
	local cgroup=$1
	shift
	(
		echo "$BASHPID" >"/tmp/cgroup/$cgroup/cgroup.procs"
		exec "$@"
	)
}

for limit in hugetlb.2MB.max hugetlb.2MB.rsvd.max; do
	file=/tmp/cgroup/pod/$limit
	echo 0 >"$file"
	is_ok hugepages "16 of 16" "$limit: another cgroup's is not this process's" "${doctor[@]}"
	refuses_to_run "$limit" "16 of 16 are free, and $file lets the process have none; try: echo max >$file" within pod/inner
	broken "$limit" hugepages warning "16 of 16 are free, and $file lets" "echo max >$file" within pod/inner "${doctor[@]}"
	echo 8M >"$file"
	is_ok hugepages "$file lets the process have 4" "$limit: what it leaves is said" within pod/inner "${doctor[@]}"
	echo max >"$file"
done
echo -hugetlb >/tmp/cgroup/pod/cgroup.subtree_control
rmdir /tmp/cgroup/pod/inner
echo 32M >/tmp/cgroup/pod/memory.max
broken "memory.max" cgroup warning "/tmp/cgroup/pod/memory.max leaves the process" "echo max >/tmp/cgroup/pod/memory.max" \
	within pod "${doctor[@]}"
echo 512M >/tmp/cgroup/pod/memory.max
is_ok cgroup "leaves the process (4|5)[0-9][0-9] MiB" "memory.max: enough is enough" within pod "${doctor[@]}"
echo max >/tmp/cgroup/pod/memory.max

diag "nodes"
node=/sys/devices/system/node
if [[ -e $node/node1 ]]; then
	echo 0 >$small/nr_hugepages
	echo 8 >$node/node0/hugepages/hugepages-2048kB/nr_hugepages
	is_ok hugepages "8 of 8 are free \(node 0: 8, node 1: 0\)" "each node's are told" "${doctor[@]}"
	echo 1 >/tmp/cgroup/pod/cpuset.mems
	refuses_to_run "another node's" "8 are free, but none on the memory nodes that the process may use \(1\)" within pod
	broken "another node's" hugepages warning "8 are free, but none on the memory nodes" \
		"echo 8 >$node/node1/hugepages/hugepages-2048kB/nr_hugepages" within pod "${doctor[@]}"
	echo 0 >$node/node1/hugepages/hugepages-2048kB/nr_hugepages
	echo 1 >"/sys/bus/pci/devices/$NIC/numa_node"
	broken "a device on another node" numa warning "$NIC is on node 1, where no huge page is free" \
		"echo 8 >$node/node1/hugepages/hugepages-2048kB/nr_hugepages" "${doctor[@]}"
	is_ok numa "node 1, where 8 huge pages are free" "of a device that is named" "${doctor[@]}" "$NIC"
	echo 0 >$node/node1/hugepages/hugepages-2048kB/nr_hugepages
	is "$(line numa "is on node 1" "${doctor[@]}" "$NIC" | jq -r '.function + " " + .state')" "$NIC warning" "both are told"
	echo -1 >"/sys/bus/pci/devices/$NIC/numa_node"
	echo 16 >$small/nr_hugepages
else
	skip "nodes" "this machine has one"
fi

diag "hugetlbfs"
umount /hugepages
refuses_to_run "not mounted" "hugetlbfs: 2 MiB: hugetlbfs is not mounted.*; try: mkdir"
succeeds "a program without files is started" flatiommu run -- true --in-memory
broken "not mounted" hugetlbfs warning "2 MiB: hugetlbfs is not mounted" "mkdir -p /dev/hugepages && mount .*" "${doctor[@]}"
umount /dev/hugepages
for option in size=4M nr_inodes=3; do
	mount -t hugetlbfs -o "$option" hugetlbfs /hugepages
	is_ok hugetlbfs "2 MiB: /hugepages, which has room for 2" "$option: how many fit" "${doctor[@]}"
	fallocate -l 2M /hugepages/1
	fallocate -l 2M /hugepages/2
	refuses_to_run "$option" "hugetlbfs: 2 MiB: /hugepages is full"
	broken "$option" hugetlbfs warning "2 MiB: /hugepages is full" "mkdir -p /dev/hugepages && mount .*" "${doctor[@]}"
	is_ok hugetlbfs "2 MiB: /dev/hugepages" "$option: the one with room is taken" "${doctor[@]}"
	umount /dev/hugepages
	rm /hugepages/*
	umount /hugepages
done
rmdir /dev/hugepages
mount -t hugetlbfs hugetlbfs /hugepages
who=as_nobody
as() {
	$who "${doctor[@]}"
}
broken "another user's" hugetlbfs warning "/hugepages cannot be written to by this user \(65534\)" "sudo chown 65534 /hugepages" as
chown 0 /hugepages
mount -o remount,ro /hugepages
refuses_to_run "read-only" "/hugepages is mounted read-only"
broken "read-only" hugetlbfs warning "/hugepages is mounted read-only" "mount -o remount,rw /hugepages" "${doctor[@]}"

diag "another process"
setpriv --reuid=1500 --regid=1500 --clear-groups --inh-caps=+sys_rawio --ambient-caps=+sys_rawio \
	sh -c 'ulimit -l 64; exec sleep 1000' &
pid=$!
until_true 20 grep -q sleep "/proc/$pid/comm"
node=$(node_of "$NIC")
chmod 600 "$node"
broken "its RLIMIT_MEMLOCK" memlock problem "RLIMIT_MEMLOCK is 64 KiB, huge pages are 32768 KiB" \
	"sudo prlimit --pid $pid --memlock=unlimited:unlimited" "${doctor[@]}" --pid "$pid"
is_ok memlock "CAP_IPC_LOCK" "which is not this one's" "${doctor[@]}"
is_ok process "^sleep\[$pid\], of user 1500" "whose it is" "${doctor[@]}" --pid "$pid"
is "$(line capability "CAP_SYS_RAWIO (is missing|counts)" "${doctor[@]}" --pid "$pid")" null "it has the capabilities that it has"
is "$(line capability "CAP_SYS_ADMIN (is missing|counts)" "${doctor[@]}" --pid "$pid" | jq -r .state)" warning "and no others"
is "$(line node "$node may not be opened by this user" "${doctor[@]}" --pid "$pid" "$NIC" | jq -r .state)" problem "nor the node"
is "$(line hugetlbfs "cannot be written to by this user \(1500\)" "${doctor[@]}" --pid "$pid" | jq -r .state)" warning "nor the files"
echo 0 >/tmp/cgroup/pod/hugetlb.2MB.max
echo "$pid" >/tmp/cgroup/pod/cgroup.procs
is "$(line hugepages "hugetlb.2MB.max lets the process have none" "${doctor[@]}" --pid "$pid" | jq -r .state)" warning \
	"its cgroup counts"
echo max >/tmp/cgroup/pod/hugetlb.2MB.max
like "$(setpriv --reuid=1500 --regid=1500 --clear-groups flatiommu doctor --pid "$$" 2>&1)" \
	"may not inspect .*; try: sudo flatiommu doctor --pid $$" "who may not see a process is told"
kill "$pid"
wait "$pid" 2>/dev/null
# limited KIB COMMAND...: without the capability to lock more
limited() {
	(
		ulimit -l "$1"
		shift
		exec setpriv --inh-caps=-ipc_lock,-sys_resource --bounding-set=-ipc_lock,-sys_resource "$@"
	)
}
is_ok memlock "^RLIMIT_MEMLOCK is unlimited\$" "no limit" limited unlimited "${doctor[@]}"
is_ok memlock "^RLIMIT_MEMLOCK is more than all free huge pages\$" "a limit that is high enough" limited 200000 "${doctor[@]}"
before=$(ulimit -l)
ulimit -l 64
without_resource() {
	setpriv --inh-caps=-ipc_lock,-sys_resource --bounding-set=-ipc_lock,-sys_resource "${doctor[@]}"
}
broken "a hard limit" memlock problem "RLIMIT_MEMLOCK is 64 KiB" 'prlimit --pid \$\$ --memlock=unlimited' without_resource
ulimit -l "$before"
# mlockall(MCL_CURRENT)
(
	ulimit -l 200000
	exec setpriv --inh-caps=-ipc_lock --bounding-set=-ipc_lock perl -e 'syscall(151, 1) == 0 or die; sleep 1000'
) &
pid=$!
until_true 20 grep -q 'VmLck:.*[1-9]' "/proc/$pid/status"
is_ok memlock "^RLIMIT_MEMLOCK is more than all free huge pages and [0-9]+ KiB that are locked\$" "what is locked counts" "${doctor[@]}" --pid "$pid"
prlimit --pid "$pid" --memlock=33000K:33000K
is "$(line memlock "huge pages are 32768 KiB and [0-9]+ KiB that are locked: DPDK goes on" "${doctor[@]}" --pid "$pid" | jq -r .state)" problem \
	"or is too much"
kill "$pid"
wait "$pid" 2>/dev/null
# a service's limit is the unit's
mkdir /tmp/cgroup/pod/x.service
(
	echo "$BASHPID" >/tmp/cgroup/pod/x.service/cgroup.procs
	ulimit -l 64
	exec setpriv --inh-caps=-ipc_lock --bounding-set=-ipc_lock sleep 1000
) &
pid=$!
until_true 20 grep -q sleep "/proc/$pid/comm"
like "$(line memlock . "${doctor[@]}" --pid "$pid" | jq -r .text)" "LimitMEMLOCK= decides in x.service" "a service's unit is named"
kill "$pid"
wait "$pid" 2>/dev/null
# of a container: no hugetlbfs, other processes, another root
unshare --mount --pid --fork --mount-proc sh -c 'umount /hugepages; sleep 1000 & wait' &
until_true 20 pgrep -x sleep
pid=$(pgrep -x sleep)
is "$(line hugetlbfs "not mounted" "${doctor[@]}" --pid "$pid" | jq -r .state)" warning "of a process with other mounts, its mounts count"
is_ok hugetlbfs /hugepages "which are not this one's" "${doctor[@]}"
kill "$pid"
wait
unshare --user --map-root-user sleep 1000 &
pid=$!
until_true 20 grep -q sleep "/proc/$pid/comm"
is "$(line capability "CAP_SYS_RAWIO (is missing|counts)" "${doctor[@]}" --pid "$pid" | jq -r .state)" problem \
	"root of a user namespace has no capability that counts"
kill "$pid"
wait
is "$(flatiommu doctor --pid 99999999 2>&1)" "flatiommu: --pid 99999999: there is no such process" "a process that is not there"
flatiommu doctor --pid 1x >/dev/null 2>&1
is $? 3 "one that is no number"

rmdir /tmp/cgroup/pod/x.service /tmp/cgroup/pod
umount /tmp/cgroup
rmdir /tmp/cgroup
if mkdir /tmp/cgroup && until_true 20 mount -t cgroup -o hugetlb cgroup /tmp/cgroup 2>/dev/null; then
	diag "cgroups, version 1"
	mkdir /tmp/cgroup/pod
	file=/tmp/cgroup/pod/hugetlb.2MB.limit_in_bytes
	is_ok hugepages "16 of 16 are free" "no limit" within pod "${doctor[@]}"
	echo 0 >$file
	broken "limit_in_bytes" hugepages warning "16 of 16 are free, and $file lets" "echo -1 >$file" within pod "${doctor[@]}"
	rmdir /tmp/cgroup/pod
	umount /tmp/cgroup
else
	skip "cgroups, version 1" "this kernel has none for huge pages"
fi
rmdir /tmp/cgroup

echo 0 >$small/nr_hugepages
flatiommu unbind --all >/dev/null
done_testing
