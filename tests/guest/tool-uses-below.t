#!/bin/bash
# If the kernel made something else of a function than disks and interfaces, bind refuses it or warns. The emulated machine has
# none of these, so another directory is mounted over that of sysfs, with what such a function's has.
. "${0%/*}/lib.sh"
export TERM=dumb

function=$(readlink -f "/sys/bus/pci/devices/$NVME")

# with DIRECTORY COMMAND...: the command, while DIRECTORY has what is in /tmp/more as well
with() {
	local directory=$1
	shift
	mkdir /tmp/work
	mount -t overlay -o "lowerdir=${directory//:/\\:},upperdir=/tmp/more,workdir=/tmp/work" overlay "$directory"
	"$@"
	umount "$directory"
	rm -r /tmp/more /tmp/work
}

# refuses NAME PATTERN [CURE]
refuses() {
	local output status=0
	output=$(flatiommu bind "$NVME" 2>&1) || status=$?
	is "$status" 1 "$1: bind refuses"
	like "$output" "$NVME: not bound: $2" "$1: and says why"
	[[ -z ${3-} ]] || like "$output" "; try: $3\$" "$1: with what mends it"
	is "$(driver_of "$NVME")" nvme "$1: it has its driver"
}

uses() {
	said '.checks[] | select(.check == "use") | .state + " " + .text' doctor "$NVME"
}

uses_are() {
	is "$(uses)" "$1" "$2"
}

uses_are '' "nothing uses it"

diag "a bus behind a function that is no bridge"
mkdir -p /tmp/more/pci10000:e0/10000:e0:1d.0 /tmp/more/pci10000:e0/10000:e0:1e.0 /tmp/more/pci10000:e0/power
with "$function" refuses "as of Intel VMD" "it is the way to a PCI bus, which bind removes, with 10000:e0:1d.0 and 1 more" \
	"flatiommu doctor 10000:e0:1d.0"

diag "devices that are made of it"
uuid=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
mkdir -p /tmp/more/mdev/devices
ln -s "$function/power" /tmp/more/mdev/devices/$uuid
with /sys/bus refuses "a mediated device" "the mediated device $uuid is made of it, and bind removes that" \
	"echo 1 >/sys/bus/mdev/devices/$uuid/remove"
mkdir -p /tmp/more/mdev/devices
ln -s "/sys/bus/pci/devices/$EDU/power" /tmp/more/mdev/devices/$uuid
with /sys/bus uses_are '' "another function's is not this one's"
mkdir -p /tmp/more/vdpa/devices
ln -s "$function/power" /tmp/more/vdpa/devices/vdpa3
with /sys/bus refuses "a vDPA device" "the vDPA device vdpa3 is made of it" "vdpa dev del vdpa3"

diag "screens and consoles"
screen() {
	mkdir -p /tmp/more/graphics /tmp/more/vtconsole/vtcon7
	ln -s "$function/power" /tmp/more/graphics/fb7
	echo "$1" >/tmp/more/vtconsole/vtcon7/name
	echo "$2" >/tmp/more/vtconsole/vtcon7/bind
}
screen "(M) frame buffer device" 1
with /sys/class uses_are "warning fb7 shows the text console: the screen stays as it is then" "the text console is said"
screen "(M) frame buffer device" 0
with /sys/class uses_are '' "one that shows none is not"
screen "(S) dummy device" 1
with /sys/class uses_are '' "nor if the console is elsewhere"
# console COMMAND...: while the kernel has a console of virtio
console() {
	printf '%-21s%s\n' hvc0 "-W- (EC p  )  229:0" >/tmp/consoles
	mount --bind /tmp/consoles /proc/consoles
	"$@"
	umount /proc/consoles
	rm /tmp/consoles
}
virtio() {
	mkdir -p /tmp/more/virtio9
	ln -s "/sys/bus/virtio/drivers/$1" /tmp/more/virtio9/driver
}
virtio virtio_console
with "$function" console refuses "a console of virtio" "it has hvc0, or a console like it, and hvc0 is the kernel's console"
virtio virtio_rng
with "$function" console uses_are '' "another virtio function is not a console"

diag "a graphics card that sysfs does not have below its function"
mkdir -p "/tmp/more/nvidia/gpus/$NVME"
printf 'Model: \t\t Invented\nDevice Minor: \t 7\n' >"/tmp/more/nvidia/gpus/$NVME/information"
mknod /dev/nvidia7 c 1 3
mknod /dev/nvidia70 c 1 3
tail -f /dev/nvidia7 &
holder=$!
tail -f /dev/nvidia70 &
other=$!
has_open() {
	[[ $(readlink "/proc/$1"/fd/*) == *"$2"* ]]
}
until_true 20 has_open $holder /dev/nvidia7
until_true 20 has_open $other /dev/nvidia70
mount --bind /tmp/more /proc/driver
refuses "as of NVIDIA" "/dev/nvidia7 is open by tail\\[$holder\\] \\(--force binds it all the same\\)" "kill $holder"
umount /proc/driver
rm -r /tmp/more
kill $holder $other
wait $holder $other 2>/dev/null
rm /dev/nvidia7 /dev/nvidia70

uses_are '' "in the end nothing uses it"
done_testing
