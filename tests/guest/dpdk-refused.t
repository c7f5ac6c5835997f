#!/bin/bash
# testpmd goes on when a map fails while it runs. Each such map is counted and explained: by the
# module if it refuses the map, or by the command if VFIO fails it. With on_refusal=fence the card
# writes nothing.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"

refused=/sys/class/misc/flatiommu/refusals
limit=/sys/module/vfio_iommu_type1/parameters/dma_entry_limit
before=$(iommus)
pinned=$(pins)
insmod "$MODULE"
modprobe vfio-pci
huge_pages 64
succeeds "dpdk-devbind binds both cards" dpdk-devbind.py -b vfio-pci "$NIC" "$NIC_PEER"

# begins OPTION...: testpmd, with EAL options up to -- and its own after it, until it has begun or given up
begins() {
	log_mark
	: >/tmp/testpmd
	"${as[@]}" dpdk-testpmd --iova-mode=pa -l 0,1 -a "$NIC" --no-telemetry "$@" \
		--no-mlockall --forward-mode=txonly --stats-period=1 >/tmp/testpmd 2>&1 </dev/null &
	pid=$!
	until_true 100 grep -q 'TX-packets:\|No probed ethernet devices\|Cause:' /tmp/testpmd
}
as=()

it_sends() {
	until_true 30 grep -q 'TX-packets: [1-9]' /tmp/testpmd
}

ended() {
	kill -INT $pid
	until_true 60 gone $pid || kill -KILL $pid
	wait $pid 2>/dev/null
	rm -rf /run/dpdk /hugepages/*map_*
	is "$(pins)" "$pinned" "nothing stays pinned"
}

# unpinned: what the command says of the process
unpinned() {
	flatiommu status | grep -A 1 "dpdk-testpmd\\[$pid\\]" | sed -n 's/^ *\([0-9]*\) KiB of huge pages are not pinned.*/\1/p'
}

diag "all is well"
begins -m 32 -- --total-num-mbufs=4096
succeeds "it sends" it_sends
is "$(unpinned)" '' "and all that it has is pinned"
ended

diag "memory that it maps at IOVA 0"
begins -m 32 -- --total-num-mbufs=4096 --mp-alloc=anon
like "$(grep "^$pid " $refused)" "^$pid [1-9][0-9]* $NIC [a-z-]+ .*testpmd" "the module has counted them for testpmd"
like "$(flat_log)" "$NIC: dpdk-testpmd\[$pid\] is refused a map" "and the log says so"
succeeds "it goes on" it_sends
is "$(bus_master "$NIC")" 1 "with bus mastering"
ended
echo fence >/sys/module/flatiommu/parameters/on_refusal
begins -m 32 -- --total-num-mbufs=4096 --mp-alloc=anon
like "$(flat_log)" "bus mastering is cleared" "with on_refusal=fence the log says that the card is stopped"
is "$(bus_master "$NIC")" 0 "and it is"
ended
echo warn >/sys/module/flatiommu/parameters/on_refusal

diag "more than it may lock"
as=(prlimit --memlock=8388608 setpriv --inh-caps=-ipc_lock --bounding-set=-ipc_lock)
# what it has as it starts fits, what it asks for later does not
begins -m 4 -- --total-num-mbufs=4096
like "$(</tmp/testpmd)" "error 12 " "VFIO has refused it memory"
succeeds "it goes on" it_sends
like "$(unpinned)" "^[1-9]" "the command says how much is not pinned"
is $(($(unpinned) + $(flatiommu --json status | jq ".processes[] | select(.pid == $pid) | .locked / 1024"))) \
	"$(flatiommu --json status | jq ".processes[] | select(.pid == $pid) | .huge / 1024")" "to the page"
ended
output=$("${as[@]}" flatiommu run -- true 2>&1)
is "$?" 125 "flatiommu run does not start it"
like "$output" "RLIMIT_MEMLOCK is 8192 KiB, .*try: ulimit -l unlimited" "and says why"
as=()

diag "more pages than VFIO maps"
usual=$(<$limit)
echo 20 >$limit
begins -m 16 -- --total-num-mbufs=16384
like "$(</tmp/testpmd)" "error 28 " "VFIO has refused it memory"
succeeds "it goes on" it_sends
like "$(unpinned)" "^[1-9]" "the command says how much is not pinned"
ended
output=$(flatiommu run -- true 2>&1)
is "$?" 125 "flatiommu run does not start it"
like "$output" "VFIO maps 20 at most, and there are 64: .*try: echo 65600 >.*dma_entry_limit" "and says why"
echo "$usual" >$limit

# A huge page in ZONE_MOVABLE is moved as it is pinned: between testpmd's look at its address and the map. Linux 6.1
# cannot pin it at all, and says that with a WARN.
if [[ $FLATIOMMU_KERNEL != 6.1-* ]]; then
	diag "huge pages that move between look-up and map"
	huge_pages 0
	moved=()
	for block in $(printf "%s\n" /sys/devices/system/memory/memory*[0-9] | sort -rV | head -n 4); do
		echo offline >"$block/state" && echo online_movable >"$block/state" && moved+=("$block")
	done 2>/dev/null
	isnt "${#moved[@]}" 0 "some memory is movable"
	huge_pages 64
	begins -m 32 -- --total-num-mbufs=4096
	like "$(</tmp/testpmd)" "error 99 " "it is refused them"
	unlike "$(</tmp/testpmd)" "TX-packets: [1-9]" "does not start"
	like "$(flat_log)" "another page is at that address; .*the page has moved since .*ZONE_MOVABLE" "and the log has the cause and the cure"
	like "$(grep "^$pid " $refused)" " other-page " "the module has counted them"
	ended
	huge_pages 0
	for block in "${moved[@]}"; do
		echo offline >"$block/state" && echo online_kernel >"$block/state"
	done
fi
huge_pages 0

release "$NIC"
release "$NIC_PEER"
modprobe -r vfio-pci
rmmod flatiommu
is "$(iommus)" "$before" "nothing is left"
done_testing
