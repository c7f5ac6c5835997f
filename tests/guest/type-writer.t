#!/bin/bash
# Writers of a group's type against claim and release: up to 6.4 such a write waits for device_lock()
# of the function in the group, and the end of the group waits for the write.
. "${0%/*}/lib.sh"

rounds=400
wrote=/tmp/type-writer

# Nothing is forked, as that is slow. Most writes find no group, or are refused; one counts when it was done.
writer() {
	local type done=0 end=
	trap 'end=1' TERM
	while [[ -z $end ]]; do
		for type in DMA identity auto; do
			for file in /sys/kernel/iommu_groups/*/type; do
				if [[ -e $file ]] && echo "$type" >"$file"; then
					done=$((done + 1))
				fi
			done
		done
	done 2>/dev/null
	echo "$done" >"$wrote"
}

insmod "$MODULE"
none=$(iommus)
writer &
writer=$!
claimed=0 released=0
for ((i = 0; i < rounds; i++)); do
	echo "$EDU" >"$CLAIM" && claimed=$((claimed + 1))
	echo "$EDU" >"$RELEASE" && released=$((released + 1))
done
kill "$writer"
wait "$writer"
is "$claimed" "$rounds" "every claim succeeds"
is "$released" "$rounds" "and every release"
isnt "$(<$wrote)" 0 "types were written"
diag "$(<$wrote) times"
rm $wrote
is "$(iommus)" "$none" "nothing is left behind"
succeeds "the module unloads" rmmod flatiommu
done_testing
