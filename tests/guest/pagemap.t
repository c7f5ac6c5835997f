#!/bin/bash
# pagemap, which the preloaded library of flatiommu run answers from pins: answers to every kind of reader, with
# CAP_SYS_ADMIN and without; calls that end a pin; and a program on uio_pci_generic.
. "${0%/*}/lib.sh"

pins() {
	echo 1 >/proc/sys/vm/stat_refresh
	awk '/^nr_foll_pin_acquired/ { n += $2 } /^nr_foll_pin_released/ { n -= $2 } END { print n }' /proc/vmstat
}

bus_master() {
	echo $(($(od -An -tu1 -j4 -N1 "/sys/bus/pci/devices/$1/config") >> 2 & 1))
}

# without_admin COMMAND...: with the two capabilities that it takes, and none besides
without_admin() {
	setpriv --inh-caps=-all,+sys_rawio,+ipc_lock --bounding-set=-all,+sys_rawio,+ipc_lock "$@"
}

starts_twice() {
	[[ $(grep -c started /tmp/goes) == 2 ]]
}

is_stopped() {
	[[ $(bus_master "$EDU") == 0 ]]
}

gone() {
	[[ ! -e /proc/$1 || $(<"/proc/$1/stat") == *') Z '* ]]
} 2>/dev/null

before=$(iommus)
pinned=$(pins)
flatiommu bind "$EDU" >/dev/null
echo 64 >/proc/sys/vm/nr_hugepages

diag "which way"
is "$(flatiommu --json run --check -- reader | jq -r '.hidden_by, .pagemap' | xargs)" "mount namespace pins" \
	"with CAP_SYS_ADMIN groups are hidden by a namespace"
is "$(without_admin flatiommu --json run --check -- reader | jq -r '.hidden_by, .pagemap' | xargs)" "library pins" \
	"without it by the library"
like "$(flatiommu run --check -- busybox)" "pagemap is the kernel's.*: it is static" "a static program has the kernel's pagemap"
like "$(flatiommu run -- busybox true 2>&1)" "busybox: pagemap is the kernel's.* not pinned: it is static\. VFIO pins" "which run says as it starts it"
output=$(without_admin flatiommu run -- busybox true 2>&1)
like "$output" "CAP_SYS_ADMIN is missing.*but it is static" "and takes CAP_SYS_ADMIN"
like "$(without_admin flatiommu doctor)" "ok +pagemap +flatiommu run answers it from pins, and hides groups by the same library" \
	"doctor says it"
is "$(without_admin flatiommu run -- sh -c '/bin/ls /sys/kernel/iommu_groups | wc -l; [ -e /sys/kernel/iommu_groups/0 ]; echo $?' | xargs)" \
	"0 1" "the program sees no group"
is "$(without_admin flatiommu run -- /usr/bin/readlink "/sys/bus/pci/devices/$EDU/iommu_group" | sed 's,.*/,,')" \
	"$(group_of "$EDU")" "but its function's"

is "$(no-mount flatiommu run -- sh -c '/bin/ls /sys/kernel/iommu_groups | wc -l')" 0 "and by the library where mount() is not permitted"
output=$(no-mount flatiommu run -- busybox true 2>&1)
like "$output" "run: /.*: cannot mount: Permission denied: it takes AppArmor and a seccomp filter that let mount\(\) be" \
	"which a static program needs"
cp "$(type -P true)" /tmp/another
chgrp 1500 /tmp/another
chmod 2755 /tmp/another
like "$(flatiommu run --check -- /tmp/another)" "pagemap is the kernel's.*: it is set-group-ID" \
	"a program that the dynamic linker preloads nothing for is known"

diag "what is told"
for what in kinds ends forks refusals lost; do
	is "$(flatiommu run -- reader $what 2>/tmp/said)" ok "$what"
	diag "$(</tmp/said)"
	is "$(pins)" "$pinned" "$what: nothing stays pinned"
done

diag "PID namespaces"
is "$(flatiommu run -- unshare --pid --fork --mount-proc reader kinds)" ok "with the namespace's /proc"
is "$(flatiommu run -- unshare --pid --fork reader ends)" ok "with that of another one"
is "$(pins)" "$pinned" "nothing stays pinned"

diag "without CAP_SYS_ADMIN"
without_admin flatiommu run -- reader hold >/tmp/told 2>/tmp/said &
until_true 30 grep -q 0x /tmp/told
pid=$(pidof reader)
read -r at told </tmp/told
is "$told" "$(flatiommu --json addresses "$pid" "$at" 4K | jq -r '.segments[0].address')" "the address is the one that root sees"
is "$(($(pins) - pinned))" 2 "its huge page is pinned, and a page of the library's"
is "$(</tmp/said)" '' "there is nothing to say"
kill -9 "$pid"
wait
is "$(pins)" "$pinned" "it dies, and is not pinned any more"
output=$(setpriv --inh-caps=-all --bounding-set=-all flatiommu run --force -- timeout 10 reader hold 2>&1)
like "$output" "/dev/flatiommu: Operation not permitted: no address is told. Cure: CAP_SYS_RAWIO" "without CAP_SYS_RAWIO nothing is"
like "$output" " 0$" "not even an address"
is "$(without_admin flatiommu run -- reader drops 2>/tmp/said)" ok "what it has dropped is missed"
like "$(</tmp/said)" "4096 bytes cannot be pinned: CAP_SYS_RAWIO was dropped. Cure: keep it" "and the cure is told"
# the library's own page, and no other
output=$(ulimit -l 4; setpriv --inh-caps=-all,+sys_rawio --bounding-set=-all,+sys_rawio \
	flatiommu run --force -- timeout 10 reader hold 2>&1)
like "$output" "4096 bytes cannot be pinned: RLIMIT_MEMLOCK.*Cure: ulimit -l unlimited.* 0\$" "what is over the limit is not told"
output=$(ulimit -l 8; setpriv --inh-caps=-all,+sys_rawio --bounding-set=-all,+sys_rawio \
	flatiommu run --force -- timeout 10 reader again 2>&1)
like "$output" "4096 bytes cannot be pinned: RLIMIT_MEMLOCK.*ok\$" "what is at the limit is told once, and stays pinned"

diag "speed"
# of a gigabyte, where there is so much
size=512
(($(awk '/^MemTotal/ { print $2 }' /proc/meminfo) > 3000000)) || size=64
echo $((size + 16)) >/proc/sys/vm/nr_hugepages
output=$(flatiommu run -- reader speed $size 2>&1)
diag "$output"
like "$output" "MiB at once: pagemap [0-9.]+ ms, from pins [0-9.]+ ms" "all of it is read at once, and huge page by huge page"
echo 0 >/proc/sys/vm/nr_hugepages
flatiommu unbind "$EDU" >/dev/null

diag "uio"
modprobe flatiommu 2>/dev/null || insmod "$MODULE" 2>/dev/null
if modprobe uio_pci_generic; then
	[[ -z $(driver_of "$EDU") ]] || unbind "$EDU"
	override "$EDU" uio_pci_generic
	probe "$EDU"
	is "$(driver_of "$EDU")" uio_pci_generic "uio_pci_generic has the device"
	echo 8 >/proc/sys/vm/nr_hugepages
	is "$(flatiommu --json run --check -- reader | jq -r '.hidden, .pagemap' | xargs)" "false pins" "run takes it"
	reader drive "$EDU" >/tmp/drives 2>&1 &
	until_true 60 grep -q copied /tmp/drives
	[[ ! -e /sys/devices/system/node/node1 ]] || is "$(xargs </tmp/drives)" "moved copied elsewhere" "by itself its memory moves away under the device"
	kill -9 $!
	wait
	: >/tmp/drives
	without_admin flatiommu run -- reader drive "$EDU" >/tmp/drives 2>&1 &
	until_true 60 grep -q copied /tmp/drives
	pid=$(pidof reader)
	is "$(xargs </tmp/drives)" "pinned copied" "by run it is pinned, and the device finds it"
	is "$(bus_master "$EDU")" 1 "the device is at work"
	is "$(without_admin flatiommu run -- reader look "$EDU")" ok "another process opens its registers"
	is "$(bus_master "$EDU")" 1 "whose end leaves the device at work"
	log_mark
	kill -9 "$pid"
	until_true 20 gone "$pid"
	is "$(bus_master "$EDU")" 0 "the program dies, and the device is stopped"
	like "$(flat_log)" "$EDU: bus mastering is cleared, as reader" "before its memory is let go"
	wait
	is "$(pins)" "$pinned" "nothing stays pinned"
	mkfifo /tmp/lines
	without_admin flatiommu run -- reader go-on "$EDU" </tmp/lines >/tmp/goes 2>&1 &
	exec 5>/tmp/lines
	until_true 30 grep -q started /tmp/goes
	echo 1 >"/sys/bus/pci/devices/$EDU/remove"
	echo 1 >/sys/bus/pci/rescan
	override "$EDU" uio_pci_generic
	probe "$EDU"
	is "$(driver_of "$EDU")" uio_pci_generic "a device that was unplugged is back"
	echo go >&5
	until_true 30 starts_twice
	is "$(bus_master "$EDU")" 1 "and at work"
	diag "$(</tmp/goes)"
	kill -9 "$(pidof reader)"
	exec 5>&-
	wait
	succeeds "it is stopped as well" until_true 20 is_stopped
	without_admin flatiommu run -- reader daemon "$EDU" >/tmp/goes 2>&1
	until_true 30 grep -q started /tmp/goes
	is "$(bus_master "$EDU")" 1 "a daemon runs it"
	kill -9 "$(pidof reader)"
	succeeds "and its end stops it" until_true 20 is_stopped
	unbind "$EDU"
	override "$EDU" ''
	echo 0 >/proc/sys/vm/nr_hugepages
	modprobe -r uio_pci_generic
fi
rmmod flatiommu
is "$(iommus)" "$before" "nothing is left"
done_testing
