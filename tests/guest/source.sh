# shellcheck shell=bash
# Programs that tests/vm/sources has built, from sources that the tester has.

# source_of NAME VARIABLE: they are in $source; without them the test is skipped
source_of() {
	source=/flatiommu/sources/$1
	[[ -d $source ]] || skip_all "$2 names no source of it"
	diag "$1 $(<"$source/version")"
}
