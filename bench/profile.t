#!/bin/bash
# What bounds a figure: the functions in which most of the samples are that perf takes while nothing but that is measured, of
# whatever runs. On one processor and by a clock of instructions a sample is so many of them.
# shellcheck source=tests/guest/lib.sh
. "${0%/*}/lib.sh"
# shellcheck source=tests/guest/peers.sh
. "${0%/*}/peers.sh"

# profile NAME COMMAND...: those with two samples in a hundred
profile() {
	local name=$1 percent symbol
	shift
	perf record -q -a -F 2000 -e cpu-clock -o /tmp/perf "$@" >/tmp/said 2>&1 || {
		not_ok "$name"
		diag "$(tail -n 5 /tmp/said)"
		return
	}
	ok "$name"
	while read -r percent symbol; do
		diag "figure|profile|$name|0|$symbol|${percent%\%}"
	done < <(perf report -i /tmp/perf --stdio -g none --sort symbol --percent-limit 2 2>/dev/null |
		sed -n 's/^ *\([0-9.]*%\) *\[[k.]\] *\([^ ]*\).*/\1 \2/p')
}

for kind in '4 KiB' '2 MiB'; do
	profile "pin, $kind" translate.t pin "$kind"
	profile "map and look up, $kind" translate.t map+lookup "$kind"
done
profile "mlock and pagemap, 4 KiB" translate.t bulk '4 KiB'
profile "an interrupt" wakeup.t
insmod "$MODULE"
modprobe vfio-pci
driverctl --nosave set-override "$NVME" vfio-pci
profile "reads, 32 at a time" nvme-io irq "$NVME" 4096 32 20000
driverctl --nosave unset-override "$NVME"
release "$NVME"
modprobe -r vfio-pci
rmmod flatiommu
done_testing
