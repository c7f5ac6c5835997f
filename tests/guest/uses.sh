# shellcheck shell=bash
# For tests of what bind refuses. $subject is the function that is used, and $driver its driver.

# refuses NAME PATTERN [CURE]: bind does, and says why
refuses() {
	local output status=0
	output=$(flatiommu bind "${subject:?}" 2>&1) || status=$?
	is "$status" 1 "$1: bind refuses"
	like "$output" "$subject: not bound: $2" "$1: and says why"
	[[ -z ${3-} ]] || like "$output" "; try: $3\$" "$1: with what mends it"
	is "$(driver_of "$subject")" "${driver:?}" "$1: it has its driver"
}

# texts: what doctor says of the uses
texts() {
	said '.checks[] | select(.check == "use") | .state + " " + .text' doctor "${subject:?}"
}
