#!/bin/bash
# No command waits for another command's unbind, and unbind does not wait for a program: it names the program that has
# the function open, in any way. Each command has some seconds; a hang fails the test.
. "${0%/*}/lib.sh"
export TERM=dumb

limit=20
[[ $FLATIOMMU_KERNEL != *-debug ]] || limit=60
echo Y >"$(unsafe_interrupts)"

# ran SECONDS COMMAND...: it has ended by then, and whoever reads what it says has come to the end of that. The words go to
# /tmp/said, the exit status to /tmp/status.
ran() {
	local seconds=$1 reader
	shift
	{
		"$@" 2>&1
		echo $? >/tmp/status
	} | cat >/tmp/said &
	reader=$!
	until_true "$seconds" test ! -e /proc/$reader/exe
}

# answers COMMAND...
answers() {
	if ran $limit "$@"; then
		ok "$* answers"
	else
		not_ok "$* answers"
		diag "$(ps -C flatiommu -o pid,stat,wchan:30,args)"
	fi
}

# refuses REGEX COMMAND...: in time, and says why
refuses() {
	local why=$1
	shift
	answers "$@"
	is "$(</tmp/status)" 1 "$*: the exit status is 1"
	like "$(</tmp/said)" "$why" "$*: it says why"
}

# hold DEVICE HOW: by a process whose number is $holder
hold() {
	: >/tmp/holder
	holder "$@" >/tmp/holder &
	until_true 20 test -s /tmp/holder
	holder=$(</tmp/holder)
}

let_go() {
	kill "$holder"
	until_true 20 test ! -e "/proc/$holder"
}

# left_over: processes that commands have left behind
left_over() {
	pgrep -lx flatiommu
}

is_gone() {
	[[ ! -e /sys/bus/pci/devices/$1 ]]
}

has_driver() {
	[[ $(driver_of "$1") == "$2" ]]
}

# look DEVICE: all that only looks, while something waits for DEVICE
look() {
	answers flatiommu list
	answers flatiommu list "$NVME"
	answers flatiommu list --json "$1"
	answers flatiommu status
	answers flatiommu doctor
	answers flatiommu doctor "$1"
	answers flatiommu doctor "$NVME"
	answers flatiommu run --check --force -- true
	answers flatiommu addresses $$ 0x400000 4096
	answers flatiommu help
	answers flatiommu version
	answers flatiommu list "$1"
	like "$(</tmp/said)" "an unbind waits for .*holder\[$holder\]" "and list says who has it"
	ran $limit flatiommu status
	like "$(</tmp/said)" "an unbind of it waits" "and status that an unbind waits"
	ran $limit flatiommu doctor "$1"
	like "$(</tmp/said)" "problem +driver +it is being unbound from vfio-pci, which waits.*open by holder\[$holder\]" "and doctor both"
}

# change DEVICE: all that changes, of DEVICE and of others
change() {
	local waits="$1: an unbind of it waits for holder\[$holder\]; try: kill $holder"
	refuses "$waits" flatiommu bind "$1"
	refuses "$1: an unbind of it waits for holder\[$holder\].*; try: kill $holder" flatiommu unbind "$1"
	refuses "$waits" flatiommu release "$1"
	refuses "$waits" flatiommu claim "$1"
	answers flatiommu bind "$FN1"
	is "$(driver_of "$FN1")" vfio-pci "another one is bound meanwhile"
	answers flatiommu unbind "$FN1"
	is "$(driver_of "$FN1")" '' "and unbound"
}

diag "no file is read that takes a function's lock, on whatever kernel"
flatiommu bind "$SRIOV_PF" >/dev/null
for command in list "list $SRIOV_PF" "list --all" status doctor "doctor $SRIOV_PF" "doctor $NVME" "run --check --force -- true"; do
	# shellcheck disable=SC2086
	opened=$(calls --opened flatiommu $command 2>/dev/null)
	like "$opened" "/sys/bus/pci/devices" "flatiommu $command: what it opens is seen"
	unlike "$opened" "/(driver_override|sriov_numvfs|sriov_vf_total_msix|uevent)"$'(\n|$)' "flatiommu $command: none of those"
done

diag "an unbind by hand waits"
hold "$SRIOV_PF" all
echo "$SRIOV_PF" >/sys/bus/pci/drivers/vfio-pci/unbind &
until_true 10 has_driver "$SRIOV_PF" ''
look "$SRIOV_PF"
change "$SRIOV_PF"
let_go
answers flatiommu unbind "$SRIOV_PF"
is "$(</tmp/status) $(driver_of "$SRIOV_PF")" "0 nvme" "then it is put back"

diag "a removal by hand waits, of what has no group's node open"
flatiommu bind "$EDU" >/dev/null
hold "$EDU" device
echo 1 >"/sys/bus/pci/devices/$EDU/remove" &
until_true 10 has_driver "$EDU" ''
look "$EDU"
change "$EDU"
let_go
until_true 20 is_gone "$EDU"
ran $limit flatiommu status
like "$(</tmp/said)" "$EDU +was bound, and is gone" "status says that it is gone"
answers flatiommu unbind --all
echo 1 >/sys/bus/pci/rescan
is "$(cat /run/flatiommu/[m0-9]* 2>/dev/null)" '' "nothing is left of it"
wait

numvfs=/sys/bus/pci/devices/$SRIOV_PF/sriov_numvfs
if echo 1 >"$numvfs" 2>/dev/null && until_true 20 test -e "/sys/bus/pci/devices/$SRIOV_VF0"; then
	diag "a physical function that ends its virtual ones waits, with the locks of both"
	flatiommu bind "$SRIOV_VF0" >/dev/null
	hold "$SRIOV_VF0" all
	echo 0 >"$numvfs" &
	until_true 10 has_driver "$SRIOV_VF0" ''
	look "$SRIOV_VF0"
	answers flatiommu list "$SRIOV_PF"
	answers flatiommu doctor "$SRIOV_PF"
	for force in '' --force; do
		refuses "($SRIOV_PF: the kernel is busy with it: nvme is being|$SRIOV_VF0: an unbind of it waits for holder\[$holder\])" \
			flatiommu bind $force "$SRIOV_PF"
	done
	change "$SRIOV_VF0"
	let_go
	until_true 20 is_gone "$SRIOV_VF0"
	answers flatiommu unbind --all
	wait
	sleep 1
	is "$(driver_of "$SRIOV_PF")" nvme "and what was not done is not done later"
fi

for how in all device mapping child thread queue given; do
	diag "$how"
	ran $limit flatiommu bind "$EDU"
	hold "$EDU" $how
	refuses "$EDU: open.* \(--wait waits for it\)" flatiommu unbind "$EDU"
	is "$(driver_of "$EDU")" vfio-pci "$how: it is still vfio-pci's"
	[[ $how == queue ]] || like "$(</tmp/said)" "open by holder\[$holder\].*; try: kill $holder" "$how: it says who"
	answers flatiommu list "$EDU"
	if [[ $how == queue ]]; then
		like "$(</tmp/said)" "no process shows it" "$how: list says that it is open"
		like "$(flatiommu doctor "$EDU")" "is open, maybe this one" "$how: and so does doctor"
	else
		like "$(</tmp/said)" "open: holder\[$holder\]\)" "$how: list says who has it"
		like "$(flatiommu doctor "$EDU")" "open by holder\[$holder\]" "$how: and so does doctor"
	fi
	let_go
done

diag "two are bound, one of them is open by its file alone"
ran $limit flatiommu bind "$FN1"
hold "$EDU" device
refuses "$EDU: open by (maybe )?holder\[$holder\]" flatiommu unbind "$EDU"
answers flatiommu unbind "$FN1"
is "$(</tmp/status) $(driver_of "$FN1")" "0 " "the other one is unbound"

diag "--wait"
flatiommu unbind --wait "$EDU" >/tmp/waited 2>&1 &
waiter=$!
until_true $limit grep -q waiting /tmp/waited
like "$(</tmp/waited)" "^flatiommu: waiting: $EDU: open by holder\[$holder\]" "it says for whom it waits"
answers flatiommu bind "$FN1"
is "$(</tmp/status)" 0 "another one is bound meanwhile"
answers flatiommu unbind "$FN1"
is "$(driver_of "$EDU")" vfio-pci "nothing is asked of the kernel before the program has ended"
let_go
succeeds "it ends when the program has" until_true $limit test ! -e /proc/$waiter/exe
is "$(driver_of "$EDU")$(group_of "$EDU")" '' "and has put it back"

diag "a second command waits for the lock, but not for ever"
exec 5>/run/flatiommu/lock
flock 5
ran 90 flatiommu bind "$EDU"
like "$(</tmp/said)" "another command has been changing things for 60 s: .*\[[0-9]+\]" "it says which"
exec 5>&-
sleep 1
is "$(left_over)" '' "no process is left over"
flatiommu unbind --all >/dev/null
done_testing
