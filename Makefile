# SPDX-License-Identifier: MIT
#
# make                  library, command, examples, and the module for the kernel that runs (KDIR= for another)
# make man              the manual, to build/man
# make install          library, command, headers, manual (DESTDIR=, prefix=, libdir=, mandir=)
# make install-source   the module's source, for DKMS (DESTDIR=, srcdir=)
# make install-python   the Python module (DESTDIR=, pythondir=)
# make uninstall        takes out what these have installed, with the same variables
# make dist             a tarball, which builds without git, to build/dist
# make deb              Debian's packages, to build/dist
# make rpm              RPM packages, to build/dist/rpm (RPM_FLAGS=--nodeps on Debian)
# make check-packages   the packages, the tarball and Secure Boot, in a minimal Debian in the emulated machine, and the
#                       benches in short: an hour or more
# make check            everything: build, lint, the tests in the emulated machine
# make check-all        the same with every test on every kernel that it can run on: hours
# make check-arm64      all tests of arm64, on its kernels and in its machines: hours
# make check-tomorrow   what is for the newest kernel, on those of sid and experimental
# make check-builder    ./demo and ./check on a fresh Debian 12 and 13, as root and as a user with sudo: hours
# make check-compilers  library, command, examples and tests by gcc 12, 14 and 16
# make guest            what runs in the emulated machine, with the C library that it has; guest-arm64: of that architecture
# make bench            what it costs, in the emulated machine: bench/results, doc/performance.md (BENCH_KERNEL=;
#                       BENCH=quick: whether all of it works; BENCH=again: whether it says the same)
# make unit             tests of parts of the library, here
# make fuzz             parsers under libFuzzer, each for FUZZ_SECONDS
# make model            explores the models of tests/model
# make check-peers      programs that nobody here wrote, in full: hours (PEERS_KERNELS=; FLATIOMMU_UPCIE= and the like are
#                       directories with sources, see tests/vm/sources)
# make check-debug      all tests on kernels of 6.1, 6.12 and 7.3 with KASAN, lock debugging and fault injection: hours
#                       (DEBUG_KERNELS=)
# make design           draws doc/design.svg from doc/design.dot; takes graphviz
# make lint             checkpatch, sparse, cppcheck, shellcheck, mandoc
# make build/KERNEL/flatiommu.ko    the module for one of the test kernels (tests/vm/kernel --list)
# make test-KERNEL-MACHINE          the tests of one machine on one kernel, such as test-6.1-amd64-pc

comma := ,

.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:

CC ?= cc
LD ?= ld
OBJCOPY ?= objcopy
AR ?= ar
CFLAGS ?= -O2 -g
# ./check sets it to -Werror: what is built elsewhere must not break with next year's compiler
WERROR ?=
warnings := -Wall -Wextra $(WERROR) -Wshadow -Wstrict-prototypes -Wmissing-prototypes
flags = -std=c11 -D_GNU_SOURCE -Iinclude $(warnings) $(CPPFLAGS) $(CFLAGS)
lib-flags = $(flags) -fPIC -fvisibility=hidden -DFLATIOMMU_LIBRARY_VERSION='"$(version)"'

KDIR ?= /lib/modules/$(shell uname -r)/build
BENCH_KERNEL ?= $(shell tests/vm/kernel --list STABLE)
PEERS_KERNELS ?= $(shell tests/vm/kernel --list STOCK)
DEBUG_KERNELS ?= $(shell tests/vm/kernel --list DEBUG)
DEBUG_MACHINES ?= pc movable intel-iommu
DEBUG_APPEND ?= life_kills=1000 life_unplugs=200 fuzz_calls=1000000 fuzz_sequence=1500 rcupdate.rcu_expedited=1
arm64-kernels := $(shell tests/vm/kernel --list ARM64)
kernels := $(shell tests/vm/kernel --list && tests/vm/kernel --list TOMORROW && tests/vm/kernel --list DEBUG) $(arm64-kernels)
machines := $(shell tests/vm/machine --list)

module-sources := $(wildcard module/*.c module/*.h module/*.sh) module/Kbuild \
	$(wildcard include/linux/*.h)

all: lib tools examples module

# Another compiler, if one is asked for, or another userland (tests/vm/in), and all is built anew.
build/toolchain: FORCE
	@mkdir -p $(@D)
	@now=$$(getconf GNU_LIBC_VERSION && readlink -f "$$(command -v $(firstword $(CC)))" && $(CC) --version | head -n 1 | cut -d ' ' -f 2-); \
		then=$$(cat $@ 2>/dev/null); \
		[ "$$then" = "$$now" ] || { [ '$(origin CC)' = default ] && [ "$${then%%[!a-z0-9. ]*}" = "$${now%%[!a-z0-9. ]*}" ]; } || \
		echo "$$now" >$@

# What runs in the machines, built with the C library that they have.
guest:
	+tests/vm/in "$$(tests/vm/rootfs --suite)" $(MAKE) -s $(if $(filter peers,$(GUEST)),DPDK="$$(tests/vm/dpdk)") \
		$(if $(GUEST),$(GUEST),tools examples tests)

# The same for another architecture, in a tree of its own: links that lead here, and what is built.
triplet-arm64 := aarch64-linux-gnu
triplet-riscv64 := riscv64-linux-gnu
parts := Makefile VERSION include lib module preload tools examples tests bench

guest-arm64 guest-riscv64: guest-%: FORCE
	@mkdir -p build/$*
	@ln -sfn -t build/$* $(parts:%=../../%)
	+tests/vm/in "$$(tests/vm/rootfs --suite):$*" $(MAKE) -s -C build/$* LD=$(triplet-$*)-ld AR=$(triplet-$*)-ar \
		OBJCOPY=$(triplet-$*)-objcopy CC="$(triplet-$*)-gcc --sysroot=$$(tests/vm/sysroot $*)" \
		$(if $(GUEST),$(GUEST),tools examples tests)

module:
	@test -e $(KDIR) || { echo "No headers for $$(uname -r) in $(KDIR): install linux-headers-$$(uname -r) (Debian, Ubuntu)," \
		"kernel-devel-$$(uname -r) (Fedora), kernel-default-devel (openSUSE) or linux-headers (Arch)" >&2; exit 1; }
	$(MAKE) -C $(KDIR) M=$(CURDIR)/module

# When the archive has a newer one of the kernel, modules are built anew. build/KERNEL/kernel says where it is.
.PRECIOUS: build/%/kernel
build/%/kernel: FORCE
	@mkdir -p $(@D)
	@kernel=$$(tests/vm/kernel $*) && { [ "$$(cat $@ 2>/dev/null)" = "$$kernel" ] || echo "$$kernel" >$@; }

# By the compiler of the kernel's suite, in a directory of its own, as Kbuild writes its objects beside the sources.
kbuild = tests/vm/in "$$(tests/vm/kernel --suite $*)" $(MAKE) -s -C "$$(cat build/$*/kernel)/build"

# KEEP=1: what was built before and has not changed is not built anew.
define build-module
	$(if $(KEEP),,rm -rf $(@:.ko=))
	mkdir -p $(@:.ko=)
	cp -u $(filter module/%,$^) $(@:.ko=)
	cp -ru include build/$*
	+$(kbuild) M=$(CURDIR)/$(@:.ko=) KCFLAGS=-Werror $(1) modules
	cp $(@:.ko=)/flatiommu.ko $@
endef

# Debug kernels count which lines run.
build/%/flatiommu.ko: $(module-sources) build/%/kernel
	$(call build-module,$(if $(filter %-debug,$*),GCOV_PROFILE=y))

.PRECIOUS: build/%/trust-signer.ko
build/%/trust-signer.ko: $(module-sources) build/%/kernel
	$(call build-module,LOCKDOWN=trust-signer)

# What only tests load: tests/module, the module as it is built for a locked down kernel, and the sample mediated device,
# where the kernel has mediated devices.
test-modules := $(patsubst tests/module/%.c,%.o,$(wildcard tests/module/*.c))
.PRECIOUS: build/%/test-modules
build/%/test-modules: $(test-modules:%.o=tests/module/%.c) $(wildcard tests/module/*.h) build/%/kernel
	rm -rf $@
	mkdir $@
	cp $(filter tests/%,$^) $@
	echo 'obj-m := $(test-modules)' >$@/Kbuild
	+$(kbuild) M=$(CURDIR)/$@ KCFLAGS=-Werror modules
	cp $(test-modules:%.o=$@/%.ko) build/$*
	touch $@

build/%/extra: build/%/trust-signer.ko build/%/test-modules
	rm -rf build/$*/mtty
	mkdir build/$*/mtty
	+if grep -qw mdev_register_parent "$$(cat build/$*/kernel)/build/Module.symvers"; then \
		cp "$$(tests/vm/source $*)/samples/vfio-mdev/mtty.c" build/$*/mtty && \
		echo 'obj-m := mtty.o' >build/$*/mtty/Kbuild && \
		$(kbuild) M=$(CURDIR)/build/$*/mtty modules && \
		cp build/$*/mtty/mtty.ko build/$*; \
	fi
	touch $@

# What the library and the command have of the module, and of each other.
shared := module/address.h preload/variable.h

# The library. In the archive, too, nothing but its functions has a name that programs see.
version := $(shell cat VERSION)
# The ABI's own number: tests/abi compares it with what is kept in lib/libflatiommu.abi.
soname := libflatiommu.so.1
library := $(soname).$(version)
lib-objects := $(patsubst lib/%.c,build/lib/obj/%.o,$(wildcard lib/*.c))

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

# What flatiommu run preloads, so that pagemap is answered from pins. It is nobody's to link with.
preload := libflatiommu-pagemap.so
preload-objects := $(patsubst preload/%.c,build/preload/%.o,$(wildcard preload/*.c))
# what is defined here and what is declared inline by fortified headers are the same functions
# it goes over the entries of gigabytes in a few loops, which -O3 turns into vectors
preload-flags = $(patsubst -O2,-O3,$(filter-out -D_FORTIFY_SOURCE=%,$(flags))) -fPIC -fvisibility=hidden

preload: build/lib/$(preload)

build/preload/%.o: preload/%.c $(wildcard preload/*.h) include/linux/flatiommu.h $(shared) build/toolchain
	mkdir -p $(@D)
	$(CC) $(preload-flags) -c -o $@ $<

build/lib/$(preload): $(preload-objects)
	mkdir -p $(@D)
	$(CC) $(preload-flags) $(LDFLAGS) -shared -Wl,-z,defs,-z,now -o $@ $^ -ldl -pthread

prefix ?= /usr/local
libdir ?= $(prefix)/lib/$(shell $(CC) -print-multiarch)
preload-dir = $(libdir)/flatiommu
includedir ?= $(prefix)/include
mandir ?= $(prefix)/share/man
install := install -D -m 644

# The manual. A page is found by each of the names that it begins with.
pages := $(patsubst man/%.scd,build/man/%,$(wildcard man/*.scd))

man: $(pages)

build/man/%: man/%.scd
	mkdir -p $(@D)
	scdoc <$< >$@
	for name in $$(sed -n '/^# NAME/,/^# [^N]/{/^#/d;p}' $< | tr ',\n' '  ' | sed 's/ - .*//'); do \
		[ $$name = $(basename $(@F)) ] || ln -sf $(@F) $(@D)/$$name$(suffix $@); \
	done

# The picture of doc/design.md. Its last line says which text it is of, which lint compares.
design: doc/design.svg

doc/design.svg: doc/design.dot
	@command -v dot >/dev/null || { echo "No dot: install graphviz" >&2; exit 1; }
	dot -Tsvg $< >$@.new
	printf '<!-- of %s -->\n' "$$(sha256sum <$< | cut -d ' ' -f 1)" >>$@.new
	mv $@.new $@

# For those who install for themselves; a package does it in its own way.
ldconfig = [ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || PATH=$$PATH:/usr/sbin:/sbin ldconfig

install: lib tools man
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
	for section in $(patsubst .%,%,$(sort $(suffix $(pages)))); do \
		mkdir -p $(DESTDIR)$(mandir)/man$$section && \
		cp -P build/man/*.$$section $(DESTDIR)$(mandir)/man$$section || exit; \
	done
	$(install) -t $(DESTDIR)$(prefix)/lib/udev/rules.d packaging/60-flatiommu.rules
	$(ldconfig)

# Where DKMS looks for it: dkms install flatiommu/VERSION
srcdir ?= /usr/src
source-dir := $(DESTDIR)$(srcdir)/flatiommu-$(version)

install-source:
	$(install) -t $(source-dir)/module $(wildcard module/*)
	$(install) -t $(source-dir)/include/linux include/linux/flatiommu.h
	sed 's/#MODULE_VERSION#/$(version)/' packaging/dkms.conf >$(source-dir)/dkms.conf

# For the Python that is python3 here; it loads the library as it is imported.
pythondir ?= $(shell python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))' 2>/dev/null)

install-python:
	@test -n "$(pythondir)" || { echo "No python3: install it, or say pythondir=" >&2; exit 1; }
	$(install) -t $(DESTDIR)$(pythondir) python/flatiommu.py

# What they would install, and the directories that are nobody else's.
uninstall:
	rm -rf build/uninstall
	$(MAKE) -s install install-source $(if $(wildcard $(DESTDIR)$(pythondir)/flatiommu.py),install-python) \
		DESTDIR=$(CURDIR)/build/uninstall
	rm -f $(DESTDIR)$(pythondir)/__pycache__/flatiommu.*.pyc
	cd build/uninstall && find . ! -type d -print0 | (cd $(DESTDIR)/ && xargs -0 rm -f)
	cd build/uninstall && find . -depth -type d -path '*flatiommu*' -print0 | \
		(cd $(DESTDIR)/ && xargs -0 rmdir --ignore-fail-on-non-empty 2>/dev/null || true)
	$(ldconfig)

# The same bytes from the same commit. Outside git, where the tarball is unpacked, what is there.
# A repository above this directory is somebody else's.
dist := flatiommu-$(version)
epoch := $(shell { [ -e .git ] && git log -1 --format=%ct 2>/dev/null; } || stat -c %Y VERSION)
dist-files = $(shell { [ -e .git ] && git ls-files 2>/dev/null; } || \
	find . \( -path ./build -o -path ./.git \) -prune -o -type f ! -name '*.o' ! -name '*.ko' ! -name '*.mod' ! -name '*.mod.c' \
		! -name '.*.cmd' ! -name modules.order ! -name Module.symvers -printf '%P\n')

tarball := build/dist/$(dist).tar.gz

dist:
	mkdir -p build/dist
	printf '%s\n' $(dist-files) | tar -c --no-recursion -T - --transform 's,^,$(dist)/,' --sort=name --format=ustar \
		--mtime=@$(epoch) --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX | gzip -9n >$(tarball)

# In a copy: dpkg-buildpackage leaves its results above the tree.
deb: dist
	rm -rf build/deb
	mkdir -p build/deb
	tar -C build/deb -xf $(tarball)
	cd build/deb/$(dist) && SOURCE_DATE_EPOCH=$(epoch) DEB_BUILD_OPTIONS=noautodbgsym \
		dpkg-buildpackage -us -uc -b $(DEB_FLAGS)
	mv build/deb/*.deb build/deb/*.changes build/deb/*.buildinfo build/dist

rpm: dist
	sed 's/@version@/$(version)/' packaging/flatiommu.spec.in >build/dist/flatiommu.spec
	SOURCE_DATE_EPOCH=$(epoch) rpmbuild -ba $(RPM_FLAGS) --define '_sourcedir $(CURDIR)/build/dist' \
		--define '_topdir $(CURDIR)/build/rpm' --define '_rpmdir $(CURDIR)/build/dist/rpm' \
		--define '_srcrpmdir $(CURDIR)/build/dist/rpm' build/dist/flatiommu.spec

# Each directory of examples/ is a program, and so is each file.
examples := $(patsubst examples/%/,build/bin/%,$(wildcard examples/*/)) \
	$(patsubst examples/%.c,build/bin/%,$(wildcard examples/*.c))

examples: $(examples)

.SECONDEXPANSION:
$(examples): build/bin/%: $$(wildcard examples/%.c examples/%/*.c examples/%/*.h) $(wildcard examples/*.h) build/lib/libflatiommu.a build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) -o $@ $(filter %.c %.a,$^)

# The flatiommu command.
tool-sources := $(wildcard tools/flatiommu/*.c)

# with what it has programs preload
tools: build/bin/flatiommu preload

build/bin/flatiommu: $(tool-sources) $(wildcard tools/flatiommu/*.h) $(shared) build/lib/libflatiommu.a build/toolchain
	@printf '#include <%s>\n' pci/pci.h json-c/json.h | $(CC) $(CPPFLAGS) -fsyntax-only -x c - 2>/dev/null || \
		{ echo "No libpci or json-c: install libpci-dev libjson-c-dev (Debian, Ubuntu), pciutils-devel json-c-devel" \
			"(Fedora), pciutils-devel libjson-c-devel (openSUSE) or pciutils json-c (Arch)" >&2; exit 1; }
	mkdir -p $(@D)
	$(CC) $(flags) -DVERSION='"$(version)"' -DPRELOAD_DIRECTORY='"$(preload-dir)"' -o $@ $(tool-sources) \
		build/lib/libflatiommu.a -lpci -ljson-c

# tests/guest/NAME.c is a test; lib/ is shared by all of them, those named here are tools of tests in shell.
test-tools := $(addprefix build/tests/,calls canary frames holder huge klog mapper put terminal)
# what is preloaded is preloaded into what is dynamic
dynamic-tools := $(addprefix build/tests/,own-iova reader)
# with what tests share
sharing-tools := $(addprefix build/tests/,overwriter wild)
test-programs := $(patsubst tests/guest/%.c,build/tests/%.t,$(filter-out \
	$(patsubst build/tests/%,tests/guest/%.c,$(test-tools) $(dynamic-tools) $(sharing-tools)),\
	$(wildcard tests/guest/*.c)))
test-lib := $(wildcard tests/guest/lib/*.c)

tests: $(test-tools) $(dynamic-tools) $(sharing-tools) $(test-programs) build/lib/libflatiommu.so

# static: an emulated processor takes four times as long to start one that is not
$(test-tools): build/tests/%: tests/guest/%.c build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) -static -o $@ $<

$(dynamic-tools): build/tests/%: tests/guest/%.c build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) -o $@ $<

$(sharing-tools): build/tests/%: tests/guest/%.c $(test-lib) $(wildcard tests/guest/lib/*.h) build/lib/libflatiommu.a
	mkdir -p $(@D)
	$(CC) $(flags) -Itests/guest/lib -o $@ $(filter %.c %.a,$^) -lcmocka

# tests/guest/NAME/ has more of a test. It may come between the library and libc, in these functions.
wrapped-api-faults := access calloc close fcntl free fstat ftruncate ioctl madvise malloc memfd_create mmap \
	munmap open opendir pread pwrite read readlink realloc syscall write
wrapped-api-noiommu-cdev := access ioctl open opendir readdir readlink

build/tests/%.t: tests/guest/%.c $$(wildcard tests/guest/$$*/*) $(test-lib) $(wildcard tests/guest/lib/*.h) \
		build/lib/libflatiommu.a
	mkdir -p $(@D)
	$(CC) $(flags) -Itests/guest/lib -Itests/guest -o $@ $(filter %.c %.a,$^) \
		$(wrapped-$*:%=-Wl,--wrap=%) -lcmocka

# tests/peers/NAME.c is for the machine peers, on DPDK as Debian has it.
peers := $(patsubst tests/peers/%.c,build/tests/%,$(wildcard tests/peers/*.c))

peers: $(peers)

$(peers): build/tests/%: tests/peers/%.c build/lib/libflatiommu.a build/toolchain
	mkdir -p $(@D)
	dpdk=$(if $(DPDK),$(DPDK),$$(tests/vm/dpdk)) && multiarch=$$($(CC) -print-multiarch) && \
	$(CC) $(flags) -march=corei7 -isystem $$dpdk/usr/include/dpdk \
		-isystem $$dpdk/usr/include -isystem $$dpdk/usr/include/$$multiarch/dpdk \
		-include rte_config.h -o $@ $< build/lib/libflatiommu.a -L$$dpdk/usr/lib/$$multiarch -Wl,--allow-shlib-undefined \
		-lrte_ethdev -lrte_mbuf -lrte_mempool -lrte_eal

# The library's tests again, asan-NAME, all of it with sanitizers.
sanitize := -fsanitize=address,undefined -fno-sanitize-recover=all -DSANITIZED=1
asan-programs := $(patsubst tests/guest/%.c,build/tests/asan-%.t,$(wildcard tests/guest/api-*.c))

asan: $(asan-programs)

build/asan/lib/%.o: lib/%.c $(wildcard lib/*.h include/*.h include/*/*.h) $(shared) build/toolchain
	mkdir -p $(@D)
	$(CC) $(lib-flags) $(sanitize) -c -o $@ $<

build/asan/libflatiommu.a: $(patsubst lib/%.c,build/asan/lib/%.o,$(wildcard lib/*.c))
	$(make-archive)

build/asan/test/%.o: tests/guest/lib/%.c $(wildcard tests/guest/lib/*.h include/*.h include/*/*.h) build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) $(sanitize) -Itests/guest/lib -c -o $@ $<

$(asan-programs): build/tests/asan-%.t: tests/guest/%.c $$(wildcard tests/guest/$$*/*) \
		$(test-lib:tests/guest/lib/%.c=build/asan/test/%.o) build/asan/libflatiommu.a
	mkdir -p $(@D)
	$(CC) $(flags) $(sanitize) -Itests/guest/lib -Itests/guest -o $@ $(filter %.c %.o %.a,$^) \
		$(wrapped-$*:%=-Wl,--wrap=%) -lcmocka

# bench/NAME.c runs in the machine like a test, and says what it has measured. Without debugging
# information, as valgrind cannot read that of every compiler.
benches := $(patsubst bench/%.c,%,$(wildcard bench/*.c))

build/tests/%.t: bench/%.c bench/figure.h $(test-lib) $(wildcard tests/guest/lib/*.h) build/lib/libflatiommu.a
	mkdir -p $(@D)
	$(CC) $(flags) -Itests/guest/lib -Wl,--strip-debug -o $@ $< $(test-lib) build/lib/libflatiommu.a -lcmocka

build/tests/nvme-io: bench/nvme/io.c examples/nvme/nvme.c $(wildcard examples/*.h examples/nvme/*.h) build/lib/libflatiommu.a
	mkdir -p $(@D)
	$(CC) $(flags) -o $@ $(filter %.c %.a,$^)

benches: $(benches:%=build/tests/%.t) build/tests/nvme-io
	install -m 755 bench/*.t build/tests

bench:
	BENCH_KERNEL=$(BENCH_KERNEL) bench/run $(BENCH)

$(foreach k,$(kernels),$(foreach m,$(machines),test-$(k)-$(m))): test-%:
	+@$(if $(findstring -arm64-,$*),$(MAKE) -s guest-arm64,$(MAKE) -s guest GUEST='tests peers asan examples tools')
	@for k in $(kernels); do for m in $(machines); do \
		[ "$$k-$$m" != "$*" ] || { $(MAKE) -s build/$$k/flatiommu.ko build/$$k/extra && exec tests/vm/run $$k $$m; }; \
	done; done

# The summary is prove's, what was counted, and the lines of the module that ran in none of the tests.
check-debug: model $(DEBUG_KERNELS:%=build/%/flatiommu.ko) $(DEBUG_KERNELS:%=build/%/extra)
	+$(MAKE) -s guest GUEST='tests peers asan examples tools'
	FLATIOMMU_APPEND='$(DEBUG_APPEND)' FLATIOMMU_TIMEOUT=36000 FLATIOMMU_TEST_TIMEOUT=7200 \
		prove --jobs $$(nproc) --exec tests/vm/run --timer \
		$(foreach k,$(DEBUG_KERNELS),$(foreach m,$(DEBUG_MACHINES),$(k):$(m)))
	tests/counts
	tests/coverage $(DEBUG_KERNELS)

check-peers: $(PEERS_KERNELS:%=build/%/flatiommu.ko)
	+$(MAKE) -s guest GUEST='tests peers examples tools'
	@for kernel in $(PEERS_KERNELS); do \
		FLATIOMMU_APPEND=full=1 FLATIOMMU_TIMEOUT=36000 FLATIOMMU_TEST_TIMEOUT=18000 tests/vm/run $$kernel peers || exit; \
	done

# tests/unit/NAME.c tests lib/NAME.c alone, here, and addresses.c what takes addresses; tests/unit/NAME tests tests/vm/NAME.
units := $(patsubst tests/unit/%.c,build/unit/%,$(wildcard tests/unit/*.c))

build/unit/%: tests/unit/%.c lib/%.c lib/%.h build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) $(sanitize) -o $@ $(filter %.c,$^)

build/unit/addresses: tests/unit/addresses.c lib/sysfs.c lib/sysfs.h tools/flatiommu/address.c tools/flatiommu/address.h \
		$(shared) build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) $(sanitize) -o $@ $(filter %.c,$^)

build/unit/faults: tests/unit/faults.c tools/flatiommu/faults.c tools/flatiommu/faults.h tools/flatiommu/address.c \
		tools/flatiommu/address.h $(shared) build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) $(sanitize) -o $@ $(filter %.c,$^)

# preload/, on a machine that is in tests/unit/pagemap
pagemap-model := tests/unit/pagemap/model.c preload/pins.c preload/ranges.c
pagemap-headers := tests/unit/pagemap/model.h $(wildcard preload/*.h) include/linux/flatiommu.h

build/unit/pagemap: tests/unit/pagemap.c $(pagemap-model) $(pagemap-headers) build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) $(sanitize) -o $@ $(filter %.c,$^)

# its functions in place of libc's, in the test itself; ASan has functions of these names, too
build/unit/preload: tests/unit/preload.c tests/unit/pagemap/node.c $(filter-out preload/node.c,$(wildcard preload/*.c)) \
		$(pagemap-headers) build/toolchain
	mkdir -p $(@D)
	$(CC) $(preload-flags) -o $@ $(filter %.c,$^) -ldl -pthread

# tests/unit/library/NAME.c has all of the library, on a machine that fake.c makes up: with ASan, and again with TSan,
# which knows no children of programs with threads.
build/tsan/lib/%.o: lib/%.c $(wildcard lib/*.h include/*.h include/*/*.h) $(shared) VERSION build/toolchain
	mkdir -p $(@D)
	$(CC) $(lib-flags) -fsanitize=thread -c -o $@ $<

library-asan := $(patsubst lib/%.c,build/asan/lib/%.o,$(wildcard lib/*.c))
library-tsan := $(patsubst lib/%.c,build/tsan/lib/%.o,$(wildcard lib/*.c))
library-units := $(patsubst tests/unit/library/%.c,%,$(filter-out %/fake.c,$(wildcard tests/unit/library/*.c)))
wrapped-units := access close ioctl open opendir pread pwrite readlink

$(library-units:%=build/unit/library/%): build/unit/library/%: tests/unit/library/%.c tests/unit/library/fake.c \
		tests/unit/library/fake.h $(library-asan) $(library-tsan)
	mkdir -p $(@D)
	$(CC) $(flags) $(sanitize) -o $@ $(filter %.c,$^) $(library-asan) $(wrapped-units:%=-Wl,--wrap=%)
	$(CC) $(flags) -fsanitize=thread -o $@-tsan $(filter %.c,$^) $(library-tsan) $(wrapped-units:%=-Wl,--wrap=%)

units += $(library-units:%=build/unit/library/%)

unit-programs: $(units)

unit: $(units)
	@for unit in $(units) $(patsubst %,build/unit/library/%-tsan,$(filter-out fork,$(library-units))) tests/unit/dead-processor; do $$unit || exit; done
	@! command -v valgrind >/dev/null || UNDER_VALGRIND=1 valgrind -q --error-exitcode=9 build/unit/preload
	@prove --quiet --exec bash tests/unit/kernel

# tests/fuzz/NAME.c feeds parsers with what libFuzzer makes up; what crashes one is left in build/fuzz.
FUZZ_SECONDS ?= 5
fuzzers := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/*.c))
fuzz-flags = $(filter-out -Wmissing-prototypes,$(flags)) -DVERSION='"$(version)"' -DPRELOAD_DIRECTORY='"/"' \
	-DFLATIOMMU_LIBRARY_VERSION='"$(version)"' -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

build/fuzz/claim: tests/fuzz/claim.c module/function.c module/function.h $(shared) $(wildcard tests/fuzz/kernel/linux/*.h)
	mkdir -p $(@D)
	clang $(fuzz-flags) -Itests/fuzz/kernel -o $@ $<

build/fuzz/pagemap: tests/fuzz/pagemap.c $(pagemap-model) preload/files.c preload/functions.c preload/groups.c \
		$(pagemap-headers) $(shared)
	mkdir -p $(@D)
	clang $(fuzz-flags) -o $@ $(filter %.c,$^)

build/fuzz/lib: tests/fuzz/lib.c $(wildcard lib/*.[ch]) $(shared)
	mkdir -p $(@D)
	clang $(fuzz-flags) -Wl,--wrap=ioctl -o $@ $(filter %.c,$^)

build/fuzz/tool: tests/fuzz/tool.c $(filter-out %/main.c,$(tool-sources)) $(wildcard tools/flatiommu/*.h) \
		$(shared) build/lib/libflatiommu.a
	mkdir -p $(@D)
	clang $(fuzz-flags) $(patsubst %,-Wl$(comma)--wrap=%,open fopen readlink access realpath) -o $@ \
		$(filter %.c %.a,$^) -lpci -ljson-c

fuzz: $(fuzzers)
	@for fuzzer in $(fuzzers); do \
		$$fuzzer -artifact_prefix=$$fuzzer. -max_total_time=$(FUZZ_SECONDS) -max_len=4400 -print_final_stats=1 \
			>$$fuzzer.log 2>&1 || { cat $$fuzzer.log; exit 1; }; \
		echo "$$fuzzer: $$(sed -n 's/^stat::number_of_executed_units: *//p' $$fuzzer.log) inputs"; \
	done

model:
	mkdir -p build/log
	tests/model/run >build/log/model
	cat build/log/model

check:
	./check

check-all:
	FLATIOMMU_ALL=1 ./check

check-arm64:
	tests/vm/deps arm64
	tests/vm/kernel --update ARM64
	$(MAKE) -s $(arm64-kernels:%=build/%/flatiommu.ko) $(arm64-kernels:%=build/%/extra) guest-arm64 WERROR=-Werror
	prove --jobs $$(nproc) --exec tests/vm/run --timer $$(tests/vm/run --list ARM64)
	tests/counts

check-tomorrow:
	./check TOMORROW

check-builder:
	tests/vm/deps mmdebstrap
	tests/builder/run bookworm trixie

# The library, the command, the examples and the tests, by the compilers of other suites than the builder's.
check-compilers:
	for in in 'bookworm gcc-12' 'trixie gcc-14' 'sid gcc-16'; do \
		tests/vm/in $$in -dumpfullversion && \
		tests/vm/in $${in% *} $(MAKE) -s WERROR=-Werror CC=$${in#* } tools examples tests asan unit-programs || exit; \
	done

check-packages:
	tests/vm/deps debhelper dh-dkms dh-python lintian mmdebstrap
	$(MAKE) deb
	lintian --allow-root --fail-on error,warning build/dist/*.changes
	tests/packages/rpm
	tests/packages/run bookworm
	tests/packages/run trixie
	tests/packages/secure-boot
	$(MAKE) bench BENCH=quick

abi:
	tests/abi

lint:
	tests/lint

clean:
	rm -rf build

FORCE:

.PHONY: FORCE abi design guest guest-arm64 guest-riscv64 check-arm64 unit-programs check-all check-tomorrow check-builder check-compilers all module lib tools man install install-source uninstall dist deb rpm examples tests asan benches bench unit lint check check-packages model fuzz peers check-peers check-debug clean
