#!/bin/bash
# What bounds a figure: the functions in which most of the samples are that perf takes while nothing but that is measured, of
# whatever runs. On one processor and by a clock of instructions a sample is so many of them.
# shellcheck source=tests/guest/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/guest/peers.sh
. "${0%/*}/peers.sh"

# profile NAME COMMAND...: those with three samples in a hundred, without what only waits, and what clears memory before it is
# there. What runs with interrupts off is seen where they are on again.
profile() {
	local name=$1 functions
	shift
	perf record -q -a -F 2000 -e cpu-clock -o /tmp/perf "$@" >/tmp/said 2>&1 || {
		not_ok "$name"
		diag "$(tail -n 5 /tmp/said)"
		return
	}
	functions=$(perf report -i /tmp/perf --stdio -g none --sort symbol 2>/dev/null |
		sed -n 's/^ *\([0-9.]*\)% *\[[k.]\] *\([^ ]*\).*/\1 \2/p' | awk -v name="$name" '
			$2 !~ /^(pv_native_safe_halt|clear_page_.*)$/ { percent[$2] += $1; all += $1 }
			END { for (s in percent) if (percent[s] >= 0.03 * all)
				printf "figure|profile|%s|0|%s|%.2f\n", name, s, 100 * percent[s] / all }')
	isnt "$functions" '' "$name"
	diag "$functions"
}

for kind in '4 KiB' '2 MiB'; do
	profile "pin, $kind" translate.t pin "$kind"
	profile "map and look up, $kind" translate.t map+lookup "$kind"
done
profile "mlock and pagemap, 4 KiB" translate.t bulk '4 KiB'
profile "an interrupt" wakeup.t profile
insmod "$MODULE"
modprobe vfio-pci
driverctl --nosave set-override "$NVME" vfio-pci
profile "reads, 32 at a time" nvme-io irq "$NVME" 4096 32 20000
driverctl --nosave unset-override "$NVME"
release "$NVME"
modprobe -r vfio-pci
rmmod flatiommu
done_testing
