#!/bin/bash
# The commands under "Use it" in README.md work as written, and leave nothing behind.
. "${0%/*}/lib.sh"
export TERM=dumb

modules() {
	lsmod | sed -n 's/ .*//p' | sort
}

# What the host made, where make would have put it. This is root, and there is no sudo.
make() {
	[[ $# == 0 ]] && mkdir -p build module && cp -r /flatiommu/bin build/bin && cp -r /flatiommu/lib build/lib && cp "$MODULE" module
}
sudo() {
	"$@"
}

mkdir -p /tmp/sources /tmp/programs
cd /tmp/sources || exit 1
# README's own word for a program: it says which groups it sees
cat >/tmp/programs/PROGRAM <<'END'
#!/bin/sh
echo "groups: $(ls /sys/kernel/iommu_groups)"
END
chmod +x /tmp/programs/PROGRAM
PATH=/tmp/programs:/usr/sbin:/usr/bin:/sbin:/bin
for module in vfio_pci vfio_pci_core vfio_virqfd irqbypass; do
	modprobe -r "$module" 2>/dev/null
done
before=$(pci_snapshot)
modules=$(modules)

mapfile -t commands < <(sed -n '/^## Use it/,/^## /s/^    //p' /flatiommu/README.md | sed '/unbind/q')
seen=
for command in "${commands[@]}"; do
	output=$(eval "$command" 2>&1)
	status=$?
	case $command in
	make)
		seen+="make "
		is "$status" 0 "make"
		;;
	*"flatiommu doctor "*)
		seen+="doctor "
		is "$status" 1 "doctor finds nothing but warnings"
		like "$output" "warning +module +flatiommu is not loaded; bind loads it" "such as that of the module"
		;;
	*"flatiommu bind "*)
		seen+="bind "
		is "$status" 0 "bind"
		like "$output" "$NVME: /dev/vfio/[0-9]+, group [0-9]+ \\(flatiommu\\)" "it says what has become of the device"
		# which it has the user type, too
		eval "$(sed -n 's/^no huge pages yet: //p' <<<"$output")"
		;;
	*"hello "*)
		seen+="hello "
		is "$status" 0 "hello"
		like "$output" "^device +$NVME \\[1b36:0010\\].*backend +flatiommu-.*MSI-X +8\$" "it says what it has found"
		;;
	*"flatiommu run "*)
		seen+="run "
		is "$status $output" "0 groups: " "run, of a program that sees no group"
		;;
	*"flatiommu unbind "*)
		seen+="unbind "
		is "$status" 0 "unbind"
		;;
	*) not_ok "a command that this test does not know: $command" ;;
	esac
	((status <= 1)) || diag "$output"
done
is "$seen" "make doctor bind hello run unbind " "that was all of it"
echo 0 >/proc/sys/vm/nr_hugepages
disk_of "$NVME" >/dev/null
is "$(driver_of "$NVME")" nvme "the kernel's driver has the device again"
is "$(diff <(echo "$before") <(pci_snapshot))" '' "/sys/bus/pci and the groups are as before"
is "$(modules)" "$modules" "and so are the modules"
done_testing
