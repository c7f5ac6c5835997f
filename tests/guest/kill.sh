# shellcheck shell=bash
# Sourced after peers.sh: testpmd is killed while it forwards a flood of packets from another testpmd. Its card writes to no
# memory after that, and the next start works. $driver is its card's, and the array testpmd the command that starts it.
# kills=N on the kernel's command line makes it longer.

: "${driver:?}" "${testpmd:?}"
kills=$(parameter kills 2 50)
memory=$(parameter memory 512 2500)
RANDOM=$$

# sent: by the flood
sent() {
	tr -d '\r' <"$1" | awk '/TX-packets:/ { n = $2 } END { print n + 0 }'
}

# start_victim: until it forwards; its pid is in $victim
start_victim() {
	: >/tmp/victim
	# a core of its own for what forwards
	"${testpmd[@]}" --file-prefix=victim -l 0,1 --main-lcore=1 -a "$NIC" -m 64 --no-telemetry -- \
		--no-mlockall --total-num-mbufs=4096 --stats-period=1 >/tmp/victim 2>&1 </dev/null &
	victim=$!
	until_true 120 grep -q 'TX-packets: [1-9]' /tmp/victim || {
		diag "$(tail -n 5 /tmp/victim)"
		return 1
	}
}

before=$(iommus)
pinned=$(pins)
insmod "$MODULE"
modprobe -a vfio-pci "$driver"
huge_pages 64
succeeds "the flood's end is bound" dpdk-devbind.py -b vfio-pci "$NIC_PEER"
succeeds "the other is bound to $driver" dpdk-devbind.py -b "$driver" "$NIC"

coproc REST { canary "$memory"; }
rest=$REST_PID
read -r -t 120 -a said <&"${REST[0]}"
is "${said[*]:0:3}" "holds $memory MiB" "a canary holds the rest of memory"
is "$(ask REST)" "0 bytes changed" "which is as it was"
printf x | dd of="/proc/$(pgrep -x canary)/mem" bs=1 seek=$((said[4] + 12345)) conv=notrunc status=none
is "$(ask REST)" "1 bytes changed" "a byte that is changed is found"

dpdk-testpmd --file-prefix=flood --iova-mode=pa -l 0,1 -a "$NIC_PEER" -m 32 --no-telemetry -- --no-mlockall \
	--total-num-mbufs=4096 --forward-mode=txonly --txpkts=1000 --stats-period=1 >/tmp/flood 2>&1 </dev/null &
flood=$!
succeeds "the flood begins" until_true 120 grep -q 'TX-packets: [1-9]' /tmp/flood
flood_pins=$(pins)
dpdk-proc-info --file-prefix=flood --iova-mode=pa -a "$NIC_PEER" -- --xstats >/tmp/secondary 2>&1 </dev/null
like "$(</tmp/secondary)" "tx_good_packets: [1-9]" "a second process sees its counters"
is "$(grep -E '(error|crc)[a-z_]*: [1-9]' /tmp/secondary)" '' "none of them of an error"

started=0 held=0 quiet=0 unchanged=0 given=0
for ((i = 0; i < kills; i++)); do
	start_victim && started=$((started + 1))
	(($(pins) < flood_pins + 32)) || held=$((held + 1))
	sleep "0.$((RANDOM % 10))"
	kill -KILL "$victim"
	wait "$victim" 2>/dev/null
	quiet=$((quiet + 1 - $(bus_master "$NIC")))
	rm -f /hugepages/victimmap_*
	[[ $(pins) != "$flood_pins" ]] || given=$((given + 1))
	# all that it had, and more
	coproc HUGE { canary huge; }
	read -r -t 60 -a said <&"${HUGE[0]}"
	((said[1] >= 64)) || diag "only ${said[*]}"
	sleep 1
	got=$(ask HUGE)
	if [[ $got == "0 bytes changed" ]]; then
		unchanged=$((unchanged + 1))
	else
		diag "kill $i: $got"
	fi
	eval "exec ${HUGE[1]}>&-"
	wait "$HUGE_PID"
done 2>/tmp/noise
is "$started" "$kills" "each time it started and forwarded"
is "$held" "$kills" "by memory that was pinned"
is "$quiet" "$kills" "and killed, its card may do no DMA"
is "$given" "$kills" "its memory was let go"
is "$unchanged" "$kills" "and who had it next found no byte changed"
last=$(sent /tmp/flood)
sleep 3
((last < $(sent /tmp/flood)))
is $? 0 "the flood went on"
is "$(ask REST)" "1 bytes changed" "nor was one of the rest of memory"

# The kernel's driver gets the card as testpmd leaves it, not as a kill does: QEMU 7.2 ends itself when the
# throttling timer of a card that still raises interrupts runs out as that driver enables MSI-X.
start_victim
is "$?" 0 "it starts after the last kill, too"
kill -INT "$victim"
wait "$victim"
kill -INT $flood
wait $flood
eval "exec ${REST[1]}>&-"
wait "$rest"
is "$(pins)" "$pinned" "nothing is pinned"
release "$NIC"
release "$NIC_PEER"
rm -rf /run/dpdk /hugepages/*map_*
huge_pages 0
modprobe -r -a vfio-pci "$driver"
rmmod flatiommu
is "$(iommus)" "$before" "nothing is left"
done_testing
