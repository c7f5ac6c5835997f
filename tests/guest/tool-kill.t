#!/bin/bash
# flatiommu bind and unbind, stopped at random points: after SIGKILL status reports the state and unbind
# completes the work; after SIGINT and similar signals bind undoes its changes itself. No process is left over, only /run is
# written to, and /sys is as before. kills=N on the kernel's command line is for more rounds
# (FLATIOMMU_APPEND=kills=200 tests/vm/run ...).
. "${0%/*}/lib.sh"

unsafe=$(unsafe_interrupts)
rounds=$(sed -n 's/.*\bkills=\([0-9]*\).*/\1/p' /proc/cmdline)
rounds=${rounds:-16}
signals=(INT TERM HUP)
RANDOM=$$

# milliseconds since the machine started
now() {
	local up
	read -r up _ </proc/uptime
	echo "${up/./}0"
}

modules() {
	lsmod | sed -n 's/ .*//p' | sort
}

# all that bind changes, a line each
state() {
	echo "$(driver_of "$NVME") $(driver_of "$EDU") $(<"/sys/bus/pci/devices/$NVME/driver_override")" \
		"$(<"/sys/bus/pci/devices/$EDU/driver_override")"
	iommus
	cat "$unsafe"
	modules
	cat /run/flatiommu/[m0-9]* 2>/dev/null
}

# told: does status say that there is something to put back?
told() {
	flatiommu --json status | jq -e '(.functions | map(select(.bound_here)) | length > 0) or
		.machine_left_behind' >/dev/null
}

# stopped SIGNAL MILLISECONDS COMMAND...: starts it and stops it; its exit status
stopped() {
	local signal=$1 after=$2 pid
	shift 2
	env --default-signal=INT,TERM,HUP "$@" >/dev/null 2>&1 &
	pid=$!
	sleep "$((after / 1000)).$(printf %03d $((after % 1000)))"
	kill "-$signal" $pid 2>/dev/null
	wait $pid 2>/dev/null
}

same_programs() {
	now=$(programs)
	[[ $now == "$programs" ]]
}

echo N >"$unsafe"
# once in full, as the first driver of a function changes it for good; and to know how long it takes
flatiommu bind "$NVME" "$EDU" >/dev/null
flatiommu unbind "$NVME" "$EDU" >/dev/null
before=$(state)
snapshot=$(pci_snapshot)
shape=$(sys_shape)
programs=$(programs)
touch /tmp/stamp
start=$(now)
flatiommu bind "$NVME" "$EDU" >/dev/null
bind_takes=$(($(now) - start))
bound=$(state)
start=$(now)
flatiommu unbind "$NVME" "$EDU" >/dev/null
unbind_takes=$(($(now) - start))
is "$(state)" "$before" "undisturbed, all is as before"
diag "bind takes $bind_takes ms, unbind $unbind_takes ms; $rounds rounds"

wrong=0 half=0 silent=0 by_itself=0 left=0
all_bound=$bound
for ((i = 0; i < rounds; i++)); do
	bound=$all_bound
	polite=${signals[RANDOM % 3]}
	case $((i % 6)) in
	0 | 1)
		what="SIGKILL in bind"
		stopped KILL $((RANDOM % bind_takes)) flatiommu bind "$NVME" "$EDU"
		;;
	2)
		what="SIG$polite in bind"
		stopped "$polite" $((RANDOM % bind_takes)) flatiommu bind "$NVME" "$EDU" ||
			[[ $(state) == "$before" ]] || {
			by_itself=$((by_itself + 1))
			diag "round $i: $what left something"
			diag "$(diff <(echo "$before") <(state))"
		}
		;;
	3)
		what="SIGKILL in unbind"
		flatiommu bind "$NVME" "$EDU" >/dev/null
		stopped KILL $((RANDOM % unbind_takes)) flatiommu unbind --all
		;;
	4)
		what="SIG$polite in unbind"
		flatiommu bind "$NVME" "$EDU" >/dev/null
		stopped "$polite" $((RANDOM % unbind_takes)) flatiommu unbind "$EDU" "$NVME"
		;;
	5)
		# as after a reboot, where udev has bound it
		what="SIGKILL in unbind of what has no record"
		flatiommu bind "$NVME" "$EDU" >/dev/null
		rm "/run/flatiommu/$NVME" "/run/flatiommu/$EDU"
		bound=$(state)
		stopped KILL $((RANDOM % unbind_takes)) flatiommu unbind "$NVME" "$EDU"
		;;
	esac
	# a modprobe that goes on holds the lock
	flock /run/flatiommu/lock true
	after=$(state)
	if [[ $after != "$before" && $after != "$bound" ]]; then
		half=$((half + 1))
		told || {
			silent=$((silent + 1))
			diag "round $i: $what: status says nothing of it"
			diag "$(diff <(echo "$before") <(echo "$after"))"
		}
	fi
	# --all is for what bind has bound
	if ((RANDOM % 2 || i % 6 == 5)); then
		flatiommu unbind "$NVME" "$EDU"
	else
		flatiommu unbind --all
	fi >/tmp/unbind 2>&1
	after=$(state)
	[[ $after == "$before" ]] || {
		wrong=$((wrong + 1))
		diag "round $i: $what"
		diag "$(</tmp/unbind)"
		diag "$(diff <(echo "$before") <(echo "$after"))"
		flatiommu unbind --all
	}
	until_true 3 same_programs || {
		left=$((left + 1))
		diag "round $i: $what: processes"
		diag "$(diff <(echo "$programs") <(echo "$now"))"
	}
done
diag "$half of $rounds were stopped half way"
isnt "$half" 0 "some were stopped half way"
is "$silent" 0 "status told of all of them"
is "$by_itself" 0 "after SIGINT, SIGTERM and SIGHUP bind has put everything back itself"
is "$wrong" 0 "unbind put everything right"
is "$left" 0 "no process is left over"
is "$(written_since /tmp/stamp)" '' "nothing was written but in /run"
disk_of "$NVME" >/dev/null
is "$(diff <(echo "$snapshot") <(pci_snapshot))" '' "/sys/bus/pci and the groups are as before"
is "$(diff <(echo "$shape") <(sys_shape))" '' "and so is all of /sys"
echo Y >"$unsafe"
done_testing
