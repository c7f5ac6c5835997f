# shellcheck shell=bash
# Sourced, after common.sh: packages of Debian's suites, by a configuration of apt of our own, which has its lists in
# $cache/apt/SUITE. The builder's sources and what is installed there are neither minded nor changed. Nothing here takes
# the archive for consistent: each package is taken in its own newest version, and what is gone is looked for once more
# in new lists.
#
# With $foreign set to an architecture, packages are of that one unless NAME:ARCHITECTURE says otherwise.
#
# FLATIOMMU_MIRROR	where Debian is; by default where the builder has its own packages from
# A suite is one that tests/vm/kernels names. What a configuration of apt in APT_CONFIG says holds here, too.

: "${cache:?from common.sh}"

# mirror [-security]: where packages come from
mirror() {
	local own
	if [[ -n ${FLATIOMMU_MIRROR:-} ]]; then
		echo "${FLATIOMMU_MIRROR%/}$1"
		return
	fi
	# shellcheck disable=SC2016
	own=$(apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)' 'Identifier: Packages' 2>/dev/null |
		awk -v security="$1" '$1 == "Debian" && $2 == "main" && ($3 ~ /-security$/) == (security != "") { print $4; exit }')
	own=${own:-http://deb.debian.org/debian$1}
	echo "${own%/}"
}

foreign=

# archive_dir SUITE
archive_dir() {
	echo "$cache/apt/$1${foreign:+-$foreign}${FLATIOMMU_MIRROR:+-$(sha256sum <<<"$FLATIOMMU_MIRROR" | cut -c 1-8)}"
}

# sources SUITE SECURITY
sources() {
	local base=${1%-backports}
	[[ $1 != experimental ]] || base=sid
	echo "deb $(mirror '') $base main"
	[[ $base == "$1" ]] || echo "deb $(mirror '') $1 main"
	[[ -z $2 ]] || echo "deb $(mirror -security) $base-security main"
}

# update SUITE: its lists are fetched anew. Called with the lock held.
archive_update() {
	local suite=$1 dir security pin=
	dir=$(archive_dir "$suite")
	mkdir -p "$dir"/{state/lists/partial,cache/archives/partial}
	: >"$dir/status"
	# a suite on top of another is not preferred by apt
	case $suite in
	*-backports) pin=n=$suite ;;
	# which has a code name of its own
	experimental) pin=a=experimental ;;
	esac
	printf '%s\n' ${pin:+'Package: *' "Pin: release $pin" 'Pin-Priority: 500'} >"$dir/preferences.new"
	mv "$dir/preferences.new" "$dir/preferences"
	# whole at each moment: without it apt would take the builder's
	cat >"$dir/apt.conf.new" <<-END
		Dir::Etc::sourcelist "$dir/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "$dir/preferences";
		Dir::Etc::preferencesparts "/dev/null";
		Dir::State "$dir/state";
		Dir::State::status "$dir/status";
		Dir::Cache "$dir/cache";
		Dir::Cache::pkgcache "pkgcache.bin";
		Dir::Cache::srcpkgcache "";
		Acquire::Languages "none";
		APT::Install-Recommends "false";
		// the user _apt cannot write here
		APT::Sandbox::User "$(id -un)";
		#clear APT::Default-Release;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
	END
	# the builder's own architecture has the programs that build for another one
	[[ -z $foreign ]] || cat >>"$dir/apt.conf.new" <<-END
		#clear APT::Architectures;
		APT::Architecture "$foreign";
		APT::Architectures { "$foreign"; "$(dpkg --print-architecture)"; };
	END
	mv "$dir/apt.conf.new" "$dir/apt.conf"
	for security in 1 ''; do
		[[ -z $security || ($suite != sid && $suite != experimental) ]] || continue
		sources "$suite" "$security" >"$dir/sources.new"
		if apt-get -qq -c "$dir/apt.conf" -o Dir::Etc::sourcelist="$dir/sources.new" --error-on=any update >"$dir/update.log" 2>&1; then
			mv "$dir/sources.new" "$dir/sources.list"
			touch "$dir/fetched"
			return
		fi
		no_room "the lists of $suite" "$dir/update.log"
		grep -q -- '-security Release. does not have a Release file' "$dir/update.log" || break
		say "$(mirror -security) has no ${suite%-backports}-security: going on without"
	done
	sed 's/^/    /' "$dir/update.log" >&2
	[[ -e $dir/fetched ]] || die "cannot get the lists of Debian's suite $suite from $(mirror ''): is there a network, and" \
		"does this mirror have the suite? FLATIOMMU_MIRROR may name another one"
	say "cannot update the lists of $suite: going on with those of $(date -r "$dir/fetched" '+%F %R')"
}

# archive_fetch SUITE [AGE]: its lists are there, and fetched at most AGE minutes ago
archive_fetch() {
	local fetched
	fetched=$(archive_dir "$1")/fetched
	[[ ! -e $fetched || -n $(find "$fetched" -mmin +"${2:-9999999}") ]] || return 0
	if [[ -e $fetched && ! -w $cache/lock ]]; then
		say "the lists of $1 are those of $(date -r "$fetched" '+%F %R'), in a cache that $(stat -c %U "$cache") has made"
		return
	fi
	lock "apt-$1${foreign:+-$foreign}"
	[[ -e $fetched && -z $(find "$fetched" -mmin +"${2:-9999999}") ]] || archive_update "$1"
	unlock
}

# archive SUITE PROGRAM ARGUMENT...: apt-get or apt-cache, with the suite's lists
archive() {
	local dir program=$2
	archive_fetch "$1"
	dir=$(archive_dir "$1")
	shift 2
	"$program" -qq -c "$dir/apt.conf" "$@"
}

# field SUITE PACKAGE FIELD: of the version that apt would take
field() {
	archive "$1" apt-cache show --no-all-versions "$2" 2>/dev/null | sed -n "s/^$3: //p"
}

# newest SUITE PACKAGE...: NAME=VERSION of each
newest() {
	local suite=$1 known package
	shift
	known=$(archive "$suite" apt-cache policy "$@" |
		awk '/^[^ ]/ { name = $1; sub(/:$/, "", name) } $1 == "Candidate:" && $2 != "(none)" { print name "=" $2 }')
	printf '%s\n' "$known"
	for package; do
		[[ $'\n'$known == *$'\n'"$package="* ]] || {
			say "there is no package $package in Debian's $suite of $(mirror '')"
			return 1
		}
	done
}

# with_all SUITE PACKAGE...: the same, of them and all they depend on, as on an empty machine
with_all() {
	local suite=$1 log list
	log=$(mktemp)
	shift
	list=$(archive "$suite" apt-get -s install "$@" 2>"$log" | sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p')
	[[ -n $list ]] || {
		sed 's/^/    /' "$log" >&2
		say "Debian's $suite of $(mirror '') does not have $* or what they depend on"
		rm "$log"
		return 1
	}
	rm "$log"
	printf '%s\n' "$list"
}

# download SUITE DIRECTORY NAME=VERSION...
download() {
	local suite=$1 debs=$2 package
	shift 2
	rm -rf "$debs"
	mkdir -p "$debs"
	(cd "$debs" && archive "$suite" apt-get download "$@") >"$debs.log" 2>&1 && return
	no_room "$(basename "$debs" .debs)" "$debs.log"
	sed 's/^/    /' "$debs.log" >&2
	for package; do
		compgen -G "$debs/${package%%[:=]*}_*.deb" >/dev/null ||
			say "cannot get $package of Debian's $suite from $(mirror '')"
	done
	return 1
}

# wanted NAME SUITE LIST: what the function LIST prints, which apt takes seconds for; it is kept for as long as the suite's
# lists and these scripts are the same
wanted() {
	local dir kept said fetched
	dir=$(archive_dir "$2")
	fetched=$(stat -c %y "$dir/fetched")
	kept=$dir/wanted-$1-$({ echo "$fetched" && cat "$here"/* "$0"; } | sha256sum | cut -c 1-12)
	if [[ -e $kept ]]; then
		cat "$kept"
		return
	fi
	said=$("$3") || return
	echo "$said"
	# by lists that nobody has changed meanwhile
	if [[ -w $dir && $(stat -c %y "$dir/fetched") == "$fetched" ]]; then
		rm -f "$dir/wanted-$1-"*
		echo "$said" >"$kept.$$"
		mv "$kept.$$" "$kept"
	fi
}

# taken PATH: prints it, and says that it is in use; what was not used for a month goes when its successor is made
taken() {
	touch -c "$1" 2>/dev/null || true
	echo "$1"
}

# made NAME SUITE LIST MAKE [FILE...]: prints the path of what the function MAKE makes from the packages that the function
# LIST prints, as NAME=VERSION, and from FILEs; it is made first if it is not there. MAKE is given the directory of
# the packages and where to make it. LIST sees no set -e, and MAKE the variables of the script. With $ask set, it fails
# instead of making it.
made() {
	local name=$1 suite=$2 list=$3 make=$4 _wanted path debs try hash='[0-9a-f]'
	hash=$hash$hash$hash$hash
	hash=$hash$hash$hash
	shift 4
	debs=$cache/tmp/$name.debs
	archive_fetch "$suite"
	for try in 1 2; do
		if _wanted=$(wanted "$name" "$suite" "$list"); then
			path=$cache/$name-$({ echo "$_wanted" && cat "$@" /dev/null; } | sha256sum | cut -c 1-12)
			if [[ -e $path ]]; then
				taken "$path"
				return
			fi
			[[ -z ${ask:-} ]] || return 1
			lock "$name"
			if [[ -e $path ]]; then
				unlock
				taken "$path"
				return
			fi
			# of runs that were killed
			find "$cache/tmp" -maxdepth 1 -name "$name-$hash*" -exec rm -rf '{}' +
			leftover=("$debs" "$debs.log")
			# shellcheck disable=SC2086
			if download "$suite" "$debs" $_wanted; then
				make_at "$path" "$make" "$debs"
				# packages bring their own times
				touch "$path"
				rm -rf "${leftover[@]}"
				find "$cache" -maxdepth 1 -name "$name-$hash" -mtime +30 -exec rm -rf '{}' +
				unlock
				taken "$path"
				return
			fi
			rm -rf "${leftover[@]}"
			unlock
		fi
		[[ -z ${ask:-} ]] || return 1
		((try == 2)) || {
			say "once more, with new lists"
			lock "apt-$suite${foreign:+-$foreign}"
			archive_update "$suite"
			unlock
		}
	done
	die "cannot make $name: the archive is between two states, or the mirror is not whole; try again later, or set" \
		"FLATIOMMU_MIRROR to another one"
}

# unpack PACKAGES DIRECTORY: all that is in the directory PACKAGES. What is a link to a directory there stays one, which not
# every dpkg-deb -x minds.
unpack() {
	local deb
	mkdir -p "$2"
	for deb in "$1"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -C "$2" -xp --keep-directory-symlink --no-same-owner
	done
}

# unpack_system PACKAGES DIRECTORY: the same, as a system's root. What the scripts of packages would have done is done where
# it is needed: base-passwd's, dash's, mawk's, debianutils', gcc's, g++'s and libc-bin's.
unpack_system() {
	local root=$2 dir
	mkdir -p "$root/usr"
	# merged /usr, made first
	for dir in bin sbin lib lib32 lib64; do
		mkdir "$root/usr/$dir"
		ln -s "usr/$dir" "$root/$dir"
	done
	unpack "$1" "$root"
	cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
	cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
	ln -sf dash "$root/usr/bin/sh"
	ln -sf mawk "$root/usr/bin/awk"
	[[ ! -e $root/usr/bin/which.debianutils ]] || ln -sf which.debianutils "$root/usr/bin/which"
	[[ ! -e $root/usr/bin/gcc ]] || ln -sf gcc "$root/usr/bin/cc"
	[[ ! -e $root/usr/bin/g++ ]] || ln -sf g++ "$root/usr/bin/c++"
	# the loader finds what is where Debian has it without a cache, too
	[[ -n $foreign ]] || ldconfig -r "$root"
	# unpacked by a user, what would change to root would change to that user
	find "$root" -type f -perm /6000 -exec chmod ug-s '{}' +
	mkdir -p "$root"/{dev,proc,sys,run,tmp}
	rm -rf "$root"/usr/share/{doc,man,locale,info}
}
