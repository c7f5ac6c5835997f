#!/bin/bash
# Each refusal has its own errno, a line in the log that says why, and leaves nothing behind. The taint
# comes with the first claim and not before; it stays, so no test before this one may claim.
. "${0%/*}/lib.sh"

parameters=/sys/module/flatiommu/parameters

# refused_silently NAME ERRNO COMMAND...: of what is no claim, release or map
refused_silently() {
	is "$("${@:3}")" "$2" "$1: $2"
}

# insmod_refused NAME MESSAGE COMMAND...
insmod_refused() {
	local name=$1 message=$2 output
	shift 2
	output=$("$@" 2>&1)
	like "$output" "$message" "$name: $message"
	fails "$name: the module is not there" test -e /sys/module/flatiommu
	fails "$name: nor is its device" test -e /dev/flatiommu
	is "$(iommus)" "$none" "$name: nothing is claimed"
}

none=$(iommus)
is "$(user_taint)" 0 "the kernel has not the taint"

# what insmod refuses
log_mark
insmod_refused "devices= with a word" "Invalid parameters" insmod "$MODULE" devices=hello
like "$(flat_log)" "hello is not a PCI address" "the log says which word"
insmod_refused "devices= with a word after an address" "Invalid parameters" insmod "$MODULE" "devices=$EDU,hello"
insmod_refused "devices= with a slot that cannot be" "Invalid parameters" insmod "$MODULE" "devices=0000:00:20.0"
insmod_refused "devices= without CAP_SYS_RAWIO" "Operation not permitted" \
	without_rawio insmod "$MODULE" "devices=$EDU"
insmod_refused "auto= with a word" "Invalid parameters" insmod "$MODULE" auto=perhaps
insmod_refused "on_refusal= with a word" "Invalid parameters" insmod "$MODULE" on_refusal=perhaps

insmod "$MODULE"
is "$(iommus)" "$none" "the module by itself claims nothing"
is "$(stat -c %a /dev/flatiommu)" 600 "/dev/flatiommu is for root"
is "$(stat -c %a "$CLAIM" "$RELEASE" | tr '\n' ' ')" "200 200 " "claim and release are for root to write"
is "$(stat -c %a "${CLAIM%claim}"{refusals,refusal_causes,held,held_released_at_limit} | tr '\n' ' ')" "400 400 400 400 " \
	"refusals, their causes, and what is held are for root to read"

spaces='                                '
# malformed text. Numbers of more than 32 bits must not be cut to a device that exists.
malformed=(
	$'\n' ' ' hello "$EDU." "${EDU}x" "$EDU $EDU" "$EDU,$NIC" "0$EDU" "${EDU%.0}" "-$EDU"
	" $EDU" "$EDU " $'\t'"$EDU" "$EDU"$'\n\n' $'\n'"$EDU"
	0000:0x:06.0 0x0:00:06.0 "0000:00: 6.0" 0000:00:06.
	0000:00:20.0 0000:00:06.8 0000:100:06.0 ffffffff:00:06.0
	100000000:00:06.0 0:100000000:6.0 0:0:100000006.0 0:0:6.100000000
	"0000000000000000000000000000$EDU" "$EDU$spaces"
)
log_mark
before=$(iommus)
for text in "${malformed[@]}"; do
	is "$(errno_of "$CLAIM" "$text")" EINVAL "claim of '${text//[$'\n ']/_}': EINVAL"
done
is "$(errno_of "$RELEASE" "${malformed[2]}")" EINVAL "release of '${malformed[2]}': EINVAL"
log=$(flat_log)
is "$(grep -c ' is not a PCI address such as ' <<<"$log")" $((${#malformed[@]} + 1)) "the log tells of each"
like "$log" "'hello' is not a PCI address" "with the text"
is "$(iommus)" "$before" "nothing is left behind"

for file in "$CLAIM" "$RELEASE"; do
	name=${file##*/}
	refused "$name of no such device" ENODEV "0000:00:1f\.7: there is no such PCI function" \
		errno_of "$file" 0000:00:1f.7
	refused "$name of no such domain" ENODEV "12345:00:06\.0: there is no such PCI function" \
		errno_of "$file" 12345:00:06.0
	refused "$name by root without CAP_SYS_RAWIO" EPERM \
		"put\[[0-9]+\] may not claim or release: that needs CAP_SYS_RAWIO in the initial user namespace" \
		without_rawio put "$file" "$EDU"
	chmod 666 "$file"
	refused "$name by nobody" EPERM "put\[[0-9]+\] may not claim or release: that needs CAP_SYS_RAWIO in the initial user namespace" \
		as_nobody put "$file" "$EDU"
	chmod 200 "$file"
done
refused "claim of a bridge" EOPNOTSUPP "$BRIDGE: not claimed: it is a bridge" errno_of "$CLAIM" "$BRIDGE"
insmod /flatiommu/setting.ko function="$EDU" is=external
refused "claim of a device behind an external port" EOPNOTSUPP "$EDU: not claimed: it is behind an external port, [^"$'\n'"]*" \
	errno_of "$CLAIM" "$EDU"
rmmod setting
insmod /flatiommu/setting.ko function="$EDU" is=bounced
refused "claim of a device whose DMA is bounced" EAFNOSUPPORT "$EDU: not claimed: its DMA must be bounced [^"$'\n'"]*" \
	errno_of "$CLAIM" "$EDU"
rmmod setting
refused "claim of a bound device" EBUSY "$NVME: not claimed: nvme is bound to it; unbind that first" \
	errno_of "$CLAIM" "$NVME"
refused "release of what is not claimed" ENOENT "$EDU: not released: it is not claimed" \
	errno_of "$RELEASE" "$EDU"

# the parameters
for parameter in auto on_refusal on_unmap hold_limit on_hold_full; do
	before=$(<$parameters/$parameter)
	refused_silently "$parameter by root without CAP_SYS_RAWIO" EPERM \
		without_rawio put $parameters/$parameter "$before"
	refused_silently "a word for $parameter" EINVAL errno_of $parameters/$parameter perhaps
	chmod 666 $parameters/$parameter
	refused_silently "$parameter by nobody" EPERM as_nobody put $parameters/$parameter "$before"
	chmod 644 $parameters/$parameter
	is "$(<$parameters/$parameter)" "$before" "$parameter is what it was"
done
refused_silently "devices= of a loaded module" EACCES errno_of $parameters/devices "$EDU"

# the device: EINVAL is for the write, so the open succeeded
refused_silently "/dev/flatiommu for root" EINVAL errno_of /dev/flatiommu x
chmod 666 /dev/flatiommu
refused_silently "/dev/flatiommu for root without CAP_SYS_RAWIO" EPERM without_rawio put /dev/flatiommu x
refused_silently "/dev/flatiommu for nobody" EPERM as_nobody put /dev/flatiommu x
chmod 600 /dev/flatiommu

# the first claim
is "$(user_taint)" 0 "refusals do not taint"
is "$(iommus)" "$none" "nothing is claimed"
log_mark
is "$(errno_of "$CLAIM" "$EDU")" OK "edu is claimed"
is "$(user_taint)" 64 "the first claim taints"
like "$(flat_log)" "^flatiommu: $EDU: claimed by hand: [^"$'\n'"]*"$'\n'"flatiommu: [^"$'\n'"]*taints the kernel\$" \
	"the log has a line of the claim and one of the taint"
log_mark
is "$(errno_of "$CLAIM" "$TESTDEV"$'\n')" OK "a second device is claimed"
like "$(flat_log)" "^flatiommu: $TESTDEV: claimed by hand: [^"$'\n'"]*\$" "the taint is told once"

# what is refused because of a claim
refused "a second claim" EEXIST "$EDU: not claimed: it is claimed already" errno_of "$CLAIM" "$EDU"
refused "release of a claim by root without CAP_SYS_RAWIO" EPERM \
	"put\[[0-9]+\] may not claim or release: that needs CAP_SYS_RAWIO in the initial user namespace" without_rawio put "$RELEASE" "$EDU"
unbind "$NVME"
is "$(errno_of "$CLAIM" "$NVME")" OK "nvme is claimed"
probe "$NVME"
is "$(driver_of "$NVME")" nvme "and bound to its driver again"
refused "release while bound to nvme" EBUSY "$NVME: not released: nvme is bound to it; unbind that first" \
	errno_of "$RELEASE" "$NVME"
refused "a second claim while bound" EEXIST "$NVME: not claimed: it is claimed already" errno_of "$CLAIM" "$NVME"
modprobe vfio-pci
unbind "$NVME"
override "$NVME" vfio-pci
probe "$NVME"
is "$(driver_of "$NVME")" vfio-pci "nvme is bound to vfio-pci"
refused "release while bound to vfio-pci" EBUSY \
	"$NVME: not released: vfio-pci is bound to it; unbind that first" errno_of "$RELEASE" "$NVME"

unbind "$NVME"
override "$NVME" ''
for device in "$EDU" "$TESTDEV" "$NVME"; do
	log_mark
	is "$(errno_of "$RELEASE" "$device")" OK "$device is released"
	is "$(flat_log)" "flatiommu: $device: released" "the log says so"
done
is "$(iommus)" "$none" "nothing is left behind"
refused "a second release" ENOENT "$EDU: not released: it is not claimed" errno_of "$RELEASE" "$EDU"
probe "$NVME"
succeeds "the module unloads" rmmod flatiommu
rmmod vfio_pci
is "$(driver_of "$NVME")" nvme "nvme has its driver again"
done_testing
