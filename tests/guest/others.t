#!/bin/bash
# Open vSwitch with DPDK, unmodified, exchanges packets with the kernel. Programs that choose IOVAs themselves fail: QEMU's
# driver for NVMe, and its device assignment.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"

pings=$(parameter pings 500 100000)
before=$(iommus)
pinned=$(pins)
insmod "$MODULE"
modprobe vfio-pci
huge_pages 96

diag "Open vSwitch"
run=/run/openvswitch
export OVS_RUNDIR=$run
mkdir -p $run
# the kernel has the other end, in a namespace where the switch's own address is not its own
modprobe -a tun virtio_net
peer_is_there() {
	wire=$(ls "/sys/bus/pci/devices/$VIRTIO_PEER/"virtio*/net 2>/dev/null)
}
until_true 30 peer_is_there
ip netns add peer
ip link set "$wire" netns peer
ip -n peer addr add 10.0.0.2/24 dev "$wire"
ip -n peer link set "$wire" up
succeeds "dpdk-devbind binds the card" dpdk-devbind.py -b vfio-pci "$VIRTIO"
ovsdb-tool create /tmp/ovs.db /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server /tmp/ovs.db --remote=punix:$run/db.sock --pidfile --detach --log-file=/tmp/ovsdb.log >/dev/null 2>&1
ovs-vsctl --no-wait init
ovs-vsctl --no-wait set Open_vSwitch . other_config:dpdk-init=true other_config:dpdk-socket-mem=128 \
	other_config:pmd-cpu-mask=2 other_config:dpdk-extra="-a $VIRTIO"
flatiommu run -- /usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk unix:$run/db.sock --unixctl=$run/control \
	--log-file=/tmp/ovs.log >/tmp/ovs.out 2>&1 </dev/null &
switch=$!
succeeds "the switch has a bridge" ovs-vsctl --timeout=60 add-br br0 -- set bridge br0 datapath_type=netdev
succeeds "with the card" ovs-vsctl --timeout=60 add-port br0 card -- \
	set Interface card type=dpdk options:dpdk-devargs="$VIRTIO"
is "$(ovs-vsctl get Interface card error)" '[]' "without an error"
like "$(</tmp/ovs.log)" "Selected IOVA mode 'PA'" "it has chosen physical addresses by itself"
isnt "$(pins)" "$pinned" "its memory is pinned"
ip addr add 10.0.0.1/24 dev br0
ip link set br0 up
until_true 5 ip netns exec peer ping -q -c 1 -W 1 10.0.0.1 >/dev/null
# ping compares what comes back with what it sent
is "$(timeout $((60 + pings / 20)) ip netns exec peer ping -q -f -s 1400 -c "$pings" 10.0.0.1 2>&1 |
	sed -n 's/, time.*//; /wrong\|transmitted/p')" "$pings packets transmitted, $pings received, 0% packet loss" \
	"every packet comes back through it as it was sent"
ovs-appctl --timeout=20 -t $run/control exit
succeeds "the switch ends" until_true 30 gone $switch
pkill -x ovsdb-server
is "$(pins)" "$pinned" "nothing stays pinned"
ip netns del peer
modprobe -r virtio_net
rm -rf /run/dpdk /hugepages/*map_*

diag "programs with IOVAs of their own"
# fails_cleanly NAME REGEX COMMAND...
fails_cleanly() {
	local name=$1 message=$2 output status=0
	shift 2
	log_mark
	output=$(timeout 60 "$@" 2>&1 </dev/null) || status=$?
	like "$status" '^[1-9][0-9]?$' "$name: fails (exit status $status)"
	like "$output" "$message" "$name: it says why"
	like "$(flat_log)" "$NVME: .* is refused a map" "$name: so does the log"
	is "$(pins)" "$pinned" "$name: nothing stays pinned"
	like "$(nvme "$NVME" identify)" "flat0" "$name: the disk works for the next one"
}
flatiommu bind "$NVME" >/dev/null
fails_cleanly "nvme://" "Cannot assign requested address" qemu-img info --image-opts driver=nvme,device="$NVME",namespace=1
fails_cleanly "device assignment" "Cannot assign requested address" \
	qemu-system-x86_64 -accel tcg -m 64 -nodefaults -display none -device vfio-pci,host="$NVME"
flatiommu unbind "$NVME" >/dev/null 2>&1

release "$VIRTIO"
huge_pages 0
modprobe -r vfio-pci
rmmod flatiommu
is "$(iommus)" "$before" "nothing is left"
done_testing
