#!/bin/bash
# The module and the command accept the same addresses (addresses.list), as the library does in api-args.c; the other
# names of a DEVICE; --help and -h.
. "${0%/*}/lib.sh"
export TERM=dumb

# taken_by WHO TEXT: what the address is that it takes TEXT for, or -
taken_by() {
	local said=
	case $1 in
	module)
		log_mark
		case $(errno_of "$CLAIM" "$2") in
		EINVAL) ;;
		OK) said=$(flat_log | sed -n 's/^flatiommu: \([^ ]*\): claimed .*/\1/p') && echo "$said" >"$RELEASE" ;;
		*) said=$(flat_log | sed -n 's/^flatiommu: \([^ ]*\): .*/\1/p') ;;
		esac
		;;
	command)
		said=$(flatiommu list -- "$2" 2>&1)
		case $said in
		*": neither a PCI address"*) said='' ;;
		*": there is no such PCI function"*) said=${said#flatiommu: } said=${said%%: there*} ;;
		*) said=${said#*$'\n'} said=${said%% *} ;;
		esac
		;;
	esac
	echo "${said:--}"
}

insmod "$MODULE"
declare -A wrong=([module]='' [command]='')
lines=0
while IFS= read -r line; do
	[[ $line != '#'* ]] || continue
	lines=$((lines + 1))
	text=${line#*$'\t'}
	for who in module command; do
		# a write of nothing is none
		[[ $who$text != module ]] || continue
		taken=$(taken_by "$who" "$text")
		[[ $taken == "${line%%$'\t'*}" ]] || wrong[$who]+="'$text' is $taken to it; "
	done
done <"${0%/*}/addresses.list"
diag "$lines texts"
for who in module command; do
	is "${wrong[$who]}" '' "the $who takes what it should, and nothing else"
done

diag "what else is a DEVICE"
# names DEVICE ADDRESS
names() {
	is "$(said '.functions[0].address' list "$1")" "$2" "$1 is $2"
}
kind=$(said '.functions[0].id' list "$EDU")
names "$kind" "$EDU"
names "${kind^^}" "$EDU"
disk=$(disk_of "$NVME")
names "$disk" "$NVME"
names "${disk##*/}" "$NVME"
names "${disk%n1}" "$NVME"
interface=$(ls "/sys/bus/pci/devices/$NIC/net" 2>/dev/null)
[[ -z $interface ]] || names "$interface" "$NIC"
for text in " $kind" "$kind " "+${kind#?}" "0x${kind#??}" "${kind/:/: }" "${kind%?}" "0$kind" "${kind/:/:0}" "-${kind#?}" \
	"${kind/:/}" "${kind/:/::}"; do
	like "$(flatiommu list -- "$text" 2>&1)" \
		"^flatiommu: ${text//+/\\+}: neither a PCI address, .* vendor:device; try: flatiommu list$" "'$text' is none"
done
rmmod flatiommu

diag "devices="
log_mark
fails "a blank in devices=" insmod "$MODULE" "devices=\"$EDU,$TESTDEV \""
like "$(flat_log)" "devices=: $TESTDEV  is not a PCI address" "it says which"
insmod "$MODULE" "devices=${EDU#0000:},0000:00:0C.0"
is "$(said '[.functions[] | select(.iommu == "flatiommu").address] | join(" ")' list)" "$EDU $SHM" \
	"without the segment, and in capitals"
for device in "${EDU#0000:}" 00:0C.0; do
	is "$(errno_of "$RELEASE" "$device")" OK "and released by that"
done
rmmod flatiommu

diag "help"
overview=$(flatiommu help)
like "$overview" "^Usage: flatiommu .*COMMAND.*$(printf '\n    %s .*' list bind version)" "flatiommu help shows the commands"
for words in --help -h "--json -h" "-j --help"; do
	read -ra arguments <<<"$words"
	expected=$overview
	[[ $words != *j* ]] || expected=$(flatiommu --json help)
	is "$(flatiommu "${arguments[@]}")" "$expected" "flatiommu $words shows the same"
	succeeds "and that is no failure" flatiommu "${arguments[@]}"
done
is "$(flatiommu)" "$overview" "and so does flatiommu"
is "$(flatiommu help --help)" "$(flatiommu help help)" "of help itself its usage"
for words in "bind -h" "-h bind" "bind --help" "--help bind"; do
	read -ra arguments <<<"$words"
	is "$(flatiommu "${arguments[@]}")" "$(flatiommu help bind)" "flatiommu $words shows the usage of bind"
done
fails "help that cannot be written has failed" bash -c 'flatiommu -h >/dev/full'
fails "and so has usage" bash -c 'flatiommu bind -h >/dev/full'
done_testing
