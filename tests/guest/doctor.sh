# shellcheck shell=bash
# For tests of flatiommu doctor: its messages, and whether its cures work.

# The machine has no sudo, and the test runs as root already.
sudo() {
	"$@"
}

# line CHECK REGEX COMMAND...: prints the first line of the check whose text matches, as JSON
line() {
	local check=$1 text=$2
	shift 2
	"$@" | jq -c --arg check "$check" --arg text "$text" \
		'[.checks[] | select(.check == $check and (.text | test($text)))][0]'
}

# broken NAME CHECK STATE TEXT CURE COMMAND...: checks doctor's line and its cure, and that the cure works
broken() {
	local name=$1 check=$2 state=$3 text=$4 mends=$5 found remedy after
	shift 5
	found=$(line "$check" "$text" "$@")
	is "$(jq -r .state <<<"$found")" "$state" "$name: it is a $state"
	remedy=$(jq -r .cure <<<"$found")
	like "$remedy" "^$mends\$" "$name: with a cure"
	eval "$remedy" >/tmp/remedy 2>&1 || {
		not_ok "$name: the cure runs"
		diag "$(</tmp/remedy)"
	}
	after=$(line "$check" "$text" "$@")
	is "$after" null "$name: which cures it"
	[[ $after == null ]] || diag "$("$@" | jq -r '.checks[] | .check + ": " + .text')"
}
