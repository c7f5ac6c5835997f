#!/bin/bash
# The commands of README.md and doc/ for which docs.list names this test: each one works as written, and does what its
# page says.
# shellcheck source=tests/guest/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/guest/peers.sh
. "${0%/*}/peers.sh"

typed=

# types COMMAND [INSTEAD]: what the page has, or, where that names what is not here, INSTEAD; its output is in $said,
# and its exit status in $status
types() {
	typed+=$1$'\n'
	grep -qxF "docs.t	$1" "${0%/*}/docs.list" || not_ok "docs.list has $1"
	said=$(eval "${2:-$1}" 2>&1 </dev/null)
	status=$?
}

# works COMMAND [INSTEAD]
works() {
	types "$@"
	is "$status" 0 "$1"
	((!status)) || diag "$said"
}

# an interrupt that was never asked for has its number for good once it was
before=$(pci_snapshot | grep -v '/irq:')
modprobe uio_pci_generic
works 'cat /sys/kernel/security/lockdown'
works 'ulimit -l unlimited'
works 'flatiommu list'
like "$said" "$NVME +nvme" "it has the disk"

diag "troubleshooting.md and fleets.md"
release=$(uname -r)
mkdir -p "/lib/modules/$release/updates"
cp "$MODULE" "/lib/modules/$release/updates"
works 'depmod RELEASE' "depmod $release"
works 'modprobe flatiommu'
works 'flatiommu status'
works 'flatiommu status --json'
is "$(jq -r '.functions | length' <<<"$said")" 0 "nothing is claimed"
works 'flatiommu status --metrics'
like "$said" 'flatiommu_functions\{state="open"\} 0' "there are numbers"
works 'flatiommu status --watch' 'timeout --preserve-status -s INT 3 flatiommu status --watch'
like "$said" " watching [0-9]+ functions" "it watches"
works 'flatiommu status --watch --json' 'timeout --preserve-status -s INT 3 flatiommu status --watch --json'
is "$(jq -r .event <<<"$said")" watching "in JSON, too"
types 'flatiommu doctor'
is $((status < 3)) 1 "flatiommu doctor"
types 'flatiommu doctor --json'
is "$status" "$(jq -r '.worst | if . == "problem" then 2 elif . == "ok" then 0 else 1 end' <<<"$said")" \
	"flatiommu doctor --json: its status is the worst"
types 'flatiommu doctor --pid PID' "flatiommu doctor --pid $$"
like "$said" "process +docs.t\[$$\], of user 0" "flatiommu doctor --pid PID"
types 'flatiommu doctor 00:04.0'
like "$said" "0000:00:04.0" "flatiommu doctor 00:04.0"

diag "dpdk.md"
name_interface "$NIC" eth1
name_interface "$NIC_PEER" eth2
works 'flatiommu bind eth1 eth2'
works 'echo 512 >/proc/sys/vm/nr_hugepages'
mkfifo /tmp/typed
# what is typed into testpmd, once its links are up
{ sleep 10; echo start tx_first; sleep 3; printf '%s\n' stop quit; } >/tmp/typed &
types 'flatiommu run -- dpdk-testpmd -l 0,1 -- -i' 'flatiommu run -- dpdk-testpmd -l 0,1 -- -i </tmp/typed'
is "$status" 0 "flatiommu run -- dpdk-testpmd -l 0,1 -- -i"
like "$said" "IOVA mode 'PA'" "it takes physical addresses"
like "$said" "statistics for port 1 .*RX-packets: [1-9]" "and packets arrive"
echo 0 >/proc/sys/vm/nr_hugepages
rm -rf /run/dpdk /hugepages/*map_*
succeeds "both are given back" flatiommu unbind "$NIC" "$NIC_PEER"
interface_of "$NIC" >/dev/null
works 'dpdk-devbind.py -b vfio-pci' "modprobe -a flatiommu vfio-pci && dpdk-devbind.py --force -b vfio-pci $NIC_PEER"
is "$(driver_of "$NIC_PEER")" vfio-pci "it is bound"
release "$NIC_PEER"
works 'driverctl set-override' "driverctl --nosave set-override $NIC_PEER vfio-pci"
is "$(driver_of "$NIC_PEER")" vfio-pci "it is bound"
driverctl --nosave unset-override "$NIC_PEER"
release "$NIC_PEER"
interface_of "$NIC_PEER" >/dev/null

diag "fleets.md and troubleshooting.md"
name_interface "$NIC" eth1
works 'flatiommu bind --persist eth1'
files=(/etc/modules-load.d/flatiommu-bind.conf /etc/modprobe.d/flatiommu-bind.conf
	/etc/udev/rules.d/99-flatiommu-bind.rules)
succeeds "it has written its three files" cat "${files[@]}"
like "$(</etc/modprobe.d/flatiommu-bind.conf)" "softdep vfio-pci pre: flatiommu" "with the softdep"
works 'flatiommu unbind --all'
is "$(cat "${files[@]}" 2>/dev/null)" '' "and the files are gone"
# ENA's BAR 2 is prefetchable memory; that of this card is not
works 'flatiommu bind --wc 2 eth1' "flatiommu bind --wc 2 $SHM"
succeeds "it is given back" flatiommu unbind "$SHM"

diag "spdk.md"
disk=$(disk_of "$HOT_DEV")
works 'flatiommu bind nvme1n1' "flatiommu bind $disk"
works 'echo 1024 >/proc/sys/vm/nr_hugepages'
# which Debian does not have
mkdir /tmp/programs
cat >/tmp/programs/spdk_tgt <<'END'
#!/bin/sh
echo "groups: $(ls /sys/kernel/iommu_groups)"
END
cp /tmp/programs/spdk_tgt /tmp/programs/PROGRAM
chmod +x /tmp/programs/*
PATH=$PATH:/tmp/programs
works 'flatiommu run -- spdk_tgt'
is "$said" 'groups: ' "it sees no group"
works 'flatiommu run -- PROGRAM'
works 'flatiommu run' 'flatiommu run -- true'
echo 0 >/proc/sys/vm/nr_hugepages
succeeds "it is given back" flatiommu unbind "$HOT_DEV"

diag "from-uio.md and writing-a-driver.md"
unbind "$NIC"
works 'echo 8086 10d3 >/sys/bus/pci/drivers/uio_pci_generic/new_id'
is "$(driver_of "$NIC")" uio_pci_generic "it is bound"
echo 8086 10d3 >/sys/bus/pci/drivers/uio_pci_generic/remove_id
unbind "$NIC"
works 'flatiommu bind 0000:00:05.0'
works 'flatiommu bind' "flatiommu bind $TESTDEV"
works 'flatiommu bind 0000:00:06.0'
works './edu 0000:00:06.0 64' 'cd /flatiommu/bin && ./edu 0000:00:06.0 64'

diag "containers.md"
succeeds "all are given back" flatiommu unbind --all
# which had no driver as it was bound
probe "$NIC"
start_udev /flatiommu/60-flatiommu.rules
succeeds "one is bound" flatiommu bind "$EDU"
udevadm settle

# docker run OPTIONS IMAGE: as far as options go, what Docker does of them: a mount, a PID and a network namespace, a
# /dev that has what is named, and the capabilities that Docker leaves with those that are added
docker() {
	local devices=() caps=+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service
	local limit=64 program=
	caps+=,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap
	[[ $1 == run ]] || return
	shift
	while (($#)); do
		case $1 in
		--device) devices+=("$2") && shift ;;
		--cap-add) caps+=,+${2,,} && shift ;;
		--ulimit) [[ $2 == memlock=-1 ]] && limit=unlimited && shift || return ;;
		--*) return 1 ;;
		*) program=$1 ;;
		esac
		shift
	done
	ulimit -l "$limit"
	# shellcheck disable=SC2016
	devices="${devices[*]}" caps=$caps program=$program unshare --mount --pid --net --fork bash -c '
		mkdir /tmp/dev && mount -t tmpfs tmpfs /tmp/dev
		for device in /dev/null /dev/zero $devices; do
			mkdir -p "/tmp/dev/$(dirname "${device#/dev/}")"
			touch "/tmp/dev/${device#/dev/}"
			mount --bind "$device" "/tmp/dev/${device#/dev/}"
		done
		mount --rbind /tmp/dev /dev
		mount -t proc proc /proc
		mount -o remount,bind,ro /sys
		exec setpriv --bounding-set "-all,$caps" --inh-caps=-all "$program" 0000:00:06.0 64'
	status=$?
	rmdir /tmp/dev
	return "$status"
}
# shellcheck disable=SC2016
command='docker run --device /dev/vfio/vfio --device $(readlink -f /dev/vfio/by-path/pci-0000:00:06.0)'
command+=" --device /dev/flatiommu --cap-add SYS_RAWIO --cap-add IPC_LOCK --ulimit memlock=-1 IMAGE"
image=/flatiommu/bin/edu
works "$command" "${command/IMAGE/$image}"
# each part of it is needed, but for those about memory: this program takes less than anybody may
# shellcheck disable=SC2016
for part in '--device /dev/vfio/vfio' '--device $(readlink -f /dev/vfio/by-path/pci-0000:00:06.0)' \
	'--cap-add SYS_RAWIO'; do
	without=${command/"$part "/}
	fails "not without $part" eval "${without/IMAGE/$image}"
done
succeeds "it is given back" flatiommu unbind "$EDU"
stop_udev

works 'driverctl set-override 0000:00:04.0 vfio-pci' \
	'modprobe -a flatiommu vfio-pci && driverctl --nosave set-override 0000:00:04.0 vfio-pci'
is "$(driver_of "$NVME")" vfio-pci "it is bound"
driverctl --nosave unset-override "$NVME"
release "$NVME"
disk_of "$NVME" >/dev/null

is "$(sort -u <<<"${typed%$'\n'}")" "$(sed -n 's/^docs.t	//p' "${0%/*}/docs.list" | sort -u)" "that was all of docs.list"
rmmod flatiommu
modprobe -r vfio-pci uio_pci_generic
rm "/lib/modules/$release/updates/flatiommu.ko"
depmod "$release"
is "$(diff <(echo "$before") <(pci_snapshot | grep -v '/irq:'))" '' "all is as before"
done_testing
