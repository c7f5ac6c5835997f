#!/bin/bash
# flatiommu run: testpmd, unmodified, chooses physical addresses by itself, its memory is pinned, and it sends
# packets; and the cases in which run refuses to start a program.
. "${0%/*}/lib.sh"
. "${0%/*}/doctor.sh"
export TERM=dumb

# refuses NAME STATUS MESSAGE COMMAND...
refuses() {
	local name=$1 expected=$2 message=$3 output status=0
	shift 3
	output=$("$@" 2>&1 >/dev/null </dev/null) || status=$?
	is "$status" "$expected" "$name: exit status $expected"
	like "$output" "$message" "$name: it says why"
}

diag "addresses"
# of a process that sleeps: the pages of one that forks change as it writes
sleep 1000 &
pid=$!
until [[ $(</proc/$pid/wchan) == *nanosleep* || $(</proc/$pid/stat) == *' (sleep) S '* ]]; do
	sleep 0.1
done
read -r map _ < <(grep '\[stack\]' /proc/$pid/maps)
top=$((0x${map#*-} - 4096))
flatiommu --json addresses $pid $((top - 65536)) 68K >/tmp/addresses
is "$(jq '[.segments[].length] | add' /tmp/addresses)" $((68 * 1024)) "addresses accounts for all that it was asked for"
is "$(jq '.present + .absent + .swapped' /tmp/addresses)" $((68 * 1024)) "and so does the sum"
entry=$(dd if=/proc/$pid/pagemap bs=8 skip=$((top / 4096)) count=1 status=none | od -An -tu8)
is "$(flatiommu --json addresses $pid $((top + 16)) 32 | jq -r '.segments[0].address')" \
	"$(printf 0x%x $(((entry & ((1 << 55) - 1)) * 4096 + 16)))" "the address is what pagemap says"
is "$(flatiommu --json addresses --summary $pid $((top - 65536)) 68K | jq -c '[has("segments"), .nr_segments > 0]')" \
	"[false,true]" "--summary leaves the segments out"
like "$(flatiommu addresses $pid $top 4K)" "VIRTUAL +ADDRESS.*1 segments; 4096 bytes present" "as text it is a table"
refuses "a process that is not there" 1 "99999999: there is no such process" flatiommu addresses 99999999 0 4K
refuses "an address that is none" 1 "zzz: not a number" flatiommu addresses $pid zzz 4K
refuses "a length that is none" 1 "0: not a length" flatiommu addresses $pid 0 0
refuses "a range that wraps" 1 "not a length" flatiommu addresses $pid 0xfffffffffffff000 8K
refuses "an address that no process has" 1 "is beyond the address space of process" flatiommu addresses $pid 0xfffffffffffff000 1
refuses "addresses for anybody" 1 "pagemap" as_nobody flatiommu addresses $pid $top 4K
kill $pid

for file in /sys/kernel/mm/hugepages/*/nr_hugepages; do
	echo 0 >"$file"
done
refuses "nothing claimed" 125 "no function is claimed; try: flatiommu bind" flatiommu run -- true
succeeds "unless forced" flatiommu run --force -- true

flatiommu bind "$NIC" >/tmp/bind
like "$(</tmp/bind)" "no huge pages yet: echo [0-9]+ >/proc/sys/vm/nr_hugepages" "bind says that there are no huge pages"
like "$(tail -n 1 /tmp/bind)" "^next: flatiommu run -- dpdk-testpmd  ?-a $NIC\$" "and what to type next"
refuses "no huge pages" 125 "none are reserved.*; try: echo" flatiommu run -- true
echo 64 >/proc/sys/vm/nr_hugepages
refuses "without CAP_SYS_RAWIO" 125 "CAP_SYS_RAWIO is missing" without_rawio flatiommu run -- true
refuses "by anybody" 125 "CAP_SYS_RAWIO is missing.*; try: sudo flatiommu run" as_nobody flatiommu run -- true
without_admin() {
	setpriv --inh-caps=-all,+sys_rawio,+ipc_lock --bounding-set=-all,+sys_rawio,+ipc_lock "$@"
}
refuses "a static program without CAP_SYS_ADMIN" 125 "CAP_SYS_ADMIN is missing.*pagemap.*it is static" \
	without_admin flatiommu run -- busybox true
succeeds "another one without it" without_admin flatiommu run -- true
small() {
	(
		ulimit -l 1024
		setpriv --inh-caps=-ipc_lock --bounding-set=-ipc_lock flatiommu run "$@"
	)
}
refuses "RLIMIT_MEMLOCK too small" 125 "RLIMIT_MEMLOCK is 1024 KiB, huge pages, pinned by pagemap and by VFIO, are 262144 KiB: .*; try: ulimit -l unlimited" \
	small -- true
succeeds "and with --force it goes on" small --force -- true

is "$(flatiommu run -- sh -c 'ls /sys/kernel/iommu_groups | wc -l')" 0 "the program sees no group"
is "$(ls /sys/kernel/iommu_groups)" "$(group_of "$NIC")" "others do"
is "$(flatiommu run -- readlink "/sys/bus/pci/devices/$NIC/iommu_group" | sed 's,.*/,,')" \
	"$(group_of "$NIC")" "and the program finds its function's"
is "$(flatiommu run -- flatiommu --json list "$NIC" | jq -r .functions[0].iommu)" flatiommu \
	"the command does not take that for an IOMMU"
like "$(flatiommu run -- hello "$NIC" 2>&1)" "reaches all of memory" "nor does a program on libflatiommu"
is "$(flatiommu run -- printf '%s.' --json -h '' 'a b')" "--json.-h..a b." "what follows is the program's own"
refuses "its exit status" 7 '' flatiommu run -- sh -c 'exit 7'
refuses "a program that is not there" 127 "no-such-program: No such file" flatiommu run -- no-such-program
refuses "one that is none" 126 "/etc/passwd: Permission denied" flatiommu run -- /etc/passwd
is "$(flatiommu --json run --check -- true | jq -r .hidden)" true "--check says what would be"

# testpmd NAME COMMAND...: runs it for a while
testpmd() {
	local out=$1 limit=$2
	shift 2
	timeout -s INT -k 20 "$limit" "$@" dpdk-testpmd -l 0,1 -a "$NIC" -m 64 --no-telemetry -- \
		--no-mlockall --forward-mode=txonly --auto-start --no-lsc-interrupt --total-num-mbufs=4096 \
		--stats-period=1 >"$out" 2>&1 </dev/null &
}

testpmd /tmp/alone 60 env
wait
like "$(</tmp/alone)" "Selected IOVA mode 'VA'" "by itself it takes virtual addresses"
unlike "$(</tmp/alone)" "TX-packets: [1-9]" "and sends nothing"
broken "refused maps" refusals warning "^1 programs .* may have gone on" "echo fence >.*/on_refusal" flatiommu --json doctor
is "$(line refusals "^1 programs were refused maps; on_refusal=fence\$" flatiommu --json doctor | jq -r .state)" ok "which are stopped"
echo warn >/sys/module/flatiommu/parameters/on_refusal
before=$(awk '/^nr_foll_pin_acquired/ { print $2 }' /proc/vmstat)
# as a process that has CAP_SYS_RAWIO and may lock memory, and nothing else
testpmd /tmp/run 300 setpriv --inh-caps=-all,+sys_rawio,+ipc_lock --bounding-set=-all,+sys_rawio,+ipc_lock flatiommu run --
succeeds "run by flatiommu, it sends" until_true 80 grep -qE "TX-packets: [1-9]" /tmp/run
pid=$(pidof dpdk-testpmd | tr ' ' '\n' | head -n 1)
like "$(</tmp/run)" "Selected IOVA mode 'PA'" "with physical addresses"
isnt "$(awk '/^nr_foll_pin_acquired/ { print $2 }' /proc/vmstat)" "$before" "from memory that is pinned"
is "$(flatiommu --json list "$NIC" | jq -r '.functions[0].open_by[].name')" dpdk-testpmd "list knows who has it"
like "$(flatiommu --json status | jq -r '.processes[] | select(.name == "dpdk-testpmd") | .locked')" "^[1-9]" \
	"and status how much it has pinned"
read -r map _ < <(grep rtemap_ "/proc/$pid/maps")
flatiommu --json addresses "$pid" "0x${map%-*}" 2M >/tmp/addresses
is "$(jq -r '.segments[] | .kind, .state, .length' /tmp/addresses | xargs)" "hugetlb present 2097152" \
	"addresses shows one of its huge pages, in one piece"
without_admin flatiommu run -- timeout 60 dpdk-proc-info -a "$NIC" -- --stats >/tmp/secondary 2>&1 </dev/null
like "$(</tmp/secondary)" "TX-packets: [1-9]" "a secondary process joins it"
is "$(od -An -tu1 -j4 -N1 "/sys/bus/pci/devices/$NIC/config" | awk '{ print int($1 / 4) % 2 }')" 1 "which leaves the device at work as it ends"
kill -INT "$pid"
wait
[[ $_failed == 0 ]] || diag "$(tail -n 40 /tmp/run)"

flatiommu unbind "$NIC" >/dev/null
is "$(ls /sys/kernel/iommu_groups)" '' "nothing is left"
rm -rf /run/dpdk /hugepages/rtemap_*
echo 0 >/proc/sys/vm/nr_hugepages
is "$(awk '/^HugePages_Total/ { print $2 }' /proc/meminfo)" 0 "nor any huge page"
done_testing
