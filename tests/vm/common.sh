# shellcheck shell=bash
# Sourced by the scripts beside it: messages, and the cache.

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck disable=SC2034
top=${here%/tests/vm}
# Things that are expensive to make are made once and kept here. The cache may be removed at any time.
home=${HOME:-$(getent passwd "$(id -u)" | cut -d : -f 6)}
cache=$(realpath -sm "${FLATIOMMU_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/flatiommu}")
# Tests run as nobody, too.
umask 022
# The scripts read apt's messages.
export LC_ALL=C.UTF-8

# On Debian, a user's PATH has no depmod and mke2fs.
PATH=$PATH:/usr/sbin:/sbin

say() {
	echo "${0##*/}: $*" >&2
}

die() {
	say "$*"
	exit 1
}

[[ -d ${TMPDIR:-/tmp} && -w ${TMPDIR:-/tmp} ]] ||
	die "${TMPDIR:-/tmp} cannot be written: set TMPDIR to a directory that can"

# triplet ARCHITECTURE: prints the prefix of its compiler's name
triplet() {
	case $1 in
	arm64) echo aarch64-linux-gnu ;;
	riscv64) echo riscv64-linux-gnu ;;
	*) die "no compiler for $1" ;;
	esac
}

# room: prints the megabytes that are free in the cache
room() {
	df --output=avail -B 1M "$cache" | tail -n 1 | tr -d ' '
}

# lock NAME: keeps others from making NAME, until unlock or the end of the script. It may wait for long.
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

# make_at PATH COMMAND...: COMMAND gets another path to make the thing at, which is moved to PATH at the end, so that
# PATH is always whole. If the command fails, that path and $leftover are removed. Called with the lock held.
leftover=()
make_at() {
	local path=$1 part=$cache/tmp/${1##*/} status
	shift
	rm -rf "$part" "$part".*
	set +e
	# In a subshell set -e works, and the lock stays here.
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

# no_room WHAT [LOG]: ends the script, with the cure, if a full disk is the cause
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
