#!/bin/bash
# The functions that a figure's cost is in: those with most of perf's samples, of the whole machine, while only that figure is
# measured. With one processor and a clock of instructions, a sample is a fixed number of instructions.
# shellcheck source=tests/guest/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/guest/peers.sh
. "${0%/*}/peers.sh"

# profile NAME COMMAND...: prints functions with at least 3 % of the samples, without those that only wait or that clear memory
# at its first use. Code that runs with interrupts off is counted where interrupts are enabled again.
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
