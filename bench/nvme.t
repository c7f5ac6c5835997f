#!/bin/bash
# Reads of one disk: by the driver of examples/nvme, polled and with interrupts, and by the kernel's driver through fio, with
# io_uring and libaio. Reads of 4 KiB are at random places, those of 128 KiB sequential. The ways take turns, round by round.
# With a clock of time, the result is reads in a second. With a clock of instructions, on one processor, it is the
# instructions that the whole machine needs for a read: the difference of two runs of different length. Polling, which never
# sleeps, is left out there.
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
	local how='randread'
	case $1 in
	poll | irq) nvme-io "$1" "$NVME" "$2" "$3" "$4" ;;
	*)
		(($2 == 4096)) || how='read'
		fio --name=reads --filename="$disk" --direct=1 --ioengine="$1" --rw=$how --bs="$2" --iodepth="$3" \
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

insmod "$MODULE"
modprobe vfio-pci
ours=(poll irq) kernels=(io_uring libaio) name=nvme
if [[ ! $by_time ]]; then
	ours=(irq) name=nvme-instructions
fi
# one round to warm up
for ((i = 0; i <= rounds; i++)); do
	disk=$(disk_of "$NVME")
	measure "${kernels[@]}"
	driverctl --nosave set-override "$NVME" vfio-pci
	measure "${ours[@]}"
	driverctl --nosave unset-override "$NVME"
	((i)) || rm /tmp/reads.*
done
figures $name "${ours[@]}" "${kernels[@]}"
release "$NVME"
modprobe -r vfio-pci
rmmod flatiommu
wrong=$(cat /tmp/reads.* | grep -cvE '^[0-9.]+$')
is "$wrong" 0 "all was measured"
done_testing
