#!/bin/bash
# doc/transcript.md shows the command's output: bind, list, status, doctor and unbind. README.md shows the first of them.
# tests/vm/transcript writes both; this test compares them with the output now, without the numbers.
. "${0%/*}/lib.sh"
export TERM=dumb

[[ $(uname -r) != *-flatiommu ]] || skip_all "the transcript is of Debian's kernel"

# shown COMMAND...: as it is typed and what it says
shown() {
	echo "    # $*"
	"$@" 2>&1 | sed 's/^\(..*\)/    \1/'
	echo
}

# shown_in FILE: what a document shows
shown_in() {
	sed -n '/^<!-- transcript -->/,/^<!-- end -->/p' "/flatiommu/$1" | sed '1,2d;$d'
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
name_interface "$NIC" eth0
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
is "$(diff <(shown_in transcript.md | shape) <(shape </tmp/transcript))" '' \
	"doc/transcript.md shows what the command says (tests/vm/transcript)"
is "$(diff <(shown_in README.md | shape) <(sed '/^$/q' /tmp/transcript | shape))" '' \
	"README.md shows its first command"
done_testing
