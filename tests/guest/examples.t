#!/bin/bash
# The examples do the same on every backend, name it, and leave no page pinned, even when they are killed.
. "${0%/*}/lib.sh"

KILLS=20
BLOCKS=16384
LAST_MIB=63		# of the disk
random=/tmp/random wrote=/tmp/wrote
noiommu=/sys/module/vfio/parameters/enable_unsafe_noiommu_mode
thp=/sys/kernel/mm/transparent_hugepage/enabled

# pins: pages pinned so far, and those that still are
pins() {
	echo 1 >/proc/sys/vm/stat_refresh
	awk '/^nr_foll_pin_acquired/ { a = $2 } /^nr_foll_pin_released/ { r = $2 } END { print a, a - r }' /proc/vmstat
}

pinned_are() {
	local all now
	read -r all now < <(pins)
	: "$all"
	((now == $1))
}

# takes NAME [pins]: since pins were $before all were let go; there were some
takes() {
	local acquired left
	succeeds "$1: no page is left pinned" until_true 10 pinned_are "${before#* }"
	read -r acquired left < <(pins)
	: "$left"
	[[ ${2:-} != pins ]] || isnt "$acquired" "${before% *}" "$1: its memory was pinned"
}

# same NAME EXPECTED COMMAND...: it says EXPECTED, but for what is behind the device, and that is $backend
same() {
	local name=$1 expected=$2 said
	shift 2
	before=$(pins)
	said=$("$@" 2>&1)
	is "$?" 0 "$name: succeeds"
	is "$(grep -vE '^(backend|DMA|firmware) ' <<<"$said")" "$expected" "$name: does the same"
	[[ $said != *backend* ]] ||
		like "$(grep '^backend' <<<"$said")" "^backend +$backend(\$|: )" "$name: through $backend"
}

# disk NAME [OPTION...]: what the kernel's driver wrote can be read, and what is written is there
disk() {
	local name=$1
	shift
	before=$(pins)
	is "$(nvme "$@" "$NVME" read 0 $BLOCKS | sha256sum)" "$(sha256sum <$random)" "$name: nvme reads"
	head -c 1048576 /dev/urandom >$wrote
	nvme "$@" "$NVME" write $((LAST_MIB * 2048)) <$wrote
	is "$?" 0 "$name: nvme writes"
	is "$(nvme "$@" "$NVME" read $((LAST_MIB * 2048)) 2048 | sha256sum)" "$(sha256sum <$wrote)" "$name: what it wrote"
	takes "$name" pins
}

hello='device   0000:00:06.0 [1234:11e8], class 00ff
BAR 0    1048576 bytes
INTx     1
MSI      1
MSI-X    0'
edu='id       0x10000ed
copied   2048 bytes, there and back'
identify='model      QEMU NVMe Ctrl
serial     flat0
version    NVMe 1.4.0
transfer   up to 524288 bytes, here 131072 at queue depth 16
cache      volatile, flushed after a write
namespace  1: 131072 blocks of 512 bytes'
worker='worker   uid 65534, capabilities 0000000000000000'
killed='killed   by signal 9; its memory stays where it is, for another one'
copied='copied   1024 bytes, there and back,'

# A worker is killed, and another one has the memory that it had.
broken_worker() {
	local out=/tmp/broker broker pinned alive=1 tries
	before=$(pins)
	# on a slow machine it may be done before it is killed
	for ((tries = 0; alive && tries < 5; tries++)); do
		broker "$EDU" 64 1 >$out 2>&1 &
		broker=$!
		until_true 30 grep -q worker $out
		if pkill -KILL -P $broker; then
			alive=0
		else
			wait $broker
		fi
	done
	is $alive 0 "$backend: a worker is killed"
	pinned=$(pins)
	succeeds "$backend: another one works" until_true 30 grep -qz "worker.*worker" $out
	is "$(pins)" "$pinned" "$backend: the memory stayed pinned"
	isnt "${pinned#* }" "${before#* }" "$backend: it was"
	wait $broker
	is "$?" 0 "$backend: the broker succeeds"
	is "$(grep -v '^backend' $out)" "$worker"$'\n'"$killed"$'\n'"$worker"$'\n'"$copied 8 times" "$backend: the other one goes on"
	takes "$backend, a killed worker" pins
}

# all BACKEND
all() {
	backend=$1
	diag "$backend"
	same "$backend, hello" "$hello" hello "$EDU"
	takes "$backend, hello"
	same "$backend, edu" "$edu" edu "$EDU" 64
	takes "$backend, edu" pins
	same "$backend, nvme" "$identify" nvme "$NVME" identify
	takes "$backend, nvme" pins
	before=$(pins)
	like "$(nvme "$NVME" info)" "backend    $backend: " "$backend: nvme info says so"
	takes "$backend, nvme info"
	[[ -z $thp_before ]] || echo never >$thp
	disk "$backend, small pages"
	disk "$backend, small pages, one command at a time" --qdepth 1 --poll
	[[ -z $thp_before ]] || echo "$thp_before" >$thp
	echo 16 >/proc/sys/vm/nr_hugepages
	disk "$backend, huge pages"
	echo 0 >/proc/sys/vm/nr_hugepages
	same "$backend, broker" "$worker"$'\n'"$copied 8 times"$'\n'"$worker"$'\n'"$copied 16 times" broker "$EDU" 64 2
	takes "$backend, broker" pins
	broken_worker
}

# vfio_users: processes that have a file descriptor of VFIO or flatiommu
vfio_users() {
	find /proc/[0-9]*/fd \( -lname '/dev/vfio/*' -o -lname '/dev/iommu' -o -lname /dev/flatiommu \) 2>/dev/null
}

vfio_is_used() {
	[[ -n $(vfio_users) ]]
}

# In the middle of reads, as most of the disk is still to come when the first MiB is there.
killed_reader() {
	local i nvme wrong='' fifo=/tmp/fifo started=/tmp/started groups
	groups=$(iommus)
	before=$(pins)
	mkfifo $fifo
	for ((i = 0; i < KILLS; i++)); do
		rm -f $started
		{
			head -c 1048576 >/dev/null
			: >$started
			cat >/dev/null
		} <$fifo &
		nvme "$NVME" read 0 131072 >$fifo &
		nvme=$!
		until_true 30 test -e $started || wrong+="round $i: nothing was read; "
		kill -KILL $nvme
		wait $nvme 2>/dev/null
		[[ $? == 137 ]] || wrong+="round $i: it was not killed; "
		until_true 10 pinned_are "${before#* }" || wrong+="round $i: pages are pinned; "
		[[ -z $(vfio_users) ]] || wrong+="round $i: $(vfio_users) is open; "
	done
	wait
	rm $fifo
	is "$wrong" '' "nvme killed $KILLS times: nothing stays pinned or open"
	is "$(iommus)" "$groups" "claims and groups are as they were"
	like "$(nvme "$NVME" identify)" flat0 "the next one works"
	disk "after the last one was killed"
}

# An unbind ends a program that waits for its input.
asked_writer() {
	local fifo=/tmp/fifo input writer
	mkfifo $fifo
	exec {input}<>$fifo
	nvme "$NVME" write 0 <$fifo 2>/tmp/asked &
	writer=$!
	until_true 30 vfio_is_used
	unbind "$NVME"
	wait $writer
	isnt $? 0 "nvme, waiting for its input: an unbind ends it"
	like "$(</tmp/asked)" "is asked for: stopping" "and it says why"
	exec {input}>&-
	rm $fifo /tmp/asked
	probe "$NVME"
}

take() {
	local device
	for device in "$NVME" "$EDU"; do
		override "$device" vfio-pci
		[[ ! -e /sys/bus/pci/devices/$device/driver ]] || unbind "$device"
		probe "$device"
		is "$(driver_of "$device")" vfio-pci "$device is bound to vfio-pci"
	done
}

give_back() {
	local device
	for device in "$NVME" "$EDU"; do
		override "$device" ''
		unbind "$device"
		[[ -z ${1:-} ]] || is "$(errno_of "$RELEASE" "$device")" OK "$device is released"
	done
	probe "$NVME"
	is "$(driver_of "$NVME")" nvme "nvme has its driver again"
}

# a real-time kernel has none
thp_before=$(sed 's/.*\[\(.*\)\].*/\1/' $thp 2>/dev/null)
none=$(iommus)
head -c $((BLOCKS * 512)) /dev/urandom >$random
dd if=$random of="$(disk_of "$NVME")" bs=1M oflag=direct status=none
modprobe vfio-pci
iommufd=/sys/module/iommufd/parameters/allow_unsafe_interrupts
[[ ! -e $iommufd ]] || echo 1 >$iommufd

iommu=iommu
if ! has_iommu; then
	iommu=flatiommu
	insmod "$MODULE"
fi
take
if [[ -e $iommufd ]]; then
	all $iommu-iommufd
	if has_groups; then
		export FLATIOMMU_BACKEND=$iommu-type1
		all $iommu-type1
		unset FLATIOMMU_BACKEND
	fi
else
	all $iommu-type1
fi
killed_reader
asked_writer

if ! has_iommu; then
	give_back release
	rmmod flatiommu
	if [[ -e $iommufd ]]; then
		insmod "$MODULE" auto=N
		echo 1 >$noiommu
		take
		if [[ " $FLATIOMMU_KERNEL_WORDS " == *" NATIVE "* ]]; then
			all noiommu-iommufd
			export FLATIOMMU_BACKEND=noiommu-group
		fi
		! has_groups || all noiommu-group
		unset FLATIOMMU_BACKEND
		give_back
		echo 0 >$noiommu
		rmmod flatiommu
	fi
else
	give_back
fi
is "$(dd if="$(disk_of "$NVME")" bs=1M skip=$LAST_MIB count=1 iflag=direct status=none | sha256sum)" \
	"$(sha256sum <$wrote)" "the kernel's driver reads what was written"
is "$(iommus)" "$none" "nothing is left behind"
[[ ! -e $iommufd ]] || echo 0 >$iommufd
rm -f $random $wrote
rmmod vfio_pci
done_testing
