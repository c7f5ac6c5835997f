#!/bin/bash
# Virtual functions: doctor says whether one answers, whether it needs a token, and whether it exists after a reboot; a program
# on the library opens it.
. "${0%/*}/lib.sh"
. "${0%/*}/doctor.sh"
export TERM=dumb

doctor=(flatiommu --json doctor)
pf=/sys/bus/pci/devices/$SRIOV_PF
enable=/sys/module/vfio_pci/parameters/enable_sriov
rules=/etc/udev/rules.d/60-flatiommu-vfs.rules
token=bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3

vectors() {
	line vectors . "${doctor[@]}" "$1" | jq -r '.state + " " + .text'
}

sriov() {
	line sriov "$1" "${doctor[@]}" "$2" | jq -r .state
}

# make_vf: by the physical function, which has vfio-pci
make_vf() {
	echo 0 >"$pf/sriov_numvfs"
	echo 1 >"$pf/sriov_numvfs"
	succeeds "vfio-pci binds the virtual one" until_true 20 driver_is "$SRIOV_VF0" vfio-pci
	# QEMU's are gone once the physical one is reset, as when it is opened, and the kernel would wait for one a minute
	echo >"/sys/bus/pci/devices/$SRIOV_VF0/reset_method"
}

driver_is() {
	[[ $(driver_of "$1") == "$2" ]]
}

is_live() {
	[[ $(cat "$pf"/nvme/nvme*/state 2>/dev/null) == live ]]
}

until_true 60 is_live
is "$(sriov "^0 virtual functions of 2" "$SRIOV_PF")" ok "how many there may be"
echo 0 >"$pf/sriov_drivers_autoprobe"
echo 1 >"$pf/sriov_numvfs"
until_true 20 test -e "/sys/bus/pci/devices/$SRIOV_VF0"
is "$(sriov "^1 virtual functions of 2" "$SRIOV_PF")" ok "and are"
flatiommu bind "$SRIOV_VF0" >/dev/null

diag "one that answers"
is "$(od -An -tx2 -N4 "/sys/bus/pci/devices/$SRIOV_VF0/config" | xargs)" "ffff ffff" "its own ids are all ones"
like "$(vectors "$SRIOV_VF0")" "^ok MSI-X [1-9][0-9]*, MSI 0, INTx no" "doctor says how many vectors it has"
is "$(sriov "a virtual function of $SRIOV_PF\$" "$SRIOV_VF0")" ok "and whose it is"
succeeds "a program opens it" hello "$SRIOV_VF0"
is "$("${doctor[@]}" --run "$SRIOV_VF0" | jq -r '.checks[] | select(.function and .state == "problem") | .text')" '' \
	"doctor --run finds no problem"

diag "one that a program has open"
: >/tmp/holder
holder "$SRIOV_VF0" device >/tmp/holder &
until_true 20 test -s /tmp/holder
output=$(timeout -k 1 60 flatiommu bind --force "$SRIOV_PF" 2>&1)
is "$?" 1 "the physical one is not bound, not even with --force"
like "$output" "$SRIOV_VF0: open by holder\[$(</tmp/holder)\]" "and bind says who has the virtual one"
is "$(driver_of "$SRIOV_PF")" nvme "it keeps its driver"
is "$("${doctor[@]}" "$SRIOV_PF" | jq -r '.checks[] | select(.check == "use" and .state == "problem") | .text')" \
	"its virtual function $SRIOV_VF0 is open by holder[$(</tmp/holder)]: bind refuses it, also with --force
it has 1 virtual function, which bind removes, and unbind does not make again: bind needs --force" "doctor says it, too"
unlike "$(flatiommu doctor "$SRIOV_PF")" "sriov_numvfs" "and offers nothing that would wait for that program"
echo "$SRIOV_VF0" >/sys/bus/pci/drivers/vfio-pci/unbind &
until_true 20 driver_is "$SRIOV_VF0" ''
output=$(timeout -k 1 60 flatiommu bind --force "$SRIOV_PF" 2>&1)
is "$?" 1 "nor while the virtual one is being unbound"
like "$output" "$SRIOV_VF0: an unbind of it waits for holder\[$(</tmp/holder)\]" "and bind says what waits"
is "$(driver_of "$SRIOV_PF")" nvme "it still has its driver"
kill "$(</tmp/holder)"
until_true 20 test ! -e "/proc/$(</tmp/holder)"
rm /tmp/holder
wait
flatiommu bind "$SRIOV_VF0" >/dev/null

diag "one that does not"
# as behind a link that is down: nothing is at that bus
bus=$(setpci -s "$BRIDGE" SECONDARY_BUS)
setpci -s "$BRIDGE" SECONDARY_BUS=fe
like "$(vectors "$SRIOV_VF0")" "^problem .*, nor does its physical function, $SRIOV_PF" "doctor says so, and of the physical function"
like "$(vectors "$SRIOV_PF")" "^problem it does not answer" "as of that one itself"
setpci -s "$BRIDGE" SECONDARY_BUS="$bus"
like "$(vectors "$SRIOV_VF0")" "^ok " "once it answers again, it is well"
head -c 4096 /dev/zero | tr '\0' '\377' >/tmp/config
mount --bind /tmp/config "/sys/bus/pci/devices/$SRIOV_VF0/config"
like "$(vectors "$SRIOV_VF0")" "^problem .* $SRIOV_PF, does\$" "the physical function's alone"
umount "/sys/bus/pci/devices/$SRIOV_VF0/config"
# as during a reset that takes its time
mkfifo /tmp/fifo
mount --bind /tmp/fifo "/sys/bus/pci/devices/$SRIOV_VF0/config"
like "$(vectors "$SRIOV_VF0")" "^warning config space cannot be read" "doctor does not wait for config space"
umount "/sys/bus/pci/devices/$SRIOV_VF0/config"
rm /tmp/fifo /tmp/config
is "$(pgrep -x flatiommu)" '' "and leaves no process behind"

diag "after a reboot"
is "$(line sriov reboot "${doctor[@]}" "$SRIOV_VF0")" null "what is not for longer needs nothing"
flatiommu unbind "$SRIOV_VF0" >/dev/null
extra=/lib/modules/$(uname -r)/extra
mkdir -p "$extra"
cp "$MODULE" "$extra"
depmod
succeeds "bind --persist" flatiommu bind --persist "$SRIOV_VF0"
broken "nothing makes it again" sriov warning "nothing makes the virtual functions again" \
	"echo 'ACTION==\"add\|bind\", .*ATTR\{sriov_numvfs\}=\"1\"' >>$rules" "${doctor[@]}" "$SRIOV_VF0"
is "$(sriov "after a reboot it is bound once it is made again, which $rules seems" "$SRIOV_VF0")" ok "and then it says what does"
flatiommu unbind "$SRIOV_VF0" >/dev/null
# as at boot: no virtual functions, and then udev sees the physical one get its driver
echo 0 >"$pf/sriov_numvfs"
/lib/systemd/systemd-udevd --daemon --resolve-names=never 2>/dev/null
udevadm settle 2>/dev/null
unbind "$SRIOV_PF"
probe "$SRIOV_PF"
succeeds "the rule makes it again" until_true 60 test -e "/sys/bus/pci/devices/$SRIOV_VF0"
udevadm control --exit
rm "$rules"
succeeds "bind --persist, once more" flatiommu bind --persist "$SRIOV_VF0"
like "$(line driver . "${doctor[@]}" "$SRIOV_VF0" | jq -r .text)" "^vfio-pci, after a reboot, too\$" "it is bound after a reboot"
# other_way FILE TEXT
other_way() {
	mkdir -p "${1%/*}"
	[[ ! -e $1 ]] || mv "$1" "$1-away"
	echo "$2" >"$1"
	is "$(sriov "which $1 seems to do" "$SRIOV_VF0")" ok "another way: $1"
	rm "$1"
	[[ ! -e $1-away ]] || mv "$1-away" "$1"
}
other_way /etc/systemd/network/10-pf.link SR-IOVVirtualFunctions=2
other_way /etc/systemd/network/10-pf.network '[SR-IOV]'
other_way /etc/systemd/system/vfs.service "ExecStart=/bin/sh -c 'echo 2 >/sys/class/net/eth0/device/sriov_numvfs'"
other_way /etc/tmpfiles.d/vfs.conf 'w /sys/class/net/eth0/device/sriov_numvfs - - - - 2'
other_way /etc/modprobe.d/vfs.conf 'options igb max_vfs=2'
other_way /etc/NetworkManager/system-connections/pf.nmconnection '[sriov]'
other_way /etc/netplan/10-pf.yaml 'virtual-function-count: 2'
other_way /etc/network/interfaces 'up echo 2 >/sys/class/net/eth0/device/sriov_numvfs'
other_way /etc/rc.local 'echo 2 >/sys/class/net/eth0/device/sriov_numvfs'
is "$(line sriov "nothing makes the virtual functions again" "${doctor[@]}" "$SRIOV_VF0" | jq -r .state)" warning "without these nothing does"
flatiommu unbind "$SRIOV_VF0" >/dev/null
rm -r "$extra"
depmod
until_true 60 is_live
echo 0 >"$pf/sriov_numvfs"
echo 1 >"$pf/sriov_drivers_autoprobe"

diag "the physical function on vfio-pci"
flatiommu bind "$SRIOV_PF" >/dev/null
echo 1 >$enable
make_vf
broken "no token" sriov warning "a virtual function of $SRIOV_PF, which is bound to vfio-pci: it needs the VF token" "export FLATIOMMU_VF_TOKEN=UUID" \
	"${doctor[@]}" "$SRIOV_VF0"
is "$(sriov "FLATIOMMU_VF_TOKEN is set" "$SRIOV_VF0")" ok "with a token doctor is content"
like "$(hello "$SRIOV_VF0" 2>&1)" "\"UUID\" is no UUID" "a program is not, if it is none"
unset FLATIOMMU_VF_TOKEN
like "$(hello "$SRIOV_VF0" 2>&1)" "$SRIOV_PF, is bound to vfio-pci, .* Cure: FLATIOMMU_VF_TOKEN=UUID" "without one it is told so"
succeeds "a program opens the physical one with a token" env FLATIOMMU_VF_TOKEN=$token hello "$SRIOV_PF"
make_vf
output=$(flatiommu unbind "$SRIOV_PF" 2>&1)
is "$?" 1 "the physical one is not given back while there is a virtual one"
like "$output" "not released: it has 1 virtual function, which unbind would remove; try: echo 0 >.*/sriov_numvfs\$" "and unbind says why"
is "$(driver_of "$SRIOV_VF0")" vfio-pci "which is left"
succeeds "and then the virtual one" env FLATIOMMU_VF_TOKEN=$token hello "$SRIOV_VF0"
succeeds "also by VFIO's own spelling" hello "$SRIOV_VF0 vf_token=$token"
fails "but by no other token" hello "$SRIOV_VF0 vf_token=${token/1/2}"
echo 0 >"$pf/sriov_numvfs"
echo 0 >$enable
flatiommu unbind --all >/dev/null
done_testing
