#!/bin/bash
# flatiommu doctor --run: each step on devices with different features, the reasons why it cannot try a device, and
# that nothing changes.
. "${0%/*}/lib.sh"
. "${0%/*}/doctor.sh"
. "${0%/*}/overlay.sh"
export TERM=dumb

type1=/sys/module/vfio_iommu_type1/parameters
real=
! has_iommu || real=1

run=(flatiommu --json doctor --run)

# step NAME DEVICE: state and text of its lines
step() {
	jq -r --arg check "run-$1" --arg device "$2" \
		'.checks[] | select(.check == $check and .function == $device) | .state + " " + .text' /tmp/run
}

# state: what a run must leave as it was
state() {
	pci_snapshot
	lsmod | sed 's/ .*//'
	cat $type1/* /sys/kernel/mm/hugepages/*/{nr,free}_hugepages
	echo 1 >/proc/sys/vm/stat_refresh
	flatiommu --json status | jq .pins
	head -c 6 "/sys/bus/pci/devices/$NVME/config" | xxd -p
}

echo 2 >/proc/sys/vm/nr_hugepages
succeeds "devices are bound" flatiommu bind "$NVME" "$EDU" "$TESTDEV"
[[ -n $real ]] || succeeds "and one with a BAR that is write-combined" flatiommu bind --wc 2 "$SHM"
devices=("$NVME" "$EDU" "$TESTDEV")
[[ -n $real ]] || devices+=("$SHM")
# VFIO's first open of a function changes its power state and its command register for good
"${run[@]}" "${devices[@]}" >/dev/null
before=$(state)
"${run[@]}" "${devices[@]}" >/tmp/run
status=$?
is "$(diff <(echo "$before") <(state))" '' "all is left as it was"
is "$(jq -r '.checks[] | select(.check | startswith("run-")) | select(.state != "ok") | .text' /tmp/run)" '' \
	"every step is ok"
is "$status" "$(jq -r '.worst | if . == "problem" then 2 elif . == "ok" then 0 else 1 end' /tmp/run)" \
	"the exit status is the worst that was found"
for device in "${devices[@]}"; do
	like "$(step attach "$device")" "^ok $([[ -z $real ]] && echo flatiommu || echo iommu)-(type1|iommufd): " \
		"$device: attached"
	like "$(step detach "$device")" "^ok .*vfio-pci" "$device: detached"
	like "$(step memory "$device")" "ok a huge page of 2 MiB: pinned, 1 bus address"$'\n' "$device: has a huge page"
	like "$(step memory "$device")" "ok 64 KiB of ordinary pages: pinned, " "$device: has ordinary pages"
done
is "$(step config "$NVME")" $'ok it answers: 1b36:0010\nok it answers: 1b36:0010' "it answers, after the reset, too"
like "$(step irq "$NVME")" "ok MSI-X: 8 of 8 vectors tried" "MSI-X"
like "$(step irq "$EDU")" "ok INTx: 1 of 1 .*ok MSI: 1 of 1 " "INTx and MSI"
is "$(step bars "$EDU")" "ok 0: mapped, uncached" "a BAR"
like "$(step bars "$TESTDEV")" "ok 1: ports" "one of ports"
is "$(step reset "$NVME")" "ok done" "a reset"
is "$(step reset "$TESTDEV")" "ok not tried: it has none of its own" "a function without one"
if [[ -z $real ]]; then
	like "$(step bars "$SHM")" "ok 2: mapped, write-combined" "a BAR that is write-combined"
	flatiommu unbind "$SHM" >/dev/null
fi
echo 0 >/proc/sys/vm/nr_hugepages
flatiommu unbind "$TESTDEV" >/dev/null
"${run[@]}" "$EDU" >/tmp/run
unlike "$(step memory "$EDU")" "huge page of 2 MiB" "huge pages that are not there are not tried"
like "$(flatiommu doctor --run "$EDU")" "ok +run-attach +[a-z]*(iommu-)" "as text they are lines like the others"

diag "answers that no device here gives"
# answers ANSWER STEP REGEX NAME [DEVICE]: a line of the step with this answer
answers() {
	local device=${5-$NVME}
	LD_PRELOAD=${0%/*}/answers.so ANSWERS=$1 "${run[@]}" "$device" >/tmp/run
	like "$(step "$2" "$device")" "$3" "$4"
}
answers nothing reset "^ok done\$" "the machine's own"
answers no-context attach "^problem libflatiommu: Invalid argument\$" "a library that does not begin"
answers mute config "^problem $NVME: read" "config space that cannot be read"
answers other-ids config "^problem it answers 1212:1212, and was 1b36:0010" "another device's ids"
answers no-bar bars "^problem $NVME: mmap of BAR 0: " "a BAR that is not mapped"
answers no-eventfd irq "^problem eventfd: Too many open files" "no more files"
answers silent irq "^problem INTx: 0 of 1 vectors signal their eventfd" "vectors that signal nothing"
answers no-irq irq "problem $NVME: 8 of MSI-X: " "vectors that are not enabled"
answers no-irq irq "^warning $NVME: 1 of INTx: " "which another driver may have, if it is INTx"
answers few-irqs irq "warning $NVME: 8 of MSI-X: .*the machine has no vectors left" "or of which there are no more"
answers no-reset reset "^problem $NVME: .*VFIO_DEVICE_RESET: " "a reset that fails"
# detaches NAME REGEX COMMAND...: with another sysfs, from the reset on
detaches() {
	local name=$1 text=$2 pid
	shift 2
	LD_PRELOAD=${0%/*}/answers.so ANSWERS=stop "${run[@]}" "$NVME" >/tmp/run &
	pid=$!
	until_true 60 grep -q '^State:.T' "/proc/$pid/status"
	"$@" resume "$pid"
	like "$(step detach "$NVME")" "$text" "$name"
}
resume() {
	builtin kill -CONT "$1"
	wait "$1"
}
function=$(readlink -f "/sys/bus/pci/devices/$NVME")
less modalias
detaches "it has been removed" "^problem it is gone\$" over "$function"
less driver
detaches "it has been unbound" "^problem no driver has it now, and its group is another one\$" over "$function"

diag "what keeps it from a device"
is "$(flatiommu doctor --run 2>/dev/null; echo $?)" 3 "--run takes a device"
like "$("${run[@]}" "$BRIDGE" | jq -r '.checks[].text')" "not tried: a bridge" "a bridge"
flatiommu unbind "$EDU" >/dev/null
broken "a device without a driver" run-attach problem "not tried: no driver has it" "flatiommu bind $EDU" "${run[@]}" "$EDU"
flatiommu unbind "$NVME" >/dev/null
disk_of "$NVME" >/dev/null
broken "a device with a kernel driver" run-attach problem "not tried: nvme has it" "flatiommu bind $NVME" "${run[@]}" "$NVME"
sleep 1000 6<>"/dev/vfio/$(group_of "$EDU")" &
sleeper=$!
# which is over when this is
kill() {
	builtin kill "$@"
	wait "$@" 2>/dev/null || true
}
until_true 10 grep -q sleep "/proc/$sleeper/comm"
broken "a device that is open" run-attach problem "not tried: open by sleep\\[$sleeper\\]" "kill $sleeper" "${run[@]}" "$EDU"
who=as_nobody
chown 65534 "/dev/vfio/$(group_of "$EDU")"
as() {
	$who "${run[@]}" "$EDU"
}
# as whoever sudo is for
sudo() {
	who=
	"$@" || true
}
[[ -n $real ]] || broken "no capability" run-attach problem "CAP_SYS_RAWIO" "sudo flatiommu doctor --run $EDU" as
ulimit -S -l 32
broken "a low RLIMIT_MEMLOCK" run-memory problem "cannot be pinned: more than RLIMIT_MEMLOCK" "ulimit -l unlimited" \
	setpriv --inh-caps=-ipc_lock --bounding-set=-ipc_lock "${run[@]}" "$EDU"
if [[ -z $real ]]; then
	echo N >$type1/allow_unsafe_interrupts
	export FLATIOMMU_BACKEND=flatiommu-type1
	broken "unsafe interrupts off" run-attach problem "Operation not permitted" "echo Y >.*/allow_unsafe_interrupts" \
		"${run[@]}" "$EDU"
	unset FLATIOMMU_BACKEND
fi
flatiommu unbind --all >/dev/null
disk_of "$NVME" >/dev/null
done_testing
