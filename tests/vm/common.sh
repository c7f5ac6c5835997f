# shellcheck shell=bash
# Sourced by the scripts beside it: messages, and the cache.

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck disable=SC2034
top=${here%/tests/vm}
# What is expensive to make is made once and kept here. Nothing in it is precious.
cache=$(realpath -sm "${FLATIOMMU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flatiommu}")
# what apt says is read here
export LC_ALL=C.UTF-8

# a user's PATH on Debian has no depmod and mke2fs
PATH=$PATH:/usr/sbin:/sbin

say() {
	echo "${0##*/}: $*" >&2
}

die() {
	say "$*"
	exit 1
}

# triplet ARCHITECTURE: what its compiler is called
triplet() {
	case $1 in
	arm64) echo aarch64-linux-gnu ;;
	riscv64) echo riscv64-linux-gnu ;;
	*) die "no compiler for $1" ;;
	esac
}

# room: megabytes that are free in the cache
room() {
	df --output=avail -B 1M "$cache" | tail -n 1 | tr -d ' '
}

# lock NAME: until unlock or the end of the script; nobody else makes NAME meanwhile. It may wait for long.
lock() {
	local file=$cache/lock/$1
	mkdir -p "$cache/tmp" "$cache/lock" 2>/dev/null || true
	if [[ -d $cache && (! -w $cache || ! -w $cache/tmp || ! -w $cache/lock || (-e $file && ! -w $file)) ]]; then
		die "$1 has to be made, and $(id -un) cannot write to the cache $cache, which $(stat -c %U "$cache")" \
			"has made: set FLATIOMMU_CACHE to another directory, or remove this one"
	fi
	[[ -d $cache/lock ]] || die "cannot make the cache $cache: set FLATIOMMU_CACHE to a directory that can be written"
	exec {locked}>"$file" || die "cannot write $file: is the disk of the cache $cache full? $(room) MB are free"
	flock "$locked"
}

unlock() {
	exec {locked}>&-
}

# make_at PATH COMMAND...: COMMAND is given another path to make it at, and that is moved to PATH at the end, so that
# what is there is whole. A command that fails leaves nothing, nor what $leftover names. Called with the lock held.
leftover=()
make_at() {
	local path=$1 part=$cache/tmp/${1##*/} status
	shift
	rm -rf "$part" "$part".*
	set +e
	# in a shell of its own: set -e holds there, and the lock stays here
	(
		set -e
		"$@" "$part" {locked}>&-
	) >&2
	status=$?
	set -e
	if ((status)); then
		no_room "${path##*/}"
		rm -rf "$part" "$part".* "${leftover[@]}"
		die "cannot make ${path##*/}"
	fi
	mv -T "$part" "$path"
}

# no_room WHAT [LOG]: ends the script with the cure where a full disk is the cause
no_room() {
	local free
	free=$(room)
	if ((free < 2)) || { [[ -n ${2:-} ]] && grep -qE 'No space left|enough free space' "$2"; }; then
		rm -rf "$cache/tmp/${1:?}" "$cache/tmp/$1".* "${leftover[@]}"
		die "no room for $1: $free MB are free in the cache $cache; free some, or set FLATIOMMU_CACHE to a directory" \
			"on another disk"
	fi
}

# cached KEY COMMAND...: makes $cache/KEY, if it is missing, by COMMAND...
cached() {
	local key=$1
	shift
	[[ ! -e $cache/$key ]] || return 0
	lock "$key"
	[[ -e $cache/$key ]] || make_at "$cache/$key" "$@"
	unlock
}
