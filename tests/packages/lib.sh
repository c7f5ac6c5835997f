# shellcheck shell=bash
# TAP on the second serial port, for what runs in the Debian guest, as root, once a boot.
export HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C
exec >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw -echo
cd /root/flatiommu || exit 1
_count=$(cat /root/count 2>/dev/null || echo 0)
version=$(<VERSION)
# where the examples are
programs=/root

result() {
	_count=$((_count + 1))
	echo "$1 $_count - $2"
}

# succeeds NAME COMMAND...
succeeds() {
	local name=$1 output status
	shift
	output=$("$@" 2>&1)
	status=$?
	if ((!status)); then
		result ok "$name"
	else
		result 'not ok' "$name"
		printf '%s: exit status %d\n%s\n' "$*" "$status" "$output" | tail -n 40 | sed 's/^/# /'
	fi
}

fails() {
	local name=$1
	shift
	if "$@" >/dev/null 2>&1; then
		result 'not ok' "$name"
	else
		result ok "$name"
	fi
}

# says PATTERN NAME COMMAND...
says() {
	local pattern=$1 name=$2 output
	shift 2
	output=$("$@" 2>&1)
	if [[ $output =~ $pattern ]]; then
		result ok "$name"
	else
		result 'not ok' "$name"
		printf '%s, instead of %s\n' "$output" "$pattern" | sed 's/^/# /'
	fi
}

is() {
	if [[ $1 == "$2" ]]; then
		result ok "$3"
	else
		result 'not ok' "$3"
		printf 'got:      %s\nexpected: %s\n' "$1" "$2" | sed 's/^/# /'
	fi
}

# documented PATTERN: the commands of doc/ that match, for this version
documented() {
	sed -n 's/^packages\t//p' docs.list | sed "s/VERSION/$version/" | grep -E "$1"
}

# follows NAME COMMANDS: a line each; who is asked says yes
follows() {
	local line
	[[ -n $2 ]] || result 'not ok' "$1: README has such commands"
	while read -r line; do
		succeeds "$1: $line" bash -c "$line" < <(yes 2>/dev/null)
	done <<<"$2"
}

# builds EXAMPLE...: of those that the package has, as doc/ says
builds() {
	local example flags sources
	read -ra flags < <(pkg-config --cflags --libs libflatiommu)
	for example; do
		mapfile -t sources < <(find /usr/share/doc/libflatiommu-dev/examples -path "*/$example*.c")
		succeeds "$example is built" cc -o "$programs/$example" "${sources[@]}" "${flags[@]}"
	done
}

# Warnings are not problems.
without_problems() {
	flatiommu doctor || (($? == 1))
}

# moves_data DEVICE: to the disk and back
moves_data() {
	head -c 65536 /dev/urandom >/root/data
	"$programs/nvme" "$1" write 8 </root/data && "$programs/nvme" "$1" read 8 128 | cmp - /root/data
}

# drives NAME: devices are bound, used and given back
drives() {
	local edu=0000:00:04.0 disk=0000:00:05.0
	# at boot the kernel's driver may be about to take it
	udevadm settle
	succeeds "$1: doctor has no problem" without_problems
	succeeds "$1: bind" flatiommu bind "$edu" "$disk"
	succeeds "$1: hello" "$programs/hello" "$edu"
	succeeds "$1: edu" "$programs/edu" "$edu" 64
	succeeds "$1: nvme" moves_data "$disk"
	succeeds "$1: unbind" flatiommu unbind "$edu" "$disk"
	is "$(basename "$(readlink /sys/bus/pci/devices/$disk/driver)")" nvme "$1: the disk is the kernel's again"
	fails "$1: the module is gone" test -e /sys/module/flatiommu
	follows "$1" "$(documented ^journalctl)"
}

# claims_locked_down: the module, as it is installed, is one that is built to
claims_locked_down() {
	grep -q "going on, as this module was built" "$(modinfo -n flatiommu)"
}

# next_boot: goes on after it
next_boot() {
	echo "$_count" >/root/count
	sync
	systemctl poweroff
}
