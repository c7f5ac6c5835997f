# shellcheck shell=bash
# Foreign programs, on the network cards of the machine peers.
export TERM=dumb

# parameter NAME DEFAULT FULL: prints the number of NAME=NUMBER on the kernel's command line, or DEFAULT, or FULL if full=1 is
# there
parameter() {
	local value
	value=$(sed -n "s/.*\\b$1=\\([0-9]*\\).*/\\1/p" /proc/cmdline)
	if [[ -n $value ]]; then
		echo "$value"
	elif grep -qw full=1 /proc/cmdline; then
		echo "$3"
	else
		echo "$2"
	fi
}

# release DEVICE: undoes claims, overrides and binds by hand
release() {
	[[ -z $(driver_of "$1") ]] || unbind "$1"
	echo "$1" >"$RELEASE"
	override "$1" ''
	# QEMU 7.2 aborts if a delayed interrupt of an e1000e is due after the next driver has enabled MSI-X.
	sleep 1
	probe "$1"
}

huge_pages() {
	echo "$1" >/proc/sys/vm/nr_hugepages
	is "$(</proc/sys/vm/nr_hugepages)" "$1" "$1 huge pages"
}

# pins: prints the number of pins that exist
pins() {
	echo 1 >/proc/sys/vm/stat_refresh
	awk '/^nr_foll_pin_acquired/ { n += $2 } /^nr_foll_pin_released/ { n -= $2 } END { print n }' /proc/vmstat
}

# bus_master DEVICE: prints 1 if it is set
bus_master() {
	local command
	command=$(od -An -tu1 -j4 -N1 "/sys/bus/pci/devices/$1/config")
	echo $((command >> 2 & 1))
}

# vectors DEVICE: prints the counts of its MSI-X vectors
vectors() {
	awk -v name="($1)" '/vfio-msix/ && index($0, name) { n += $2 + $3 } END { print n + 0 }' /proc/interrupts
}

# ask CANARY: its file descriptors are in the array of this name
ask() {
	local -n canary=$1
	local said
	echo >&"${canary[1]}"
	read -r -t 120 said <&"${canary[0]}"
	echo "$said"
}

# gone PID...: succeeds if none of the processes exists
gone() {
	local pid
	for pid in "$@"; do
		[[ ! -e /proc/$pid || $(<"/proc/$pid/stat") == *') Z '* ]] || return 1
	done
} 2>/dev/null

# totals FILE: prints the totals of testpmd's ports at its end: received, sent, and dropped in either direction
totals() {
	tr -d '\r' <"$1" | awk '/Forward statistics for port/ { port = $(NF - 1) } /\+\+\+ Accum/ { port = "" }
		port != "" && /X-packets:/ { printf "%s %s %s %s\n", port, $1, $2, $4 }'
}

# wired NAME PORT PEER PACKETS COMMAND...: COMMAND, which is testpmd with its EAL options, sends PACKETS frames with known
# contents from PORT to its PEER, and the same number back. Received frames are compared. The functions meanwhile and
# afterwards are called with testpmd's pid. testpmd's output is in /tmp/testpmd.
wired() {
	local name=$1 port=$2 peer=$3 packets=$4 pid checks way expected='' began
	shift 4
	rm -f /tmp/[ab].{in,out,back}
	mkfifo /tmp/{a,b}.{in,out,back}
	frames make "$packets" 1 /tmp/a.back >/tmp/a.in &
	frames make "$packets" 2 /tmp/b.back >/tmp/b.in &
	frames check "$packets" 2 /tmp/b.back </tmp/a.out >/tmp/a.said 2>&1 &
	checks=$!
	frames check "$packets" 1 /tmp/a.back </tmp/b.out >/tmp/b.said 2>&1 &
	checks+=" $!"
	began=$SECONDS
	# A frame that the card has no room for yet is sent again.
	printf '%s\n' "set fwd io retry" "set burst tx delay 10 retry 1000000" >/tmp/commands
	: >/tmp/testpmd
	# One thread for each port, so that a port that waits for frames does not delay another.
	"$@" --lcores 0@0,1@0,2@1,3@1,4@0 -a "$port" -a "$peer" -m 64 --no-telemetry \
		--vdev "net_pcap0,rx_pcap=/tmp/a.in,tx_pcap=/tmp/a.out" \
		--vdev "net_pcap1,rx_pcap=/tmp/b.in,tx_pcap=/tmp/b.out" -- \
		--no-mlockall --total-num-mbufs=8192 --portlist=0,2,1,3 --nb-cores=4 --no-flush-rx \
		--stats-period=5 --cmdline-file=/tmp/commands >/tmp/testpmd 2>&1 </dev/null &
	pid=$!
	if until_true 120 grep -q 'start packet forwarding' /tmp/testpmd; then
		! declare -F meanwhile >/dev/null || meanwhile $pid
	fi
	# shellcheck disable=SC2086
	until_true $((60 + packets / 500)) gone $checks
	diag "$name: $((SECONDS - began)) s"
	! declare -F afterwards >/dev/null || afterwards $pid
	kill -INT $pid
	until_true 60 gone $pid || kill -KILL $pid
	wait
	for way in a b; do
		is "$(</tmp/$way.said)" "$packets frames, 0 wrong" "$name: all that was sent arrived as it was, way $way"
	done
	for way in 0 2 1 3; do
		expected+="$way RX-packets: $packets 0"$'\n'"$way TX-packets: $packets 0"$'\n'
	done
	is "$(totals /tmp/testpmd)" "${expected%$'\n'}" "$name: testpmd has counted as many, and dropped none"
	is "$(grep -E 'RX-error:|RX-nombufs|[RT]X-errors: +[1-9]|Bad-' /tmp/testpmd)" '' "$name: no errors"
	is "$(grep -o 'IOVA mode.*' /tmp/testpmd)" "IOVA mode 'PA'" "$name: with physical addresses"
}
