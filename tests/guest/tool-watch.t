#!/bin/bash
# flatiommu status --watch prints each change and blocks no other command; --metrics is OpenMetrics; and long commands
# show their progress on a terminal.
. "${0%/*}/lib.sh"
export TERM=dumb

unsafe=$(unsafe_interrupts)
changes=/tmp/changes

# begin_watch FILE OPTION...: in the background; its PID is in $watch
begin_watch() {
	rm -f "$1"
	env --default-signal=INT,PIPE flatiommu status --watch "${@:2}" >"$1" 2>/tmp/watch-errors &
	watch=$!
	until_true 30 grep -q watching "$1"
}

# told FILTER: one of the changes is so, for jq; in JSON
told() {
	jq -se "map(select($1)) | length > 0" "$changes" >/dev/null
}

# tells NAME FILTER
tells() {
	if until_true 2 told "$2"; then
		ok "$1"
	else
		not_ok "$1"
		diag "no $2 in"
		diag "$(<"$changes")"
	fi
}

# story DEVICE: what was told of it, in its order; not that the command itself looks whether somebody has it
story() {
	jq -rs "map(select(.address == \"$1\" and .name != \"flatiommu\") | .event + (if .driver then \" \" + .driver else \"\" end)) | join(\", \")" "$changes"
}

# bound alike, as a function's first bind changes more, and with flatiommu's modules gone again
flatiommu bind "$NVME" "$EDU" "$SHM" >/dev/null
flatiommu unbind --all >/dev/null
disk_of "$NVME" >/dev/null
modules=$(lsmod | sed -n 's/ .*//p' | sort)

begin_watch "$changes" --json
json=$watch
begin_watch /tmp/text
text=$watch
is "$(jq -r '.functions' "$changes")" "$(said '.functions | length' list --all)" "it begins with how many functions there are"
is "$(find "/proc/$json/fd" -lname '/dev/[vif]*' -o -lname '/sys/*')" '' "it holds no file of a device"

diag "bind, open, unbind"
flatiommu bind "$NVME" "$EDU" >/dev/null
tells "bind is told" ".event == \"bound\" and .address == \"$EDU\" and .driver == \"vfio-pci\""
is "$(story "$NVME")" "unbound nvme, claimed, bound vfio-pci" "of a disk: in its order"
is "$(story "$EDU")" "claimed, bound vfio-pci" "of one without a driver"
is "$(jq -rs "map(select(.event == \"claimed\" and .address == \"$EDU\"))[0].group" "$changes")" "$(group_of "$EDU")" \
	"the group is the claim's"
exec 6<>"$(node_of "$EDU")"
tells "who opens it is told" ".event == \"opened\" and .address == \"$EDU\" and .pid == $$ and (.name | test(\"tool-watch|bash\"))"
exec 6>&-
tells "and who closes it" ".event == \"closed\" and .address == \"$EDU\" and .pid == $$"
flatiommu unbind "$NVME" "$EDU" >/tmp/said
like "$(</tmp/said)" "unloaded flatiommu" "it does not keep unbind from unloading the module"
tells "unbind is told" ".event == \"bound\" and .address == \"$NVME\" and .driver == \"nvme\""
is "$(story "$NVME" | sed 's/.*vfio-pci, //')" "released, bound nvme" "of a disk: in its order"
is "$(story "$EDU" | sed 's/.*, unbound/unbound/')" "unbound vfio-pci, released" "of one without a driver"
is "$(lsmod | sed -n 's/ .*//p' | sort)" "$modules" "no module stays"

diag "faster than it can look"
disk_of "$NVME" >/dev/null
before=$(jq -s "map(select(.address == \"$NVME\")) | length" "$changes")
for ((i = 0; i < 5; i++)); do
	unbind "$NVME"
	echo "$NVME" >/sys/bus/pci/drivers/nvme/bind
done
all_told() {
	[[ $(jq -s "map(select(.address == \"$NVME\")) | length" "$changes") == $((before + 10)) ]]
}
until_true 10 all_told
is "$(jq -rs "map(select(.address == \"$NVME\") | .event)[$before:] | join(\" \")" "$changes")" \
	"unbound bound unbound bound unbound bound unbound bound unbound bound" "each of five, in its order"
disk_of "$NVME" >/dev/null

diag "memory and refusals"
flatiommu bind "$EDU" >/dev/null
group=$(group_of "$EDU")
coproc mapper { exec mapper "$group"; }
# shellcheck disable=SC2154
pid=$mapper_PID
read -r _ <&"${mapper[0]}"
# asks WHAT: of the mapper
asks() {
	local said
	echo "$1" >&"${mapper[1]}"
	read -r said <&"${mapper[0]}"
	echo "$said"
}
is "$(asks map)" did "a program maps 64 KiB"
tells "which is told" ".event == \"pinned\" and .pid == $pid and .name == \"mapper\" and .total == 65536"
is "$(asks lose)" failed "it maps at another address, and fails"
tells "which is told, with its cause and cure" ".event == \"refused\" and .pid == $pid and .name == \"mapper\" and .maps == 1 and
	.total == 1 and .address == \"$EDU\" and .cause == \"virtual-address\" and (.cure | test(\"flatiommu run\"))"
asks lose >/dev/null
asks lose >/dev/null
tells "and again, how often" ".event == \"refused\" and .pid == $pid and .total == 3"
is "$(jq -s 'map(select(.event == "refused").maps) | add' "$changes")" 3 "each of them once"

diag "numbers"
# wrong_in FILE: what is not as OpenMetrics 1.0 has it
wrong_in() {
	local line name='' type='' last='' families=' ' label='[a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\["\\n])*"'
	declare -A samples=()
	while IFS= read -r line; do
		[[ $last != "# EOF" ]] || echo "more behind the end: $line"
		last=$line
		if [[ $line =~ ^'# TYPE '([a-zA-Z_][a-zA-Z0-9_]*)' '(gauge|counter)$ ]]; then
			name=${BASH_REMATCH[1]} type=${BASH_REMATCH[2]}
			[[ $families != *" $name "* ]] || echo "$name: twice"
			families+="$name "
		elif [[ $line =~ ^'# UNIT '([^ ]+)' '([a-z]+)$ ]]; then
			[[ ${BASH_REMATCH[1]} == "$name" && $name == *_"${BASH_REMATCH[2]}" ]] || echo "$name: $line"
		elif [[ $line =~ ^'# HELP '([^ ]+)' '.+$ ]]; then
			[[ ${BASH_REMATCH[1]} == "$name" ]] || echo "$name: $line"
		elif [[ $line =~ ^([a-z_]+)(\{$label(,$label)*\})?' '-?[0-9]+$ ]]; then
			[[ $type != counter ]] || name=${name%_total}_total
			[[ ${BASH_REMATCH[1]} == "$name" ]] || echo "a sample of another family: $line"
			[[ -z ${samples[${line% *}]-} ]] || echo "said twice: $line"
			samples[${line% *}]=1
		elif [[ $line != "# EOF" ]]; then
			echo "neither of them: $line"
		fi
	done <"$1"
	[[ $last == "# EOF" && $(tail -c 1 "$1" | xxd -p) == 0a ]] || echo "no end"
}
# has SAMPLE VALUE NAME: in the numbers
has() {
	is "$(sed -n "s/^flatiommu_$(sed 's/[\\/]/\\&/g' <<<"$1") //p" /tmp/metrics)" "$2" "$3"
}
flatiommu status --metrics >/tmp/metrics
is "$(wrong_in /tmp/metrics)" '' "they are OpenMetrics"
has 'functions{state="open"}' 1 "a function is open"
has 'functions{state="bound"}' 0 "none is bound and not open"
has claims 1 "one is claimed"
has "function_programs{address=\"$EDU\",driver=\"vfio-pci\",group=\"$(group_of "$EDU")\",iommu=\"flatiommu\"}" 1 "by one program"
has "process_locked_bytes{pid=\"$pid\",program=\"mapper\"}" 65536 "the program's memory"
has 'refused_maps_total{cause="virtual-address"}' 3 "refusals by their cause"
has 'refused_maps_total{cause="zero-page"}' 0 "and those of no other"
has refused_programs 1 "of one program"
has held_bytes 0 "nothing is held"
has held_released_bytes_total 0 "nor was given back at the limit"
has 'module_loaded{module="flatiommu"}' 1 "the module is loaded"
has left_behind 0 "nothing is left behind"
is "$(said '.processes[0].locked' status)" 65536 "status itself says the same"
is "$(asks unmap)" did "the program unmaps"
tells "which is told" ".event == \"unpinned\" and .pid == $pid and .total == 0"
eval "exec ${mapper[1]}>&-"
wait "$pid"
tells "that it ends as well" ".event == \"closed\" and .pid == $pid"
flatiommu status --metrics >/tmp/metrics
is "$(wrong_in /tmp/metrics)" '' "without a program they are OpenMetrics as well"
has 'functions{state="bound"}' 1 "the function is bound"
# a name that has all that is to be escaped, and no characters of UTF-8
named=$'/tmp/a"b\\c\nd\377{}'
ln -s "$(command -v mapper)" "$named"
mkfifo /tmp/end
"$named" "$(group_of "$EDU")" </tmp/end >/dev/null &
named_pid=$!
exec 6>/tmp/end
tells "a name of any bytes" ".event == \"opened\" and .pid == $named_pid"
flatiommu status --metrics >/tmp/metrics
is "$(wrong_in /tmp/metrics)" '' "is escaped"
like "$(grep 'process_locked_bytes{' /tmp/metrics)" 'program="a\\"b\\\\c\?d\?\{\}"\} 0$' "as it should be"
exec 6>&-
wait "$named_pid"
rm /tmp/end "$named"
fails "numbers have no JSON" flatiommu --json status --metrics
fails "nor are they watched" flatiommu status --metrics --watch
fails "a full disk is an error" bash -c 'flatiommu status --metrics >/dev/full'
succeeds "by anybody" as_nobody flatiommu status --metrics
as_nobody flatiommu status --metrics >/tmp/metrics
is "$(wrong_in /tmp/metrics)" '' "what anybody sees is OpenMetrics, too"
has processes_partial 1 "and says that it is not all"
flatiommu unbind "$EDU" >/dev/null

diag "what comes and goes"
if unplug hotdev; then
	tells "that a function is gone" ".event == \"gone\" and .address == \"$HOT_DEV\""
	plug_hotdev
	tells "that it is there again" ".event == \"added\" and .address == \"$HOT_DEV\""
	tells "and its driver" ".event == \"bound\" and .address == \"$HOT_DEV\" and .driver == \"nvme\""
	disk_of "$HOT_DEV" >/dev/null
else
	not_ok "hotdev is unplugged"
fi

diag "text, and the end"
sleep 1.2
kill -INT $json
wait $json
is $? 0 "SIGINT ends it"
kill -TERM $text
wait $text
is $? 0 "and so does SIGTERM"
is "$(</tmp/watch-errors)" '' "without a word"
# each line has one of these behind the time
texts='is there|is gone|claimed, group [0-9]+|released|bound to [a-z0-9-]+|unbound from [a-z0-9-]+'
texts+='|(opened|closed) by .*\[[0-9]+\]|mapper\[[0-9]+\] refused [0-9]+ maps, [0-9]+ in all: .+; .+'
texts="([0-9a-f:.]{12} ($texts)|mapper\\[[0-9]+\\] (un)?pinned [0-9]+ bytes, [0-9]+ in all|watching [0-9]+ functions, 0 claimed)"
is "$(LC_ALL=C grep -vE "^20[0-9-]{8}T[0-9:.]{12}Z $texts\$" /tmp/text)" '' "each line of text is one of those of the manual"
for what in "claimed, group" "bound to vfio-pci" "unbound from nvme" "opened by" "closed by" pinned refused "is gone" "is there"; do
	like "$(</tmp/text)" "$what" "text: $what"
done
for signal in INT TERM; do
	begin_watch /tmp/text
	kill -$signal "$watch"
	wait "$watch"
	is $? 0 "SIG$signal at once"
done
# nobody reads it any more, and nothing happens
mkfifo /tmp/pipe
env --default-signal=PIPE flatiommu status --watch >/tmp/pipe &
watch=$!
head -n 1 /tmp/pipe >/dev/null
gone() {
	! kill -0 "$watch" 2>/dev/null
}
if until_true 5 gone; then
	ok "it ends when nobody reads it"
else
	not_ok "it ends when nobody reads it"
	kill -KILL "$watch"
fi
wait "$watch"
rm /tmp/pipe

diag "what takes long"
# on_terminal COMMAND...: what the terminal shows of it
on_terminal() {
	terminal "$@" 2>&1 | tr '\r' '\n'
}
echo "install vfio-pci sleep 3 && modprobe --ignore-install vfio-pci" >/etc/modprobe.d/slow.conf
output=$(on_terminal flatiommu bind "$EDU")
like "$output" $'\n'"flatiommu: bind: modprobe vfio_pci: [12] s"$'\n' "a module that takes its time"
like "$output" $'\n'"next: " "and the rest follows"
flatiommu unbind "$EDU" >/dev/null
unlike "$(flatiommu bind "$EDU" 2>&1)" " s$" "that is for a terminal alone"
rm /etc/modprobe.d/slow.conf
fails_to_lock() {
	! flock -n /run/flatiommu/lock true
}
flatiommu unbind "$EDU" >/dev/null
(
	flock 9
	sleep 3
) 9>/run/flatiommu/lock &
until_true 10 fails_to_lock
output=$(on_terminal flatiommu bind "$EDU")
wait $!
like "$output" $'\n'"flatiommu: bind: [12] s"$'\n' "one that waits for another one"
flatiommu unbind "$EDU" >/dev/null
unlike "$(on_terminal flatiommu help)" "flatiommu: [a-z]+: [0-9]+ s" "what is fast says nothing"
echo Y >"$unsafe"
done_testing
