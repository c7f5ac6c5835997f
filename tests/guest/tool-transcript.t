#!/bin/bash
# What README.md shows of the command: flatiommu list, status and doctor on a machine where things are done
# and others are missing. tests/vm/transcript puts it there; here README's is compared with it, numbers aside.
. "${0%/*}/lib.sh"
export TERM=dumb

readme=/flatiommu/README.md

[[ $(uname -r) != *-flatiommu ]] || skip_all "the transcript is of Debian's kernel"

# shown COMMAND...: as it is typed and what it says
shown() {
	echo "    # $*"
	"$@" 2>&1 | sed 's/^\(..*\)/    \1/'
	echo
}

# shape: numbers and releases are those of the day
shape() {
	sed -E 's/[0-9]+(\.[0-9]+)+[^ ,]*/N/g; s/\b[0-9]+\b/N/g; s/ +/ /g'
}

# as on a machine that was just started
dd if=/dev/zero of="$(disk_of "$NVME")" bs=1M count=1 status=none
for module in vfio_pci vfio_pci_core vfio_virqfd irqbypass; do
	modprobe -r "$module" 2>/dev/null
done
for file in /sys/kernel/mm/hugepages/*/nr_hugepages; do
	echo 0 >"$file"
done
{
	shown flatiommu bind "${NVME#0000:}" eth0
	shown flatiommu list
	shown flatiommu status
	shown flatiommu doctor "${NVME#0000:}"
	shown flatiommu unbind --all
} >/tmp/transcript
disk_of "$NVME" >/dev/null
diag "begin transcript"
sed 's/^/# /' /tmp/transcript
diag "end transcript"
is "$(diff <(sed -n '/^<!-- transcript -->/,/^<!-- end -->/p' "$readme" | sed '1,2d;$d' | shape) <(shape </tmp/transcript))" '' \
	"README.md shows what the command says (tests/vm/transcript)"
done_testing
