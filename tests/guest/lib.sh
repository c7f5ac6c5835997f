# shellcheck shell=bash
# TAP for tests in shell. A test sources this and ends with done_testing:
#
#	. "${0%/*}/lib.sh"
#	is "$(driver_of "$NVME")" nvme "nvme has its driver"
#	done_testing

. "${BASH_SOURCE[0]%/*}/devices.sh"

_count=0 _failed=0

ok() {
	_count=$((_count + 1))
	echo "ok $_count - $1"
}

not_ok() {
	_count=$((_count + 1))
	_failed=$((_failed + 1))
	echo "not ok $_count - $1"
}

diag() {
	printf '%s\n' "$*" | sed 's/^/# /'
}

skip() {
	_count=$((_count + 1))
	echo "ok $_count - $1 # SKIP $2"
}

skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}

# is GOT EXPECTED NAME
is() {
	if [[ $1 == "$2" ]]; then
		ok "$3"
	else
		not_ok "$3"
		diag "got:      $1"
		diag "expected: $2"
	fi
}

isnt() {
	if [[ $1 != "$2" ]]; then
		ok "$3"
	else
		not_ok "$3"
		diag "got: $1"
	fi
}

# like GOT REGEX NAME
like() {
	if [[ $1 =~ $2 ]]; then
		ok "$3"
	else
		not_ok "$3"
		diag "got:           $1"
		diag "does not match $2"
	fi
}

unlike() {
	if [[ ! $1 =~ $2 ]]; then
		ok "$3"
	else
		not_ok "$3"
		diag "got:    $1"
		diag "matches $2"
	fi
}

# succeeds NAME COMMAND...: prints the command's output if it fails
succeeds() {
	local name=$1 output status=0
	shift
	output=$("$@" 2>&1) || status=$?
	if ((!status)); then
		ok "$name"
	else
		not_ok "$name"
		diag "$* : exit status $status"
		[[ -z $output ]] || diag "$output"
	fi
}

fails() {
	local name=$1 output
	shift
	if output=$("$@" 2>&1); then
		not_ok "$name"
		diag "$* : exit status 0"
		[[ -z $output ]] || diag "$output"
	else
		ok "$name"
	fi
}

# A test that ends early prints no plan, and so has failed.
done_testing() {
	echo "1..$_count"
	exit "$((_failed > 0))"
}

# errno_of FILE TEXT: writes TEXT to FILE in one write() and prints OK or the name of the error
errno_of() {
	"${BASH_SOURCE[0]%/*}/put" "$1" "$2"
}

# driver_of DEVICE: prints its driver, or nothing
driver_of() {
	local link
	link=$(readlink "/sys/bus/pci/devices/$1/driver") && echo "${link##*/}"
}

# group_of DEVICE: prints the number of its IOMMU group
group_of() {
	local link
	link=$(readlink "/sys/bus/pci/devices/$1/iommu_group") && echo "${link##*/}"
}

# has_groups: succeeds if the kernel has VFIO groups, and so type1; otherwise a function on vfio-pci only has its own node
has_groups() {
	[[ " $FLATIOMMU_KERNEL_WORDS " == *" GROUPS "* ]]
}

# has_iommu: succeeds if the machine has an IOMMU
has_iommu() {
	[[ $FLATIOMMU_MACHINE == *-iommu || $FLATIOMMU_MACHINE == virt-smmu ]]
}

# node_of DEVICE: prints the node that a program opens for a function on vfio-pci
node_of() {
	if has_groups; then
		echo "/dev/vfio/$(group_of "$1")"
	else
		echo "/dev/vfio/devices/$(ls "/sys/bus/pci/devices/$1/vfio-dev")"
	fi
}

# unsafe_interrupts: prints the parameter of type1, or of iommufd
unsafe_interrupts() {
	local module=vfio_iommu_type1
	has_groups || module=iommufd
	modprobe "$module"
	echo "/sys/module/$module/parameters/allow_unsafe_interrupts"
}

# said FILTER COMMAND...: prints a value of the command's JSON
said() {
	local filter=$1
	shift
	flatiommu --json "$@" 2>/tmp/stderr | jq -r "$filter"
}

# until_true SECONDS COMMAND...: waits until the command succeeds, for things that the kernel does later
until_true() {
	local i limit=$1
	shift
	for ((i = 0; i < limit * 10; i++)); do
		if "$@"; then
			return
		fi
		sleep 0.1
	done
	return 1
}

# unplug ID: unplugs a device by QEMU's name, as a host does; returns when it is gone
unplug() {
	local said
	said=$(wc -l </run/qmp)
	qmp "{\"execute\": \"device_del\", \"arguments\": {\"id\": \"$1\"}}" >/dev/null &&
		qmp --wait "\"DEVICE_DELETED\", \"data\": {\"device\": \"$1\"" "${2:-60}" "$said" >/dev/null
}

# plug_hotdev: plugs the nvme of HOT_DEV in again
plug_hotdev() {
	qmp '{"execute": "device_add", "arguments": {"driver": "nvme", "id": "hotdev", "bus": "hot1",
		"serial": "flat4", "drive": "nvme4", "max_ioqpairs": 7, "msix_qsize": 8}}' >/dev/null &&
		until_true 60 test -e "/sys/bus/pci/devices/$HOT_DEV"
}

# plug_edu: plugs an edu named edu-hot into the empty slot, at HOT_EMPTY_DEV
plug_edu() {
	qmp '{"execute": "device_add", "arguments": {"driver": "edu", "id": "edu-hot", "bus": "hot0",
		"dma_mask": 18446744073709551615}}' >/dev/null &&
		until_true 60 test -e "/sys/bus/pci/devices/$HOT_EMPTY_DEV"
}

# start_udev [RULES...]: only with these rules and those in /etc, so that it renames nothing and opens no disk
start_udev() {
	mkdir -p /run/udev
	mount -t tmpfs tmpfs /usr/lib/udev/rules.d
	(($# == 0)) || cp "$@" /usr/lib/udev/rules.d/
	/usr/lib/systemd/systemd-udevd --daemon
	udevadm control --ping
}

# comes DEVICE: lets udev handle the device as at boot
comes() {
	udevadm control --reload
	# waits until it has done so
	udevadm control --ping
	udevadm trigger --action=add "/sys/bus/pci/devices/$1"
	udevadm settle
}

stop_udev() {
	udevadm control --exit
	umount /usr/lib/udev/rules.d
	rm -rf /run/udev /dev/vfio/by-path /dev/vfio/devices/by-path
}

_mark=

log_mark() {
	_mark="flatiommu-test: mark $$ $RANDOM$RANDOM"
	echo "$_mark" >/dev/kmsg
}

# log_since: prints the kernel log since log_mark, without the time stamps
log_since() {
	"${BASH_SOURCE[0]%/*}/klog" "$_mark"
}

# For tests of the module.
export MODULE=/flatiommu/flatiommu.ko
export CLAIM=/sys/class/misc/flatiommu/claim RELEASE=/sys/class/misc/flatiommu/release

# iommus: prints all groups and IOMMUs, one a line
iommus() {
	ls -A /sys/kernel/iommu_groups /sys/class/iommu
}

# pci_snapshot: prints all of /sys/bus/pci and of the groups, one file or link a line, without the parts that a function's
# first driver changes for good
pci_snapshot() {
	find /sys/bus/pci /sys/kernel/iommu_groups -printf '%p %l\n'
	find /sys/bus/pci/devices/*/ /sys/kernel/iommu_groups/ -maxdepth 2 -type f -perm -u=r ! -name 'resource*[0-9c]' \
		! -name config ! -name rom ! -name vpd ! -name pools ! -name power_state ! -name waiting_for_supplier \
		! -path '*/power/runtime*' ! -path '*/power/wakeup*' -exec grep -asH '' {} +
}

# sys_shape: prints how many files of each name /sys has, without numbers in names, which may change when things come back
sys_shape() {
	find /sys -xdev -path /sys/kernel/slab -prune -o -printf '%p %l\n' | sed 's/[0-9]\+/N/g' | sort | uniq -c
}

# programs: prints the names of all processes except the kernel's own, this test's, and dead ones that the machine's init has
# not collected yet
programs() {
	ps -e -o ppid=,stat=,comm= | awk -v own="${0##*/}" '
		$1 != 2 && $2 !~ /Z/ && $3 != own && $3 !~ /^(ps|awk|sort)$/ { print $3 }' | sort
}

# written_since FILE DIRECTORY...: prints files on the disk that were written after FILE, outside of these directories; /run
# and /tmp are not on the disk
written_since() {
	local directory but=()
	for directory in /dev /proc /run /sys /tmp "${@:2}"; do
		but+=(-path "$directory" -prune -o)
	done
	find / -xdev "${but[@]}" -newer "$1" -print
}

# groups_are NUMBERS: succeeds if these are all IOMMU groups
groups_are() {
	[[ $(ls /sys/kernel/iommu_groups) == "$1" ]]
}

# flat_log: prints the module's messages since log_mark
flat_log() {
	"${BASH_SOURCE[0]%/*}/klog" "$_mark" 'flatiommu: '
}

# without_rawio COMMAND...: runs it as root without CAP_SYS_RAWIO
without_rawio() {
	setpriv --inh-caps=-sys_rawio --bounding-set=-sys_rawio "$@"
}

# as_nobody COMMAND...: runs it as a user without any capability
as_nobody() {
	setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

# override DEVICE DRIVER: sets driver_override; '' removes it
override() {
	echo "$2" >"/sys/bus/pci/devices/$1/driver_override"
}

unbind() {
	echo "$1" >"/sys/bus/pci/devices/$1/driver/unbind"
}

probe() {
	echo "$1" >/sys/bus/pci/drivers_probe
}

# user_taint: prints 64 if TAINT_USER is set, which a claim sets
user_taint() {
	echo $(($(</proc/sys/kernel/tainted) & 64))
}

# refused NAME ERRNO LINE COMMAND...: the module logs LINE, a regex, and nothing else. COMMAND is errno_of.
refused() {
	local name=$1 errno=$2 line=$3 before
	shift 3
	before=$(iommus)
	log_mark
	is "$("$@")" "$errno" "$name: $errno"
	like "$(flat_log)" "^flatiommu: $line\$" "$name: the log says why"
	is "$(iommus)" "$before" "$name: nothing is left behind"
}

_first_disk() {
	local path
	for path in "/sys/bus/pci/devices/$1/nvme/"nvme*/nvme*n1; do
		[[ ! -b /dev/${path##*/} ]] || echo "/dev/${path##*/}"
	done
}

_has_disk() {
	[[ -n $(_first_disk "$1") ]]
}

# disk_of DEVICE: prints the disk of an nvme whose driver may be starting
disk_of() {
	until_true 60 _has_disk "$1" && _first_disk "$1"
}

_has_interface() {
	[[ -n $(ls "/sys/bus/pci/devices/$1/net" 2>/dev/null) ]]
}

# interface_of DEVICE: prints the interface of a network card whose driver may be starting
interface_of() {
	until_true 60 _has_interface "$1" || {
		{
			echo "$1 has no interface; all of this namespace, and what the driver said:"
			ls /sys/class/net
			grep ' /sys ' /proc/self/mountinfo
			dmesg | grep -F "$1" | tail -n 10
		} >&2
		return 1
	}
	ls "/sys/bus/pci/devices/$1/net"
}

# name_interface DEVICE NAME: whoever has the name gets another one
name_interface() {
	local name=$2 is
	is=$(interface_of "$1")
	[[ $is != "$name" ]] || return 0
	if [[ -e /sys/class/net/$name ]]; then
		ip link set "$name" down && ip link set "$name" name "was-$name"
	fi
	ip link set "$is" down && ip link set "$is" name "$name"
}
