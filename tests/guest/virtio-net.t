#!/bin/bash
# The example's driver of virtio cards: two cards send each other frames, which arrive as they were
# sent, with an IOMMU and without. The driver ends when the kernel asks for a card, when it is
# killed, and with a card that ignores the IOMMU.
# shellcheck source=tests/guest/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/guest/peers.sh
. "${0%/*}/peers.sh"

all_frames=$(parameter frames 2500 10000)
program=virtio-net frames=$all_frames
cards=("$VIRTIO" "$VIRTIO_PEER")
out=/tmp/virtio-net

take() {
	local card
	for card; do
		override "$card" vfio-pci
		[[ -z $(driver_of "$card") ]] || unbind "$card"
		probe "$card"
		is "$(driver_of "$card")" vfio-pci "$card is bound to vfio-pci"
	done
}

# both NAME OPTION...: all frames arrive both ways, and nothing stays pinned
both() {
	local name=$1
	shift
	"$program" --frames "$frames" "$@" "${cards[@]}" >$out 2>&1
	is "$?" 0 "$name: succeeds" || diag "$(<$out)"
	is "$(grep -c " $frames frames" $out)" 2 "$name: $frames frames each way"
	like "$(<$out)" "^backend $backend" "$name: through $backend"
	is "$(pins)" "$pinned" "$name: nothing stays pinned"
}

# begin: the driver runs in the background, as $driver
begin() {
	virtio-net --frames 100000000 "${cards[@]}" >$out 2>&1 &
	driver=$!
}

interrupts() {
	(($(vectors "$VIRTIO") > 10))
}

pinned_as_before() {
	[[ $(pins) == "$pinned" ]]
}

none=$(iommus)
modprobe vfio-pci
backend=iommu-type1
[[ ! -e /sys/module/iommufd ]] || backend=iommu-iommufd
if [[ $FLATIOMMU_MACHINE == peers ]]; then
	insmod "$MODULE"
	backend=flat$backend
fi
take "${cards[@]}"
pinned=$(pins)

both "with interrupts"
both "polled" --poll

# Those of a race and of a wrong access end the driver.
for sanitizer in asan tsan; do
	program=${0%/*}/$sanitizer-virtio-net
	if [[ -x $program ]]; then
		frames=$((all_frames / 5))
		both "$sanitizer"
		both "$sanitizer, polled" --poll
	else
		skip "$sanitizer" "the driver is not built with it: make guest GUEST='tests peers asan examples tools'"
	fi
done
program=virtio-net frames=$all_frames

said=$(virtio-net "$VIRTIO" "$NIC" 2>&1)
is "$?" 1 "a function that is not bound is refused"
like "$said" "$NIC" "and named"

# a card that is asked for
begin
succeeds "frames are on their way" until_true 60 interrupts
echo 1 >"/sys/bus/pci/devices/$VIRTIO/remove"
wait "$driver"
is "$?" 1 "it ends when its card is asked for"
like "$(<$out)" "$VIRTIO: is asked for" "and says so"
fails "the card is gone" test -e "/sys/bus/pci/devices/$VIRTIO"
echo 1 >/sys/bus/pci/rescan
take "$VIRTIO"

# stopped, and killed
begin
succeeds "frames are on their way again" until_true 60 interrupts
kill -INT "$driver"
wait "$driver"
is "$?" 1 "a signal ends it"
like "$(<$out)" "stopped by a signal" "and it says so"
begin
succeeds "and once more" until_true 60 interrupts
kill -KILL "$driver"
wait "$driver" 2>/dev/null
succeeds "killed, it leaves no page pinned" until_true 10 pinned_as_before
both "the next one"

if [[ $FLATIOMMU_MACHINE == peers-iommu ]]; then
	qmp '{"execute": "device_add", "arguments": {"driver": "virtio-net-pci", "id": "round", "bus": "hot0",
		"disable-legacy": "on", "romfile": ""}}' >/dev/null
	succeeds "a card comes that goes round the IOMMU" until_true 60 test -e "/sys/bus/pci/devices/$HOT_EMPTY_DEV/config"
	sleep 1
	take "$HOT_EMPTY_DEV"
	said=$(virtio-net "$VIRTIO" "$HOT_EMPTY_DEV" 2>&1)
	is "$?" 1 "it is refused"
	like "$said" "$HOT_EMPTY_DEV: goes round the IOMMU" "as one that goes round the IOMMU"
	qmp '{"execute": "device_del", "arguments": {"id": "round"}}' >/dev/null
	succeeds "and goes" until_true 60 test ! -e "/sys/bus/pci/devices/$HOT_EMPTY_DEV"
fi

for card in "${cards[@]}"; do
	if [[ $FLATIOMMU_MACHINE == peers ]]; then
		release "$card"
	else
		unbind "$card"
		override "$card" ''
		probe "$card"
	fi
done
[[ $FLATIOMMU_MACHINE != peers ]] || rmmod flatiommu
is "$(iommus)" "$none" "nothing is left behind"
rm -f $out
done_testing
