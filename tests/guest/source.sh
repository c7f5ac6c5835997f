# shellcheck shell=bash
# Programs that tests/vm/sources has built from the tester's sources.

# source_of NAME VARIABLE: sets $source to their directory, or skips the test
source_of() {
	source=/flatiommu/sources/$1
	[[ -d $source ]] || skip_all "$2 names no source of it"
	diag "$1 $(<"$source/version")"
}
