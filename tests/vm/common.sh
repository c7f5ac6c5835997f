# shellcheck shell=bash
# Sourced by the scripts beside it.

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck disable=SC2034
top=${here%/tests/vm}
# What is expensive to make is made once and kept here. Nothing in it is precious.
cache=${FLATIOMMU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flatiommu}

# a user's PATH on Debian has no depmod and mke2fs
PATH=$PATH:/usr/sbin:/sbin

say() {
	echo "${0##*/}: $*" >&2
}

die() {
	say "$*"
	exit 1
}

# cached KEY COMMAND...: makes $cache/KEY, if it is missing, by COMMAND..., which is given the path
# to make it at; that is another one, and moved at the end, so that what is there is whole.
cached() {
	local key=$1 lock part=$cache/tmp/$1
	shift
	[[ ! -e $cache/$key ]] || return 0
	mkdir -p "$cache/tmp" "$cache/lock"
	exec {lock}>"$cache/lock/$key"
	flock "$lock"
	if [[ ! -e $cache/$key ]]; then
		rm -rf "$part"
		# in a shell of its own: set -e holds there, and the lock stays here
		("$@" "$part" {lock}>&-) >&2
		mv -T "$part" "$cache/$key"
	fi
	exec {lock}>&-
}

# unpack DIRECTORY PACKAGE...: downloads packages (NAME or NAME=VERSION) and unpacks them into DIRECTORY
unpack() {
	local into=$1 debs=$1.debs deb
	shift
	mkdir -p "$into" "$debs"
	# root's downloads are not for the user _apt, who cannot write here
	(cd "$debs" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$@") ||
		die "cannot download $*; does apt-get update help?"
	for deb in "$debs"/*.deb; do
		dpkg-deb -x "$deb" "$into"
	done
	rm -r "$debs"
}

# field PACKAGE FIELD: of the version that apt would install
field() {
	apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n "s/^$2: //p"
}
