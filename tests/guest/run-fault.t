#!/bin/bash
# flatiommu run --fault: behind an IOMMU a driver has physical addresses, and each access outside of
# its buffers is reported, with the nearest buffer. Without an IOMMU the same program runs with the
# same kind of addresses.
. "${0%/*}/lib.sh"

fault=66

# drives NAME WHAT STATUS [PEER]: runs the driver; $bus is its buffer, /tmp/said what was told
drives() {
	local status=0
	# the kernel's log has but three faults within 5 seconds
	[[ $3 == 0 ]] || sleep 6
	flatiommu run --fault -- "${0%/*}/wild" "$EDU" "$2" "${@:4}" >/tmp/out 2>/tmp/said </dev/null || status=$?
	is "$status" "$3" "$1: exit status $3"
	bus=$(sed -n 's/^buffer //p' /tmp/out)
	[[ $status == "$3" ]] || diag "$(cat /tmp/out /tmp/said)"
}

# tells NAME ACCESS ADDRESS WHERE: the lines about the fault, and where it is, seen from a buffer
tells() {
	local address
	address=$(printf 0x%x $(($3)))
	like "$(</tmp/said)" "flatiommu: fault: $EDU $2 $address, which is not mapped for that: [A-Z]" "$1: function and address are told"
	like "$(</tmp/said)" "flatiommu: fault: $address is $4" "$1: and the buffer"
}

driver() {
	local name=${FLATIOMMU_BACKEND:-the default backend}
	drives "$name: a driver that does well" well 0
	like "$(</tmp/out)" "well" "$name: it does"
	is "$(</tmp/said)" '' "$name: nothing is told"
	drives "$name: a write behind the buffer" behind $fault
	tells "$name: a write behind the buffer" "writes to" "bus + 4096" "in the page right behind a buffer of process [0-9]+.*: $bus to .*, 4096 bytes at 0x"
	like "$(</tmp/said)" "[1-9][0-9]* faults, 1 of them different; exit status $fault" "$name: and how many there were"
	drives "$name: a write that goes on behind it" over $fault
	tells "$name: a write that goes on behind it" "writes to" "bus + 4096" "in the page right behind a buffer of process [0-9]+.*: $bus to"
	drives "$name: a read before it" before $fault
	tells "$name: a read before it" "reads from" "bus - 4096" "in the page right in front of a buffer of process [0-9]+.*: $bus to"
	drives "$name: a write to a buffer that is freed" freed $fault
	tells "$name: a write to a buffer that is freed" "writes to" bus "in a buffer of process [0-9]+, freed by now: $bus to"
	drives "$name: a write to a buffer that devices only read" read-only $fault
	bus=$(sed -n 's/^read-only //p' /tmp/out)
	tells "$name: a write to a buffer that devices only read" "writes to" bus "in a buffer of process [0-9]+.*: $bus to"
}

# peers: a buffer that is a part of another device's BAR, if the backend maps BARs
peers() {
	local name=${FLATIOMMU_BACKEND:-the default backend}
	if [[ $1 == iommu-iommufd ]]; then
		drives "$name: a buffer in a BAR" peer 1 "$SHM"
		like "$(</tmp/out)" "iommu-iommufd maps no BARs for other devices. Cure: FLATIOMMU_BACKEND=iommu-type1" "$name: it is refused"
		return
	fi
	drives "$name: a buffer in a BAR" peer 0 "$SHM"
	like "$(</tmp/out)" "peer 0x[0-9a-f]+000.*well" "$name: it has the BAR's bus address, and is written to"
	unlike "$(</tmp/out)" "not at its bus address" "$name: by its bus address"
	drives "$name: a write behind a buffer in a BAR" peer-behind $fault "$SHM"
	bus=$(sed -n 's/^peer //p' /tmp/out)
	tells "$name: a write behind a buffer in a BAR" "writes to" "bus + 8192" "in the page right behind a buffer of process [0-9]+.*: $bus to"
	drives "$name: a write to a buffer in a BAR that is freed" peer-freed $fault "$SHM"
	bus=$(sed -n 's/^peer //p' /tmp/out)
	tells "$name: a write to a buffer in a BAR that is freed" "writes to" bus "in a buffer of process [0-9]+, freed by now: $bus to"
}

# status_of NAME STATUS COMMAND...: of a program without faults
status_of() {
	local name=$1 expected=$2 status=0
	shift 2
	flatiommu run --fault -- "$@" >/tmp/out 2>/tmp/said </dev/null || status=$?
	is "$status" "$expected" "$name"
}

gone() {
	[[ ! -e /proc/$1 || $(<"/proc/$1/stat") == *') Z '* ]]
} 2>/dev/null

# refuses NAME MESSAGE COMMAND...
refuses() {
	local name=$1 message=$2 status=0
	shift 2
	"$@" >/tmp/out 2>&1 </dev/null || status=$?
	is "$status" 125 "$name: exit status 125"
	like "$(</tmp/out)" "$message" "$name: it says why"
}

modprobe vfio-pci
if [[ -z $(ls /sys/class/iommu) ]]; then
	insmod "$MODULE"
	refuses "without an IOMMU" "this machine has no IOMMU" flatiommu run --fault -- true
	flatiommu bind "$EDU" >/dev/null
	refuses "with a claim" "this machine has no IOMMU" flatiommu run --fault -- true
	output=$(FLATIOMMU_FAULT=1 "${0%/*}/wild" "$EDU" well 2>&1)
	like "$output" "buffer 0x[0-9a-f]+000.*well" "the driver does well without one"
	flatiommu bind "$SHM" >/dev/null
	output=$(FLATIOMMU_FAULT=1 "${0%/*}/wild" "$EDU" peer "$SHM" 2>&1)
	like "$output" "peer 0x[0-9a-f]+000.*well" "and with a buffer in a BAR"
	flatiommu unbind "$SHM" >/dev/null
	flatiommu unbind "$EDU" >/dev/null
	rmmod flatiommu
	done_testing
fi

refuses "nothing on vfio-pci" "no function on vfio-pci has an IOMMU; try: flatiommu bind" flatiommu run --fault -- true
flatiommu bind "$EDU" >/dev/null
is "$(driver_of "$EDU")" vfio-pci "edu is on vfio-pci"
refuses "without CAP_SYS_ADMIN" "CAP_SYS_ADMIN is missing" setpriv --inh-caps=-sys_admin --bounding-set=-sys_admin \
	flatiommu run --fault -- true
refuses "without a kernel log" "/dev/kmsg: .*this container has no kernel log; try: --device /dev/kmsg" \
	unshare --mount sh -c 'mount -t tmpfs tmpfs /dev && exec flatiommu run --fault -- true'
is "$(flatiommu --json run --fault --check -- true | jq -r '.faults, .hidden_by' | xargs)" "true mount namespace" "--check says what would be"
status_of "the program's exit status" 7 sh -c 'exit 7'
status_of "that of one that is killed" 137 sh -c 'kill -9 $$'
status_of "of one that is not there" 127 no-such-program
status_of "of one that is none" 126 /etc/passwd
flatiommu run --fault -- sh -c 'trap "exit 9" TERM; echo here; while :; do sleep 0.1; done' >/tmp/out 2>&1 &
until_true 60 grep -q here /tmp/out
kill "$!"
status=0
wait "$!" || status=$?
is "$status" 9 "a signal goes on to the program"

diag "signals"
# as_without NAME KEYS COMMAND...: the shell of a terminal sees the same as without run
as_without() {
	local name=$1 keys=$2
	shift 2
	is "$(job "$keys" flatiommu run --fault -- "$@" | xargs)" "$(job "$keys" "$@" | xargs)" "$name"
}
as_without "Ctrl-Z, fg and Ctrl-C" zfc sh -c 'echo here; exec sleep 100'
as_without "a program that ignores Ctrl-Z" zc sh -c 'trap "" TSTP; echo here; exec sleep 100'
as_without "one that stops itself" f sh -c 'echo here; kill -STOP $$; exit 5'
as_without "one that catches Ctrl-C" c sh -c 'trap "exit 9" INT; echo here; while :; do sleep 0.1; done'
is "$(perl -e 'system @ARGV; print $? & 127' flatiommu run --fault -- sh -c 'kill -INT $$')" 2 \
	"the signal that ends the program ends run"
status=0
timeout 60 env --ignore-signal=CHLD flatiommu run --fault -- sh -c 'exit 7' || status=$?
is "$status" 7 "the exit status, if SIGCHLD is ignored"
flatiommu run --fault -- sh -c 'trap "exit 9" USR1; echo here; while :; do sleep 0.1; done' >/tmp/out 2>&1 &
until_true 60 grep -q here /tmp/out
kill -USR1 "$!"
status=0
wait "$!" || status=$?
is "$status" 9 "SIGUSR1 goes on to the program"
is "$(ls /tmp/flatiommu-fault.* 2>/dev/null)" '' "no file is left"
flatiommu run --fault -- sh -c 'echo $$; exec sleep 1000' >/tmp/out 2>&1 &
until_true 60 grep -q . /tmp/out
kill -9 "$!"
wait "$!"
succeeds "if run is killed, the program is" until_true 10 gone "$(</tmp/out)"
rm -f /tmp/flatiommu-fault.*

flatiommu bind "$SHM" >/dev/null
driver
sleep 6
status=0
flatiommu run --fault -- "${0%/*}/wild" "$EDU" behind >/tmp/out 2> >(exec true) </dev/null || status=$?
is "$status" $fault "if nobody reads the reports: exit status $fault"
if [[ ! -e /dev/iommu ]]; then
	peers iommu-type1
else
	peers iommu-iommufd
	if has_groups; then
		export FLATIOMMU_BACKEND=iommu-type1
		driver
		peers iommu-type1
		unset FLATIOMMU_BACKEND
	fi
fi
flatiommu unbind "$SHM" >/dev/null

output=$(setpriv --inh-caps=-sys_admin --bounding-set=-sys_admin env FLATIOMMU_FAULT=1 "${0%/*}/wild" "$EDU" well 2>&1)
like "$output" "/proc/self/pagemap: .*: physical addresses need CAP_SYS_ADMIN" "the library says what it lacks"
output=$(FLATIOMMU_FAULT=no "${0%/*}/wild" "$EDU" well 2>&1)
like "$output" "FLATIOMMU_FAULT=no: it can be 1" "and what it does not know"
flatiommu unbind "$EDU" >/dev/null
done_testing
