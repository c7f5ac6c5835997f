# SPDX-License-Identifier: MIT
#
# make                  library, command, examples, and the module for the kernel that runs (KDIR= for another)
# make man              the manual, to build/man
# make install          library, command, headers, manual (DESTDIR=, prefix=, libdir=, mandir=)
# make install-source   the module's source, for DKMS (DESTDIR=, srcdir=)
# make install-python   the Python module (DESTDIR=, pythondir=)
# make uninstall        removes the installed files, with the same variables
# make dist             a tarball, which builds without git, to build/dist
# make deb              Debian's packages, to build/dist (ARCH=arm64: cross-built, to build/dist/arm64, after tests/vm/deps arm64)
# make rpm              RPM packages, to build/dist/rpm (RPM_FLAGS=--nodeps on Debian)
# make check-packages   the packages, the tarball, containers and Secure Boot, in a minimal Debian in the emulated machine, and the
#                       benches in short: an hour or more
# make check            everything: build, lint, the tests in the emulated machine
# make check-all        the same with every test on every kernel that it can run on: hours
# make check-arm64      all tests of arm64, on its kernels and in its machines: hours
# make check-tomorrow   the tests for the newest kernel, on the kernels of sid and experimental
# make check-builder    ./demo and ./check on a fresh Debian 12 and 13, as root and as a user with sudo: hours
# make check-compilers  library, command, examples and tests by gcc 12, 14 and 16
# make guest            the programs for the emulated machine, built with its C library; guest-arm64: for that architecture
# make bench            measurements in the emulated machine: bench/results, doc/performance.md (BENCH_KERNEL=;
#                       BENCH=quick only shows that they work; BENCH=again compares the results)
# make unit             tests of parts of the library, on this machine
# make fuzz             parsers under libFuzzer, each for FUZZ_SECONDS
# make model            explores the models of tests/model
# make check-peers      DPDK, fio and other foreign programs, in full: hours (PEERS_KERNELS=; FLATIOMMU_UPCIE= and the like are
#                       directories with sources, see tests/vm/sources)
# make check-debug      all tests on kernels of 6.1, 6.12 and 7.3 with KASAN, lock debugging and fault injection: hours
#                       (DEBUG_KERNELS=)
# make design           draws doc/design.svg from doc/design.dot; needs graphviz
# make lint             checkpatch, sparse, cppcheck, shellcheck, mandoc
# make build/KERNEL/flatiommu.ko    the module for one of the test kernels (tests/vm/kernel --list)
# make test-KERNEL-MACHINE          the tests of one machine on one kernel, such as test-6.1-amd64-pc

comma := ,

ifneq ($(words $(CURDIR)),1)
$(error The path of this directory, "$(CURDIR)", has a blank, which Kbuild does not support: move the directory)
endif

.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:

CC ?= cc
LD ?= ld
OBJCOPY ?= objcopy
AR ?= ar
CFLAGS ?= -O2 -g
# ./check sets it to -Werror. By default, a newer compiler's warnings must not break the build.
WERROR ?=
warnings := -Wall -Wextra $(WERROR) -Wshadow -Wstrict-prototypes -Wmissing-prototypes
flags = -std=c11 -D_GNU_SOURCE -Iinclude $(warnings) $(CPPFLAGS) $(CFLAGS)
lib-flags = $(flags) -fPIC -fvisibility=hidden -DFLATIOMMU_LIBRARY_VERSION='"$(version)"'

KDIR ?= /lib/modules/$(shell uname -r)/build

module-sources := $(wildcard module/*.c module/*.h module/*.sh) module/Kbuild \
	$(wildcard include/linux/*.h)

.PHONY: all
all: lib tools examples module

FORCE:
.PHONY: FORCE

# If CC names another compiler, or the userland is another one (tests/vm/in), everything is built again.
build/toolchain: FORCE
	@mkdir -p $(@D)
	@now=$$(getconf GNU_LIBC_VERSION && readlink -f "$$(command -v $(firstword $(CC)))" && $(CC) --version | head -n 1 | cut -d ' ' -f 2-); \
		then=$$(cat $@ 2>/dev/null); \
		[ "$$then" = "$$now" ] || { [ '$(origin CC)' = default ] && [ "$${then%%[!a-z0-9. ]*}" = "$${now%%[!a-z0-9. ]*}" ]; } || \
		echo "$$now" >$@

.PHONY: module
module:
	@test -e $(KDIR) || { echo "No headers for $$(uname -r) in $(KDIR): install linux-headers-$$(uname -r) (Debian, Ubuntu)," \
		"kernel-devel-$$(uname -r) (Fedora), kernel-default-devel (openSUSE) or linux-headers (Arch)" >&2; exit 1; }
	$(MAKE) -C $(KDIR) M=$(CURDIR)/module

# Headers that several of the module, the library, the command and preload/ include.
shared := module/address.h preload/variable.h lib/capability.h

# The library. Programs see only the names of its functions, also in the archive.
version := $(shell cat VERSION)
# The version of the ABI. tests/abi compares the ABI with lib/libflatiommu.abi.
soname := libflatiommu.so.1
library := $(soname).$(version)
lib-objects := $(patsubst lib/%.c,build/lib/obj/%.o,$(wildcard lib/*.c))

.PHONY: lib
lib: build/lib/libflatiommu.so build/lib/libflatiommu.a

build/lib/obj/%.o: lib/%.c $(wildcard lib/*.h include/*.h include/*/*.h) $(shared) VERSION build/toolchain
	mkdir -p $(@D)
	$(CC) $(lib-flags) -c -o $@ $<

build/lib/$(soname): $(lib-objects) lib/libflatiommu.map
	$(CC) $(flags) $(LDFLAGS) -shared -Wl,-soname,$(soname) -Wl,-z,nodelete -Wl,--version-script,lib/libflatiommu.map \
		-Wl,-z,defs -o $@ $(lib-objects)

build/lib/libflatiommu.so: build/lib/$(soname)
	ln -sf $(soname) $@

define make-archive
	$(LD) -r -o $(@:.a=.o) $^
	$(OBJCOPY) --localize-hidden $(@:.a=.o)
	rm -f $@
	$(AR) rcs $@ $(@:.a=.o)
endef

build/lib/libflatiommu.a: $(lib-objects)
	$(make-archive)

# flatiommu run preloads this library, which answers pagemap from pins. Programs do not link with it.
preload := libflatiommu-pagemap.so
preload-objects := $(patsubst preload/%.c,build/preload/%.o,$(wildcard preload/*.c))
# Fortified headers declare functions inline that are defined here. -O3 turns the loops over the entries of gigabytes into
# vectors.
preload-flags = $(patsubst -O2,-O3,$(filter-out -D_FORTIFY_SOURCE=%,$(flags))) -fPIC -fvisibility=hidden

.PHONY: preload
preload: build/lib/$(preload)

build/preload/%.o: preload/%.c $(wildcard preload/*.h) include/linux/flatiommu.h $(shared) build/toolchain
	mkdir -p $(@D)
	$(CC) $(preload-flags) -c -o $@ $<

build/lib/$(preload): $(preload-objects)
	mkdir -p $(@D)
	$(CC) $(preload-flags) $(LDFLAGS) -shared -Wl,-z,defs,-z,now -o $@ $^ -ldl -pthread

prefix ?= /usr/local
# clang of Debian 13 does not know this option
libdir ?= $(prefix)/lib/$(shell $(CC) -print-multiarch 2>/dev/null || cc -print-multiarch)
preload-dir = $(libdir)/flatiommu
includedir ?= $(prefix)/include
mandir ?= $(prefix)/share/man
install := install -D -m 644

# The manual. A page is installed under each name in its NAME section.
pages := $(patsubst man/%.scd,build/man/%,$(wildcard man/*.scd))

.PHONY: man
man: $(pages)

build/man/%: man/%.scd
	mkdir -p $(@D)
	scdoc <$< >$@
	for name in $$(sed -n '/^# NAME/,/^# [^N]/{/^#/d;p}' $< | tr ',\n' '  ' | sed 's/ - .*//'); do \
		[ $$name = $(basename $(@F)) ] || ln -sf $(@F) $(@D)/$$name$(suffix $@); \
	done

# The picture of doc/design.md. Its last line has the hash of its source, which lint compares.
.PHONY: design
design: doc/design.svg

doc/design.svg: doc/design.dot
	@command -v dot >/dev/null || { echo "No dot: install graphviz" >&2; exit 1; }
	dot -Tsvg $< >$@.new
	printf '<!-- of %s -->\n' "$$(sha256sum <$< | cut -d ' ' -f 1)" >>$@.new
	mv $@.new $@

# For installing without a package: packages do this in their own way.
ldconfig = [ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || PATH=$$PATH:/usr/sbin:/sbin ldconfig

.PHONY: install
install: lib tools man
	# ldconfig would prefer the library of a newer version
	rm -f $(DESTDIR)$(libdir)/$(soname).*
	$(install) -m 755 -t $(DESTDIR)$(prefix)/sbin build/bin/flatiommu
	$(install) -t $(DESTDIR)$(prefix)/share/bash-completion/completions tools/completion/flatiommu
	$(install) -t $(DESTDIR)$(preload-dir) build/lib/$(preload)
	$(install) -t $(DESTDIR)$(includedir) include/flatiommu.h
	$(install) -t $(DESTDIR)$(includedir)/flatiommu include/flatiommu/*.h
	$(install) -t $(DESTDIR)$(includedir)/linux include/linux/flatiommu.h
	$(install) -T build/lib/$(soname) $(DESTDIR)$(libdir)/$(library)
	ln -sf $(library) $(DESTDIR)$(libdir)/$(soname)
	ln -sf $(soname) $(DESTDIR)$(libdir)/libflatiommu.so
	$(install) -t $(DESTDIR)$(libdir) build/lib/libflatiommu.a
	sed 's,@prefix@,$(prefix),; s,@libdir@,$(libdir),; s,@includedir@,$(includedir),; s,@version@,$(version),' \
		lib/libflatiommu.pc.in >build/lib/flatiommu.pc
	$(install) -T build/lib/flatiommu.pc $(DESTDIR)$(libdir)/pkgconfig/libflatiommu.pc
	umask 022 && for section in $(patsubst .%,%,$(sort $(suffix $(pages)))); do \
		mkdir -p $(DESTDIR)$(mandir)/man$$section && \
		cp -P --no-preserve=mode build/man/*.$$section $(DESTDIR)$(mandir)/man$$section || exit; \
	done
	$(install) -t $(DESTDIR)$(prefix)/lib/udev/rules.d packaging/60-flatiommu.rules
	$(ldconfig)

# DKMS looks for sources in this directory: dkms install flatiommu/VERSION
srcdir ?= /usr/src
source-dir := $(DESTDIR)$(srcdir)/flatiommu-$(version)

.PHONY: install-source
install-source:
	$(install) -t $(source-dir)/module $(wildcard module/*)
	$(install) -t $(source-dir)/include/linux include/linux/flatiommu.h
	sed 's/#MODULE_VERSION#/$(version)/' packaging/dkms.conf | $(install) /dev/stdin $(source-dir)/dkms.conf

# For the python3 of this machine. The module loads the library when it is imported.
pythondir ?= $(shell python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))' 2>/dev/null)

.PHONY: install-python
install-python:
	@test -n "$(pythondir)" || { echo "No python3: install it, or say pythondir=" >&2; exit 1; }
	$(install) -t $(DESTDIR)$(pythondir) python/flatiommu.py

# Removes the files that the install targets would install, and then directories of flatiommu alone.
.PHONY: uninstall
uninstall:
	rm -rf build/uninstall
	$(MAKE) -s install install-source $(if $(wildcard $(DESTDIR)$(pythondir)/flatiommu.py),install-python) \
		DESTDIR=$(CURDIR)/build/uninstall
	rm -f $(DESTDIR)$(pythondir)/__pycache__/flatiommu.*.pyc
	cd build/uninstall && find . ! -type d -print0 | (cd $(DESTDIR)/ && xargs -0 rm -f)
	cd build/uninstall && find . -depth -type d -path '*flatiommu*' -print0 | \
		(cd $(DESTDIR)/ && xargs -0 rmdir --ignore-fail-on-non-empty 2>/dev/null || true)
	rm -rf build/uninstall
	rm -f $(DESTDIR)$(libdir)/$(soname).*
	$(ldconfig)

# A commit always gives the same bytes. Outside git, in an unpacked tarball, all files are packed. A repository above this
# directory is another one.
dist := flatiommu-$(version)
epoch := $(shell { [ -e .git ] && git log -1 --format=%ct 2>/dev/null; } || stat -c %Y VERSION)
# A repository of another user's: git refuses it, and untracked files must not be packed in its stead.
git-refuses = $(if $(wildcard .git/HEAD),$(if $(shell git ls-files 2>/dev/null | head -n 1),, \
	$(error git does not read this tree. Cure: install git; if the tree is of another user, git config --global --add safe.directory $(CURDIR))))
dist-files = $(shell { [ -e .git ] && git ls-files 2>/dev/null; } || \
	find . \( -path ./build -o -path ./.git \) -prune -o -type f ! -name '*.o' ! -name '*.ko' ! -name '*.mod' ! -name '*.mod.c' \
		! -name '.*.cmd' ! -name modules.order ! -name Module.symvers -printf '%P\n')

tarball := build/dist/$(dist).tar.gz

.PHONY: dist
dist:
	$(git-refuses)mkdir -p build/dist
	printf '%s\n' $(dist-files) | tar -cf $(tarball:.gz=) --no-recursion -T - --transform 's,^,$(dist)/,' --sort=name --format=ustar \
		--mtime=@$(epoch) --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX
	gzip -9nf $(tarball:.gz=)

# Cross-built packages are linked to the libraries of tests/vm/sysroot, so build dependencies are not checked: -d.
deb-cross := $(filter arm64,$(ARCH))
cross-deb = sysroot=$$(tests/vm/sysroot $(ARCH)) && export SYSROOT=$$sysroot CC="$(triplet-$(ARCH))-gcc --sysroot=$$sysroot" \
	LD=$(triplet-$(ARCH))-ld AR=$(triplet-$(ARCH))-ar OBJCOPY=$(triplet-$(ARCH))-objcopy && \
	cp $$sysroot/shlibs build/deb/$(dist)/debian/shlibs.local &&

# In a copy, because dpkg-buildpackage writes its results above the tree. Packages of other versions go, and those of another
# architecture have a directory of their own: apt install build/dist/*.deb would install them, too.
deb-dir := build/dist$(deb-cross:%=/%)
.PHONY: deb
deb: dist
	rm -rf build/deb
	mkdir -p build/deb
	tar -C build/deb -xf $(tarball)
	$(if $(deb-cross),$(cross-deb)) cd build/deb/$(dist) && SOURCE_DATE_EPOCH=$(epoch) DEB_BUILD_OPTIONS=noautodbgsym \
		dpkg-buildpackage -us -uc -b $(deb-cross:%=-d -a%) $(DEB_FLAGS)
	mkdir -p $(deb-dir)
	rm -f $(deb-dir)/*.deb $(deb-dir)/*.changes $(deb-dir)/*.buildinfo
	mv build/deb/*.deb build/deb/*.changes build/deb/*.buildinfo $(deb-dir)

.PHONY: rpm
rpm: dist
	sed 's/@version@/$(version)/' packaging/flatiommu.spec.in >build/dist/flatiommu.spec
	SOURCE_DATE_EPOCH=$(epoch) rpmbuild -ba $(RPM_FLAGS) --define '_sourcedir $(CURDIR)/build/dist' \
		--define '_topdir $(CURDIR)/build/rpm' --define '_rpmdir $(CURDIR)/build/dist/rpm' \
		--define '_srcrpmdir $(CURDIR)/build/dist/rpm' build/dist/flatiommu.spec

# Each directory of examples/ is a program, and so is each file.
examples := $(patsubst examples/%/,build/bin/%,$(wildcard examples/*/)) \
	$(patsubst examples/%.c,build/bin/%,$(wildcard examples/*.c))

.PHONY: examples
examples: $(examples)

.SECONDEXPANSION:
$(examples): build/bin/%: $$(wildcard examples/%.c examples/%/*.c examples/%/*.h) $(wildcard examples/*.h) build/lib/libflatiommu.a build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) $(LDFLAGS) -o $@ $(filter %.c %.a,$^)

# The flatiommu command.
tool-sources := $(wildcard tools/flatiommu/*.c)

# with the library that flatiommu run preloads
.PHONY: tools
tools: build/bin/flatiommu preload

# The command has the directory of the library that it preloads, so another prefix links it again.
build/preload-dir: FORCE
	@mkdir -p $(@D)
	@[ "$$(cat $@ 2>/dev/null)" = '$(preload-dir)' ] || echo '$(preload-dir)' >$@

build/bin/flatiommu: build/preload-dir $(tool-sources) $(wildcard tools/flatiommu/*.h) $(shared) build/lib/libflatiommu.a build/toolchain
	@printf '#include <%s>\n' pci/pci.h json-c/json.h | $(CC) $(CPPFLAGS) -fsyntax-only -x c - 2>/dev/null || \
		{ echo "No libpci or json-c: install libpci-dev libjson-c-dev (Debian, Ubuntu), pciutils-devel json-c-devel" \
			"(Fedora), pciutils-devel libjson-c-devel (openSUSE) or pciutils json-c (Arch)" >&2; exit 1; }
	mkdir -p $(@D)
	$(CC) $(flags) $(LDFLAGS) -DVERSION='"$(version)"' -DPRELOAD_DIRECTORY='"$(preload-dir)"' -o $@ $(tool-sources) \
		build/lib/libflatiommu.a -lpci -ljson-c

.PHONY: clean
clean:
	rm -rf build

include tests/build.mk bench/build.mk
