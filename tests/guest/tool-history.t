#!/bin/bash
# history and who: a driver that frees its memory and does not stop its device writes to memory of
# another program. The steps of doc/troubleshooting.md alone find the driver.
. "${0%/*}/lib.sh"
export TERM=dumb

thp=/sys/kernel/mm/transparent_hugepage/enabled
with_thp=$(sed 's/.*\[\(.*\)\].*/\1/' $thp)

# ask TO LINE: of a coprocess, whose file descriptors are in the array of this name
ask() {
	local -n process=$1
	local said
	echo "$2" >&"${process[1]}"
	read -r -t 120 said <&"${process[0]}"
	echo "$said"
}

# shared ADDRESS...: the first of these that the canary has
shared() {
	flatiommu --json addresses "$canary" "${held[4]}" "${held[1]}M" |
		jq -r --arg of "$*" 'def number: explode[2:] | map(if . > 96 then . - 87 else . - 48 end) |
			reduce .[] as $d (0; . * 16 + $d);
			($of | split(" ") | map({key: (number | tostring), value: .}) | from_entries) as $all |
			[.segments[] | select(.address) | (.address | number) as $from |
			range($from; $from + .length; 4096) | $all[tostring] // empty][0] // empty'
}

diag "the module keeps nothing"
fails "history needs the module" flatiommu history "$EDU"
like "$(flatiommu history "$EDU" 2>&1)" "the module is not loaded" "and says so"
insmod "$MODULE" history=0
like "$(flatiommu history "$EDU" 2>&1)" "^flatiommu: $EDU: it is not claimed, and history ends with the claim; try: flatiommu list $EDU$" \
	"history of a function that is not claimed"
like "$(flatiommu who 0x1000 2>&1)" "0x1000: the module keeps no history: set its parameter history= before the function is claimed" \
	"who, without any"
flatiommu bind "$EDU" >/dev/null
like "$(flatiommu history "$EDU" 2>&1)" "$EDU: the module keeps no history: set its parameter history= before the function is claimed" \
	"history of a function without one"
flatiommu unbind "$EDU" >/dev/null
rmmod flatiommu

diag "two programs, two devices"
echo never >$thp
insmod "$MODULE" history=4096
flatiommu bind "$EDU" "$FN1" >/dev/null
# find HOW: the one that wrote
find_overwriter() {
	local how=$1 addresses address at frame canaries
	# it keeps its memory: who rightly names two devices for a frame that the driver had after it
	coproc OTHER { exec overwriter "$FN1" "$how" keep; }
	other=$OTHER_PID
	read -r -t 60 _ <&"${OTHER[0]}"
	# memory that a processor frees goes to the next program that asks there
	coproc DRIVER { exec taskset -c 0 overwriter "$EDU" "$how"; }
	driver=$DRIVER_PID
	read -r -t 60 addresses <&"${DRIVER[0]}"
	like "$addresses" "^0x[0-9a-f]+( 0x[0-9a-f]+){63}$" "$how: the driver had memory"
	# it is not the first to be given away where memory is in pieces
	canaries=() address=
	while [[ -z $address ]] && ((${#canaries[@]} < 7)); do
		coproc CANARY { exec taskset -c 0 canary 256; }
		canary=$CANARY_PID
		canaries+=("$canary")
		read -r -t 120 -a held <&"${CANARY[0]}"
		# shellcheck disable=SC2086
		address=$(shared $addresses)
	done
	is "${held[*]:0:3}" "holds 256 MiB" "$how: another program has it now"
	like "$address" "^0x" "$how: some of it"
	is "$(ask CANARY "")" "0 bytes changed" "$how: as it was"
	[[ -z $address ]] || is "$(ask DRIVER "$address")" written "$how: the device writes"
	# some are as they were by chance
	like "$(ask CANARY "")" "^20[0-4][0-9] bytes changed" "$how: where that program has its memory"

	diag "$how: the steps of troubleshooting.md"
	at=$(ask CANARY where)
	frame=$(flatiommu --json addresses "$canary" "$at" 1 | jq -r '.segments[0].address')
	flatiommu who "$frame" >/tmp/who
	like "$(</tmp/who)" "$EDU: since [^ ]+ overwriter\[$driver\] has let it go, and nothing has stopped the device since: it may still write to it" \
		"$how: who says which device, and which process"
	is "$(grep -c 'it may still write' /tmp/who)" 1 "$how: and no other"
	is "$(said '[.functions[] | select(.state == "running") | "\(.device) \(.process) \(.pid)"] | join(",")' who "$frame")" \
		"$EDU overwriter $driver" "$how: as JSON"
	is "$(said ".events | map(select(.device == \"$EDU\" and .pid == $driver) | .event) | join(\" \")" who "$frame")" \
		"$2" "$how: with its events"
	flatiommu history "$EDU" >/tmp/history
	like "$(</tmp/history)" "$3 +overwriter\[$driver\] +0x[0-9a-f]+ +$frame +4096" "$how: history has the end of it"
	is "$(said "[.events[] | select(.pid == $driver and .event != \"$3\" and .event != \"${2%% *}\") | .event] | join(\" \")" \
		history "$EDU")" "attach" "$how: and no stop"
	unlike "$(flatiommu history "$FN1")" "overwriter\[$driver\]" "$how: the other device has none of it"

	kill -KILL "$driver"
	wait "$driver" 2>/dev/null
	like "$(flatiommu who "$frame")" "$EDU: since .* overwriter\[$driver\] has let it go while the device was running: it may have written to it until it was stopped, at 20" \
		"$how: when the driver is dead, who knows it still"
	like "$(flatiommu history "$EDU")" "detach +overwriter\[$driver\]" "$how: and history when the device was stopped"
	kill "$other" "${canaries[@]}"
	wait "$other" "${canaries[@]}" 2>/dev/null
}
# bash warns of more than one coproc
find_overwriter map "map unmap" unmap 2>/tmp/noise
find_overwriter pin "pin unpin" unpin 2>/tmp/noise

diag "what else who says"
like "$(flatiommu who 0xfffffffff000)" "0xfffffffff000: no device has had it" "of memory that nobody had"
coproc MAPPER { exec mapper "$(group_of "$EDU")"; }
pid=$MAPPER_PID
read -r _ <&"${MAPPER[0]}"
ask MAPPER map >/dev/null
at=$(said "[.events[] | select(.pid == $pid and .event == \"map\")][0].address" history "$EDU")
like "$(flatiommu who "$at")" "$EDU: since .* mapper\[$pid\] has it mapped or pinned, and may write to it" "a device has it"
ask MAPPER unmap >/dev/null
ask MAPPER lose >/dev/null
at=$(said "[.events[] | select(.pid == $pid and .event == \"refuse\")][0].at" history "$EDU")
like "$(flatiommu who "$at")" "mapper\[$pid\] was refused a map at this address: if the program went on, the device writes to it" \
	"a device was refused it"
echo hold >/sys/module/flatiommu/parameters/on_unmap
ask MAPPER map >/dev/null
at=$(said "[.events[] | select(.pid == $pid and .event == \"map\")][-1].address" history "$EDU")
ask MAPPER unmap >/dev/null
like "$(flatiommu who "$at")" "$EDU: since .* mapper\[$pid\] has let it go, and it is held: nobody else has it, and the device may still write to it" \
	"a device had it, and it is held"
# an earlier program may have had the memory
is "$(said ".functions[] | select(.pid == $pid) | .state" who "$at")" held "as JSON"
like "$(flatiommu history "$EDU")" " hold +mapper\[$pid\] +0x[0-9a-f]+ +$at " "history has that"
kill "$pid"
wait "$pid" 2>/dev/null
like "$(flatiommu who "$at")" "$EDU: since .* mapper\[$pid\] has let it go when the device was stopped" "when the program is dead, it is nobody's"
is "$(said "[.events[] | select(.address == \"$at\") | .event] | .[-1]" history "$EDU")" release "history has the end of it"
echo free >/sys/module/flatiommu/parameters/on_unmap
is "$(said '.kept' history "$EDU")" 4096 "how many are kept"
like "$(said '.events[0].time' history "$EDU")" "^20[0-9-]{8}T[0-9:]{8}\.[0-9]{6}$" "times are those of the day"

diag "who may see it"
like "$(as_nobody flatiommu history "$EDU" 2>&1)" "history: /dev/flatiommu: CAP_SYS_RAWIO is missing.*; try: sudo flatiommu history$" \
	"not everybody"
like "$(setpriv --inh-caps=-sys_admin --bounding-set=-sys_admin flatiommu who 0x1000 2>&1)" "0x1000: CAP_SYS_ADMIN is missing" "who needs CAP_SYS_ADMIN"
setpriv --inh-caps=-sys_admin --bounding-set=-sys_admin flatiommu history "$EDU" >/tmp/history
like "$(</tmp/history)" "addresses are hidden: CAP_SYS_ADMIN is missing" "history says that addresses are hidden"
unlike "$(</tmp/history)" "0x" "and has none"
like "$(flatiommu history 8086 2>&1)" "neither a PCI address" "a DEVICE is what it is elsewhere"
like "$(flatiommu who nowhere 2>&1)" "nowhere: not a number" "and an ADDRESS a number"

flatiommu unbind "$EDU" "$FN1" >/dev/null
like "$(flatiommu history "$EDU" 2>&1)" "not claimed" "it ends with the claim"
rmmod flatiommu
echo "$with_thp" >$thp
done_testing
