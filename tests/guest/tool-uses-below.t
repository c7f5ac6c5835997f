#!/bin/bash
# If the kernel made something else of a function than disks and interfaces, bind refuses it or warns. The emulated machine has
# none of these, so another directory is mounted over that of sysfs, with what such a function's has.
. "${0%/*}/lib.sh"
. "${0%/*}/uses.sh"
. "${0%/*}/overlay.sh"
export TERM=dumb
# of uses.sh
# shellcheck disable=SC2034
subject=$NVME driver=nvme

function=$(readlink -f "/sys/bus/pci/devices/$NVME")

# holds NODE [MINOR]: a program that has it open, as $holder
holds() {
	mknod "$1" c 1 "${2-3}"
	sleep 300 6<"$1" &
	holder=$!
	until_true 20 has_open "$1"
}

has_open() {
	[[ -n $(find "/proc/$holder/fd" -lname "$1") ]]
}

ends() {
	kill $holder
	wait $holder 2>/dev/null
	rm "$1"
}

# without what tests before have left on the disk
uses_are() {
	is "$(texts | grep -v ' may overwrite it$')" "$1" "$2"
}

uses_are '' "nothing uses it"

diag "a BAR by its file in sysfs"
sleep 300 6<"$function/resource0" &
holder=$!
until_true 20 has_open "$function/resource0"
refuses "a BAR" "its resource0 is open by sleep\\[$holder\\] " "kill $holder"
is "$(said '[.checks[] | select(.check == "use" and (.text | contains("resource0")))] | length' doctor "$FN0")" 0 "it is not another one's"
kill $holder
wait $holder 2>/dev/null

diag "a bus behind a function that is no bridge"
# puts PATH CLASS...: a function below, at this path of its bus, with the class as in modalias
puts() {
	while (($#)); do
		mkdir -p "/tmp/more/pci10000:e0/$1"
		echo "pci:v00001234d00005678sv00000000sd00000000$2" >"/tmp/more/pci10000:e0/$1/modalias"
		shift 2
	done
}
# on_bus PATH... -- COMMAND...: they are on the bus of PCI as well
on_bus() {
	mkdir -p /tmp/more/pci/devices
	while [[ $1 != -- ]]; do
		ln -s "$function/pci10000:e0/$1" "/tmp/more/pci/devices/${1##*/}"
		shift
	done
	shift
	over /sys/bus "$@"
}
port=10000:e0:06.0 disk=10000:e0:06.0/10000:e1:00.0 second=10000:e0:07.0/10000:e2:00.0
puts $port bc06sc04i00 $disk bc01sc08i02 $second bc01sc08i02
over "$function" on_bus $port $disk $second -- \
	refuses "as of Intel VMD" "it is the way to a PCI bus, which bind removes, with 10000:e1:00.0 and 1 more" \
	"flatiommu doctor 10000:e1:00.0"
puts $port bc06sc04i00
over "$function" on_bus $port -- uses_are '' "with nothing behind its ports it is free"

diag "devices that are made of it"
uuid=83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
# made KIND NAME FUNCTION COMMAND...: the command, while the device is made of the function
made() {
	mkdir -p "/tmp/more/$1/devices"
	ln -s "$3" "/tmp/more/$1/devices/$2"
	shift 3
	over /sys/bus "$@"
}
made mdev $uuid "$function/power" refuses "a mediated device" "the mediated device $uuid is made of it, and bind removes that" \
	"echo 1 >/sys/bus/mdev/devices/$uuid/remove"
made mdev $uuid "/sys/bus/pci/devices/$EDU/power" uses_are '' "another function's is not this one's"
made vdpa vdpa3 "$function/power" refuses "a vDPA device" "the vDPA device vdpa3 is made of it" "vdpa dev del vdpa3"
# in_group COMMAND...: its group is 77, whose node is one that no program has open
in_group() {
	more vfio/77/dev 1:7
	over /sys/class "$@"
}
# open_mdev NAME: what bind says then
open_mdev() {
	mkdir -p /tmp/more/$uuid
	ln -s ../../77 /tmp/more/$uuid/iommu_group
	over "$function" in_group made mdev $uuid "$function/$uuid" refuses "$1" \
		"the mediated device $uuid, which is made of it, is open by sleep\\[$holder\\] \\(also not with --force\\)" "kill $holder"
}
mkdir -p /dev/vfio
holds /dev/vfio/77 7
open_mdev "one that a program has open"
ends /dev/vfio/77
# shellcheck disable=SC2016
unshare --mount bash -c 'mount -t tmpfs none /dev && mknod /dev/own c 1 7 && exec sleep 300 6</dev/own' &
holder=$!
until_true 20 has_open /dev/own
open_mdev "one that a program in a container has open"
kill $holder
wait $holder 2>/dev/null

diag "screens and consoles"
screen() {
	mkdir -p /tmp/more/graphics /tmp/more/vtconsole/vtcon7
	ln -s "$function/power" /tmp/more/graphics/fb7
	echo "$1" >/tmp/more/vtconsole/vtcon7/name
	echo "$2" >/tmp/more/vtconsole/vtcon7/bind
}
screen "(M) frame buffer device" 1
over /sys/class uses_are "warning fb7 may show the text console, which is gone from that screen then" "the text console is said"
screen "(M) frame buffer device" 0
over /sys/class uses_are '' "one that shows none is not"
screen "(S) dummy device" 1
over /sys/class uses_are '' "nor if the console is elsewhere"
vga() {
	more vtconsole/vtcon7/name "(S) VGA+"
	more vtconsole/vtcon7/bind 1
	over /sys/class "$@"
}
more boot_vga 1
over "$function" vga uses_are "warning it has the screen with the text console, which is gone then" "so is one without a frame buffer"
more boot_vga 0
over "$function" vga uses_are '' "if it is this one's"
# keyboard HANDLERS COMMAND...: while one has these
keyboard() {
	printf '%s\n' 'I: Bus=0003' 'N: Name="Some Keyboard"' "S: Sysfs=${function#/sys}/power" "H: Handlers=$1" '' >/tmp/input
	mount --bind /tmp/input /proc/bus/input/devices
	shift
	"$@"
	umount /proc/bus/input/devices
	rm /tmp/input
}
keyboard "sysrq kbd leds event3 " uses_are "warning the keyboard Some Keyboard is behind it, and is gone then" "a keyboard is said"
keyboard "kbd event3 " uses_are '' "a power button is not"
# console [NAME NUMBER] COMMAND...: while the kernel has this console, or one of virtio
console() {
	local name=hvc0 number=229:0
	if [[ $1 == tty* ]]; then
		name=$1 number=$2
		shift 2
	fi
	printf '%-21s%s\n' "$name" "-W- (EC p  )  $number" >/tmp/consoles
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
over "$function" console refuses "a console of virtio" "it has hvc0, or a console like it, and hvc0 is the kernel's console"
virtio virtio_rng
over "$function" console uses_are '' "another virtio function is not a console"
# a character device of the function's
console ttyS9 "$(cat "$function"/nvme/nvme*/dev)" refuses "a serial port" "ttyS9 is the kernel's console"

diag "a graphics card that sysfs does not have below its function"
mkdir -p "/tmp/more/nvidia/gpus/$NVME"
printf 'Model: \t\t Invented\nDevice Minor: \t 7\n' >"/tmp/more/nvidia/gpus/$NVME/information"
mount --bind /tmp/more /proc/driver
holds /dev/nvidia70
uses_are '' "another card's is not this one's"
ends /dev/nvidia70
holds /dev/nvidia7
refuses "as of NVIDIA" "/dev/nvidia7 is open by sleep\\[$holder\\] \\(also not with --force\\)" "kill $holder"
output=$(flatiommu bind --force "$NVME" 2>&1)
is "$? $(driver_of "$NVME")" "1 nvme" "nor does --force bind it"
like "$output" "/dev/nvidia7 is open by sleep\\[$holder\\] \\(also not with --force\\); try: kill $holder\$" "which says so"
ends /dev/nvidia7
umount /proc/driver
rm -r /tmp/more

diag "a kernel that does not answer"
mkfifo /tmp/fifo
mount --bind /tmp/fifo /proc/swaps
is "$(texts)" "problem its users are not known: the kernel did not answer in 20 s: bind needs --force" "it is said, and doctor ends"
umount /proc/swaps
rm /tmp/fifo

uses_are '' "in the end nothing uses it"
done_testing
