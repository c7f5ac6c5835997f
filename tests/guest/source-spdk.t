#!/bin/bash
# SPDK, started by flatiommu run: its programs find the disk, write and verify, are killed in the act, and serve the disk
# to the kernel by NVMe over TCP; setup.sh binds and gives back. On the kernel's command line kills=N, seconds=N and
# memory=N make it longer.
. "${0%/*}/lib.sh"
. "${0%/*}/peers.sh"
. "${0%/*}/source.sh"
source_of spdk FLATIOMMU_SPDK

kills=$(parameter kills 2 20)
seconds=$(parameter seconds 10 100)
memory=$(parameter memory 512 1500)
mib=4096
grep -qw full=1 /proc/cmdline || mib=64
RANDOM=$$
before=$(iommus)
pinned=$(pins)
disk=(-r "trtype:PCIe traddr:$NVME")
nqn=nqn.2016-06.io.spdk:flat
export LD_LIBRARY_PATH=$source/lib
insmod "$MODULE"

# setup ARGUMENT...: setup.sh, which wants the programs of a distribution
setup() {
	PATH=/usr/sbin:/usr/bin:/sbin:/bin PCI_ALLOWED=$NVME HUGEMEM=1024 timeout 100 "$source/scripts/setup.sh" "$@" 2>&1
}

# program NAME ARGUMENT...
program() {
	local name=$1
	shift
	timeout $((seconds + 120)) flatiommu run -- "$source/$name" "$@" 2>&1 </dev/null
}

# quiet NAME: as a program has ended
quiet() {
	is "$(pins)" "$pinned" "$1: nothing stays pinned"
	is "$(flat_log | grep refused)" '' "$1: no map is refused"
}

diag "setup.sh"
like "$(setup status)" "NVMe +$NVME .* nvme " "status knows the disk and its driver"
diag "$(DRIVER_OVERRIDE=vfio-pci setup config)"
is "$(driver_of "$NVME")" vfio-pci "it binds the disk to vfio-pci"
is "$(cat "/sys/kernel/iommu_groups/$(group_of "$NVME")/name")" flatiommu "which claims it"
is "$(</proc/sys/vm/nr_hugepages)" 512 "it reserves huge pages"
like "$(setup status)" "NVMe +$NVME .* vfio-pci " "status says so"

diag "its programs"
log_mark
output=$(timeout 100 "$source/identify" "${disk[@]}" 2>&1 </dev/null)
if [[ $(flat_log) == *refused* ]]; then
	like "$(flat_log)" "the IOVA is a virtual address .*--iova-mode=pa" \
		"identify by itself: refused, and the log has the cure"
	unlike "$output" "Serial Number" "it does not go on"
else
	like "$output" "Serial Number: +flat0" "identify by itself: it finds the disk"
fi
is "$(pins)" "$pinned" "nothing stays pinned"
log_mark
like "$(program identify "${disk[@]}")" "Serial Number: +flat0" "identify: it finds the disk"
quiet identify
output=$(program hello_world "${disk[@]}")
like "$output" "Hello world!" "hello_world: it reads what it has written"
quiet hello_world
output=$(program perf "${disk[@]}" -q 32 -o 4096 -w randread -t "$seconds")
status=$?
is "$status" 0 "perf: ends well"
like "$output" "Total +: +[1-9][0-9]*\." "perf: it reads"
diag "$(grep Total <<<"$output")"
quiet perf

# verified FILE: prints the mebibytes that bdevperf says it has transferred, if no transfer has failed
verified() {
	awk '$1 == "Nvme0n1" && $2 == ":" && $6 == 0 && $7 == 0 { printf "%d", $3 * $5 }' "$1"
}
attach='{"subsystem": "bdev", "config": [{"method": "bdev_nvme_attach_controller",
	"params": {"name": "Nvme0", "trtype": "PCIe", "traddr": "'$NVME'"}}]}'
echo '{"subsystems": ['"$attach"']}' >/tmp/bdev.json
program bdevperf -c /tmp/bdev.json -q 32 -o 131072 -w verify -t "$seconds" >/tmp/bdevperf
is "$?" 0 "bdevperf: ends well"
diag "$(grep 'Nvme0n1 *:' /tmp/bdevperf)"
is $(($(verified /tmp/bdevperf) >= mib)) 1 "bdevperf: at least $mib MiB are verified, and nothing has failed"
quiet bdevperf

diag "kills"
coproc REST { canary "$memory"; }
rest=$REST_PID
read -r -t 120 -a said <&"${REST[0]}"
is "${said[*]:0:3}" "holds $memory MiB" "a canary holds the rest of memory"
started=0 stopped=0 given=0 unchanged=0
# What it prints comes only at its end.
works() {
	(($(pins) > pinned + 1000))
}
for ((i = 0; i < kills; i++)); do
	: >/tmp/perf
	flatiommu run -- "$source/perf" "${disk[@]}" -q 64 -o 4096 -w randrw -M 50 -t 300 >/tmp/perf 2>&1 </dev/null &
	pid=$!
	until_true 60 works && started=$((started + 1))
	sleep "1.$((RANDOM % 10))"
	kill -KILL $pid
	wait $pid 2>/dev/null
	stopped=$((stopped + 1 - $(bus_master "$NVME")))
	[[ $(pins) != "$pinned" ]] || given=$((given + 1))
	# all that it had, and more
	coproc HUGE { canary huge; }
	read -r -t 60 -a said <&"${HUGE[0]}"
	((said[1] >= 1000)) || diag "only ${said[*]}"
	sleep 1
	[[ $(ask HUGE) != "0 bytes changed" ]] || unchanged=$((unchanged + 1))
	eval "exec ${HUGE[1]}>&-"
	wait "$HUGE_PID"
done 2>/tmp/noise
is "$started" "$kills" "each time perf was at work"
is "$stopped" "$kills" "and killed, its disk may do no DMA"
is "$given" "$kills" "its memory was let go"
is "$unchanged" "$kills" "and who had it next found no byte changed"
is "$(ask REST)" "0 bytes changed" "nor was one of the rest of memory"
eval "exec ${REST[1]}>&-"
wait "$rest"
like "$(program identify "${disk[@]}")" "Serial Number: +flat0" "after the kills the disk works"

# a disk besides those that are $known, into $remote
remote_disk() {
	remote=$(printf '%s\n' /dev/nvme*n* | grep -vxF "$known")
	[[ -b $remote ]]
}
# tree DIRECTORY: prints the hashes of all files there
tree() {
	(cd "$1" && sha256sum -- *)
}
if modprobe nvme_tcp 2>/dev/null; then
	diag "NVMe over TCP"
	cat >/tmp/nvmf.json <<-END
		{"subsystems": [$attach, {"subsystem": "nvmf", "config": [
		{"method": "nvmf_create_transport", "params": {"trtype": "TCP"}},
		{"method": "nvmf_create_subsystem", "params": {"nqn": "$nqn", "allow_any_host": true}},
		{"method": "nvmf_subsystem_add_ns", "params": {"nqn": "$nqn", "namespace": {"bdev_name": "Nvme0n1"}}},
		{"method": "nvmf_subsystem_add_listener", "params": {"nqn": "$nqn", "listen_address":
			{"trtype": "TCP", "adrfam": "IPv4", "traddr": "127.0.0.1", "trsvcid": "4420"}}}]}]}
	END
	log_mark
	: >/tmp/nvmf
	flatiommu run -- "$source/nvmf_tgt" -m 2 -c /tmp/nvmf.json >/tmp/nvmf 2>&1 </dev/null &
	target=$!
	succeeds "nvmf_tgt listens" until_true 120 grep -q 'Listening on 127.0.0.1 port 4420' /tmp/nvmf
	diag "$(tail -n 20 /tmp/nvmf)"
	known=$(printf '%s\n' /dev/nvme*n*)
	is "$(errno_of /dev/nvme-fabrics "transport=tcp,traddr=127.0.0.1,trsvcid=4420,nqn=$nqn")" OK \
		"the kernel connects to it"
	succeeds "it has one more disk" until_true 60 remote_disk
	# that was in a shell of its own
	remote_disk
	mke2fs -qq -F -t ext4 -L flat "$remote"
	mkdir -p /tmp/mount
	succeeds "with a filesystem" mount "$remote" /tmp/mount
	for ((i = 0; i < 8; i++)); do
		head -c 2097152 /dev/urandom >"/tmp/mount/$i"
	done
	files=$(tree /tmp/mount)
	umount /tmp/mount
	echo 3 >/proc/sys/vm/drop_caches
	mount "$remote" /tmp/mount
	is "$(tree /tmp/mount)" "$files" "which reads back as it was written"
	umount /tmp/mount
	for controller in /sys/class/nvme/nvme*; do
		[[ $(<"$controller/transport") != tcp ]] || echo 1 >"$controller/delete_controller"
	done
	kill -INT $target
	until_true 60 gone $target || kill -KILL $target
	wait $target
	is "$?" 0 "nvmf_tgt ends well"
	quiet nvmf_tgt
	modprobe -r nvme_tcp
else
	files=
	skip "nvmf_tgt" "this kernel has no nvme_tcp"
fi

diag "the way back"
diag "$(setup reset)"
is "$(driver_of "$NVME")" nvme "setup.sh gives the disk back"
isnt "$(group_of "$NVME")" '' "it is still claimed"
if [[ -n $files ]]; then
	succeeds "the kernel's driver finds the same filesystem" mount "$(disk_of "$NVME")" /tmp/mount
	is "$(tree /tmp/mount)" "$files" "with the same contents"
	umount /tmp/mount
fi
succeeds "flatiommu unbind releases it" flatiommu unbind "$NVME"
huge_pages 0
modprobe -r vfio-pci
rmmod flatiommu
is "$(iommus)" "$before" "nothing is left"
done_testing
