#!/bin/bash
# Reads of one disk: by the driver of examples/nvme, polled and with interrupts, and by the kernel's driver through fio, with
# io_uring and libaio, with io_uring that polls, and with its passthrough of NVMe commands, which polls, too. Reads of 4 KiB are at random places, those of 128 KiB sequential. The ways take turns, round by round.
# With a clock of time, the result is reads in a second. With a clock of instructions, on one processor, it is the
# instructions that the whole machine needs for a read: the difference of two runs of different length. Polling, which never
# sleeps, is left out there. By time also: the first read after a bind, in milliseconds.
# shellcheck source=tests/guest/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/guest/peers.sh
. "${0%/*}/peers.sh"

by_time='' rounds=$(parameter rounds 5 15)
# size, reads at a time, reads in all
# shellcheck disable=SC2054
cases=(4096,1,2000 4096,32,2000 131072,16,1000)
if [[ -z $FLATIOMMU_ICOUNT ]]; then
	by_time=1
	# shellcheck disable=SC2054
	cases=(4096,1,3000 4096,8,3000 4096,32,3000 4096,128,3000 131072,1,600 131072,16,600)
fi
if grep -qw quick=1 /proc/cmdline; then
	cases=("${cases[0]/000/00}" "${cases[2]/000/00}")
fi

# run WAY SIZE DEPTH COUNT: prints reads in a second
run() {
	local how='randread' engine=(--ioengine="$1" --filename="$disk" --direct=1)
	case $1 in
	poll | irq) nvme-io "$1" "$NVME" "$2" "$3" "$4" ;;
	*)
		(($2 == 4096)) || how='read'
		case $1 in
		'polled io_uring') engine=(--ioengine=io_uring --hipri --filename="$disk" --direct=1) ;;
		'polled passthrough') engine=(--ioengine=io_uring_cmd --cmd_type=nvme --hipri --filename="/dev/ng${disk##*/nvme}") ;;
		esac
		fio --name=reads "${engine[@]}" --rw=$how --bs="$2" --iodepth="$3" \
			--size=60M --io_size=$(($2 * $4)) --norandommap --thread --gtod_reduce=1 --output-format=json |
			jq '.jobs[0].read.iops'
		;;
	esac
}

# spent: prints the nanoseconds in which the processor was neither idle nor waiting for a disk
spent() {
	awk '/^now at/ { now = $3 } /(idle|iowait)_sleeptime/ { idle += $(NF - 1) } END { printf "%.0f", now - idle }' /proc/timer_list
}

# busy ARGUMENTS...: prints spent for a whole run
busy() {
	local before
	before=$(spent)
	{ run "$@" || echo failed; } >>/tmp/reads.done
	echo $(($(spent) - before))
}

# measure WAY...
measure() {
	local way case size depth count
	for case in "${cases[@]}"; do
		IFS=, read -r size depth count <<<"$case"
		for way in "$@"; do
			if [[ $by_time ]]; then
				run "$way" "$size" "$depth" "$count" || echo failed
			else
				echo $((($(busy "$way" "$size" "$depth" $((2 * count))) - $(busy "$way" "$size" "$depth" "$count")) / count / (1 << ${FLATIOMMU_ICOUNT%,*})))
			fi >>"/tmp/reads.$way.$size.$depth"
		done
	done
}

# figures NAME WAY...
figures() {
	local name=$1 way case size depth what
	shift
	for case in "${cases[@]}"; do
		IFS=, read -r size depth _ <<<"$case"
		what=random
		((size == 4096)) || what=sequential
		for way in "$@"; do
			diag "figure|$name|$what, depth $depth|$size|$way|$(xargs <"/tmp/reads.$way.$size.$depth")"
		done
	done
}

# since EPOCHREALTIME: prints the milliseconds since then
since() {
	echo $(((${EPOCHREALTIME/./} - ${1/./}) / 1000))
}

# first: binds the disk to either driver, and reads from it; it is on vfio-pci before and afterwards
first() {
	local start
	unbind "$NVME"
	start=$EPOCHREALTIME
	probe "$NVME"
	run poll 4096 1 1 >/tmp/first || echo failed >>/tmp/reads.first
	since "$start" >>/tmp/first.library
	unbind "$NVME"
	override "$NVME" ''
	start=$EPOCHREALTIME
	probe "$NVME"
	until disk=$(_first_disk "$NVME") && [[ -b $disk ]] && dd if="$disk" of=/tmp/first iflag=direct bs=4096 count=1 2>/tmp/first.dd; do
		:
	done
	since "$start" >>/tmp/first.kernel
	unbind "$NVME"
	override "$NVME" vfio-pci
	probe "$NVME"
}

insmod "$MODULE"
modprobe vfio-pci
ours=(poll irq) kernels=(io_uring libaio) name=nvme
if [[ $by_time ]]; then
	isnt "$(</sys/module/nvme/parameters/poll_queues)" 0 "the kernel's driver has queues to poll"
	kernels+=('polled io_uring' 'polled passthrough')
else
	ours=(irq) name=nvme-instructions
fi
# one round to warm up
for ((i = 0; i <= rounds; i++)); do
	disk=$(disk_of "$NVME")
	measure "${kernels[@]}"
	driverctl --nosave set-override "$NVME" vfio-pci
	measure "${ours[@]}"
	[[ ! $by_time ]] || first
	driverctl --nosave unset-override "$NVME"
	((i)) || rm -f /tmp/reads.* /tmp/first.*
done
figures $name "${ours[@]}" "${kernels[@]}"
if [[ $by_time ]]; then
	for way in library kernel; do
		diag "figure|first|from bind to the first read|0|$way|$(xargs <"/tmp/first.$way")"
	done
fi
release "$NVME"
modprobe -r vfio-pci
rmmod flatiommu
wrong=$(cat /tmp/reads.* | grep -cvE '^[0-9.]+$')
is "$wrong" 0 "all was measured"
done_testing
