#!/bin/bash
# The examples under valgrind: no uninitialised memory is used, and none is leaked.
# shellcheck source=tests/guest/lib.sh
. "${0%/*}/lib.sh"

modprobe -a vfio-pci iommufd
insmod "$MODULE"
unsafe=/sys/module/iommufd/parameters/allow_unsafe_interrupts
before=$(<"$unsafe")
echo 1 >"$unsafe"
override "$EDU" vfio-pci
probe "$EDU"

# checked NAME LINE COMMAND...: it says LINE, and valgrind nothing; VFIO's ioctls it does not know
checked() {
	local name=$1 line=$2 output status=0
	shift 2
	output=$(valgrind -q --sim-hints=lax-ioctls --error-exitcode=9 --leak-check=full \
		--show-leak-kinds=all --errors-for-leak-kinds=all "$@" 2>&1) || status=$?
	is "$status" 0 "$name has no errors and no leaks"
	like "$output" "$line" "$name works"
	unlike "$output" ==[0-9]+== "$name gives valgrind nothing to say"
}

checked hello 'backend  flatiommu-iommufd' hello "$EDU"
checked edu '2048 bytes, there and back' edu "$EDU" 64

echo "$before" >"$unsafe"
unbind "$EDU"
override "$EDU" ''
echo "$EDU" >"$RELEASE"
rmmod flatiommu
done_testing
