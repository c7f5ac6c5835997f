# shellcheck shell=bash
# For tests of a machine that is made up: directories of the kernel with further files, or without some.

# over DIRECTORY COMMAND...: the command, while DIRECTORY has what is in /tmp/more as well, and not what that has as 0:0
over() {
	local directory=$1 upper
	shift
	upper=$(mktemp -d)
	mv /tmp/more "$upper/upper"
	mkdir "$upper/work"
	mount -t overlay -o "lowerdir=${directory//:/\\:},upperdir=$upper/upper,workdir=$upper/work" overlay "$directory"
	"$@"
	umount "$directory"
	rm -r "$upper"
}

# more FILE TEXT: /tmp/more has this file
more() {
	mkdir -p "/tmp/more/$(dirname "$1")"
	printf '%s\n' "$2" >"/tmp/more/$1"
}

# less FILE: the directory does not have it
less() {
	mkdir -p "/tmp/more/$(dirname "$1")"
	mknod "/tmp/more/$1" c 0 0
}
