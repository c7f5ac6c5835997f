# SPDX-License-Identifier: MIT
#
# The part of the Makefile for tests: the modules of the test kernels, the programs that run in the machines, the units that
# run here, and the lists of tests that make check and its like run.

PEERS_KERNELS ?= $(shell tests/vm/kernel --list STOCK)
DEBUG_KERNELS ?= $(shell tests/vm/kernel --list DEBUG)
DEBUG_MACHINES ?= pc movable intel-iommu
DEBUG_APPEND ?= life_kills=1000 life_unplugs=200 fuzz_calls=1000000 fuzz_sequence=1500 rcupdate.rcu_expedited=1
arm64-kernels := $(shell tests/vm/kernel --list ARM64)
kernels := $(shell tests/vm/kernel --list && tests/vm/kernel --list TOMORROW && tests/vm/kernel --list DEBUG) $(arm64-kernels)
machines := $(shell tests/vm/machine --list)

# The programs for the machines, built with the C library of their userland.
.PHONY: guest
guest:
	+tests/vm/in "$$(tests/vm/rootfs --suite)" $(MAKE) -s $(if $(filter peers,$(GUEST)),DPDK="$$(tests/vm/dpdk)") \
		$(if $(GUEST),$(GUEST),tools examples tests)

# The same for another architecture, in a tree of its own, which has links to this one and a build directory.
triplet-arm64 := aarch64-linux-gnu
triplet-riscv64 := riscv64-linux-gnu
parts := Makefile VERSION include lib module preload tools examples tests bench

.PHONY: guest-arm64 guest-riscv64
guest-arm64 guest-riscv64: guest-%: FORCE
	@mkdir -p build/$*
	@ln -sfn -t build/$* $(parts:%=../../%)
	+tests/vm/in "$$(tests/vm/rootfs --suite):$*" $(MAKE) -s -C build/$* LD=$(triplet-$*)-ld AR=$(triplet-$*)-ar \
		OBJCOPY=$(triplet-$*)-objcopy CC="$(triplet-$*)-gcc --sysroot=$$(tests/vm/sysroot $*)" \
		$(if $(GUEST),$(GUEST),tools examples tests)

# If the archive has a newer version of the kernel, modules are built again. build/KERNEL/kernel has its path.
.PRECIOUS: build/%/kernel
build/%/kernel: FORCE
	@mkdir -p $(@D)
	@kernel=$$(tests/vm/kernel $*) && { [ "$$(cat $@ 2>/dev/null)" = "$$kernel" ] || echo "$$kernel" >$@; }

# With the compiler of the kernel's suite, in a directory of its own, because Kbuild writes objects beside the sources.
kbuild = tests/vm/in "$$(tests/vm/kernel --suite $*)" $(MAKE) -s -C "$$(cat build/$*/kernel)/build"

# KEEP=1: objects whose sources have not changed are kept.
define build-module
	$(if $(KEEP),,rm -rf $(@:.ko=))
	mkdir -p $(@:.ko=)
	cp -u $(filter module/%,$^) $(@:.ko=)
	+$(kbuild) M=$(CURDIR)/$(@:.ko=) KCFLAGS=-Werror $(1) modules
	cp $(@:.ko=)/flatiommu.ko $@
endef

# A module's directory is beside it. Several modules are built at once.
.PRECIOUS: build/%/include/linux/flatiommu.h
build/%/include/linux/flatiommu.h: include/linux/flatiommu.h
	install -D -m 644 $< $@

# Debug kernels count how often each line runs.
build/%/flatiommu.ko: $(module-sources) build/%/kernel build/%/include/linux/flatiommu.h
	$(call build-module,$(if $(filter %-debug,$*),GCOV_PROFILE=y))

.PRECIOUS: build/%/trust-signer.ko
build/%/trust-signer.ko: $(module-sources) build/%/kernel build/%/include/linux/flatiommu.h
	$(call build-module,LOCKDOWN=trust-signer)

# extra: modules that only tests load: those of sample, and the module built for a locked down kernel, for the test
# trust-signer. sample: tests/module, and, if the kernel has mediated devices, its sample of one.
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

build/%/extra: build/%/trust-signer.ko build/%/sample
	touch $@

.PRECIOUS: build/%/sample
build/%/sample: build/%/test-modules
	rm -rf build/$*/mtty
	mkdir build/$*/mtty
	+if grep -qw mdev_register_parent "$$(cat build/$*/kernel)/build/Module.symvers"; then \
		cp "$$(tests/vm/source $*)/samples/vfio-mdev/mtty.c" build/$*/mtty && \
		echo 'obj-m := mtty.o' >build/$*/mtty/Kbuild && \
		$(kbuild) M=$(CURDIR)/build/$*/mtty modules && \
		cp build/$*/mtty/mtty.ko build/$*; \
	fi
	touch $@

# tests/guest/NAME.c is a test, and lib/ is shared by all of them. tools/ has programs that tests in shell run.
# Libraries can be preloaded only into dynamic programs.
dynamic-tools := $(addprefix build/tests/,own-iova reader)
# These are built with lib/, like a test.
sharing-tools := $(addprefix build/tests/,overwriter wild)
preloaded-tools := build/tests/answers
test-tools := $(filter-out $(dynamic-tools) $(sharing-tools) $(preloaded-tools),$(patsubst tests/guest/tools/%.c,build/tests/%,$(wildcard tests/guest/tools/*.c)))
test-programs := $(patsubst tests/guest/%.c,build/tests/%.t,$(wildcard tests/guest/*.c))
test-lib := $(wildcard tests/guest/lib/*.c)

.PHONY: tests
tests: $(test-tools) $(dynamic-tools) $(sharing-tools) $(preloaded-tools:=.so) $(test-programs) build/lib/libflatiommu.so

# Static, because an emulated processor takes four times as long to start a dynamic program.
$(test-tools): build/tests/%: tests/guest/tools/%.c build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) -static -o $@ $<

$(dynamic-tools): build/tests/%: tests/guest/tools/%.c build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) -o $@ $<

$(preloaded-tools:=.so): build/tests/%.so: tests/guest/tools/%.c build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) -fPIC -shared -o $@ $<

$(sharing-tools): build/tests/%: tests/guest/tools/%.c $(test-lib) $(wildcard tests/guest/lib/*.h) build/lib/libflatiommu.a
	mkdir -p $(@D)
	$(CC) $(flags) -Itests/guest/lib -o $@ $(filter %.c %.a,$^) -lcmocka

# tests/guest/NAME/ has further files of a test. It may wrap these functions, which the library calls.
wrapped-api-faults := access calloc close fcntl free fstat ftruncate ioctl madvise malloc memfd_create mmap \
	munmap open opendir pread pwrite read readlink realloc syscall write
wrapped-api-noiommu-cdev := access ioctl open opendir readdir readlink

build/tests/%.t: tests/guest/%.c $$(wildcard tests/guest/$$*/*) $(test-lib) $(wildcard tests/guest/lib/*.h) \
		build/lib/libflatiommu.a
	mkdir -p $(@D)
	$(CC) $(flags) -Itests/guest/lib -Itests/guest -o $@ $(filter %.c %.a,$^) \
		$(wrapped-$*:%=-Wl,--wrap=%) -lcmocka

# tests/peers/NAME.c is for the machine peers, and uses Debian's DPDK.
peers := $(patsubst tests/peers/%.c,build/tests/%,$(wildcard tests/peers/*.c))

.PHONY: peers
peers: $(peers)

$(peers): build/tests/%: tests/peers/%.c build/lib/libflatiommu.a build/toolchain
	mkdir -p $(@D)
	dpdk=$(if $(DPDK),$(DPDK),$$(tests/vm/dpdk)) && multiarch=$$($(CC) -print-multiarch) && \
	$(CC) $(flags) -march=corei7 -isystem $$dpdk/usr/include/dpdk \
		-isystem $$dpdk/usr/include -isystem $$dpdk/usr/include/$$multiarch/dpdk \
		-include rte_config.h -o $@ $< build/lib/libflatiommu.a -L$$dpdk/usr/lib/$$multiarch -Wl,--allow-shlib-undefined \
		-lrte_ethdev -lrte_mbuf -lrte_mempool -lrte_eal

# The library's tests again, as asan-NAME: library and tests are built with sanitizers.
sanitize := -fsanitize=address,undefined -fno-sanitize-recover=all -DSANITIZED=1
asan-programs := $(patsubst tests/guest/%.c,build/tests/asan-%.t,$(wildcard tests/guest/api-*.c))

# The driver that has threads, with ASan and UBSan and with TSan, whose library the machine does not have.
sanitized-driver := build/tests/asan-virtio-net build/tests/tsan-virtio-net
driver-sources := $(wildcard examples/virtio-net/*.c)
driver-needs := $(driver-sources) $(wildcard examples/virtio-net/*.h examples/*.h) build/toolchain

.PHONY: asan
asan: $(asan-programs) $(sanitized-driver)

build/tests/asan-virtio-net: $(driver-needs) build/asan/libflatiommu.a
	mkdir -p $(@D)
	$(CC) $(flags) $(sanitize) -o $@ $(filter %.c %.a,$^) -pthread

build/tests/tsan-virtio-net: $(driver-needs) $(patsubst lib/%.c,build/tsan/lib/%.o,$(wildcard lib/*.c))
	mkdir -p $(@D)
	$(CC) $(flags) -fsanitize=thread -static-libtsan -o $@ $(filter %.c %.o,$^) -pthread

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

$(foreach k,$(kernels),$(foreach m,$(machines),test-$(k)-$(m))): test-%:
	+@$(if $(findstring -arm64-,$*),$(MAKE) -s guest-arm64,$(MAKE) -s guest GUEST='tests peers asan examples tools')
	@for k in $(kernels); do for m in $(machines); do \
		[ "$$k-$$m" != "$*" ] || { $(MAKE) -s build/$$k/flatiommu.ko build/$$k/extra && exec tests/vm/run $$k $$m; }; \
	done; done

# Prints prove's summary, the counts, and the lines of the module that no test ran.
.PHONY: check-debug
check-debug: model $(DEBUG_KERNELS:%=build/%/flatiommu.ko) $(DEBUG_KERNELS:%=build/%/extra)
	+$(MAKE) -s guest GUEST='tests peers asan examples tools'
	FLATIOMMU_APPEND='$(DEBUG_APPEND)' FLATIOMMU_TIMEOUT=36000 FLATIOMMU_TEST_TIMEOUT=7200 \
		prove --jobs $$(nproc) --exec tests/vm/run --timer \
		$(foreach k,$(DEBUG_KERNELS),$(foreach m,$(DEBUG_MACHINES),$(k):$(m)))
	tests/counts
	tests/coverage $(DEBUG_KERNELS)

.PHONY: check-peers
check-peers: $(PEERS_KERNELS:%=build/%/flatiommu.ko)
	+$(MAKE) -s guest GUEST='tests peers examples tools'
	@for kernel in $(PEERS_KERNELS); do \
		FLATIOMMU_APPEND=full=1 FLATIOMMU_TIMEOUT=36000 FLATIOMMU_TEST_TIMEOUT=18000 tests/vm/run $$kernel peers || exit; \
	done

# tests/unit/NAME.c tests lib/NAME.c alone, on this machine; addresses.c tests all parsers of addresses. tests/unit/NAME tests
# tests/vm/NAME.
units := $(patsubst tests/unit/%.c,build/unit/%,$(wildcard tests/unit/*.c))

build/unit/%: tests/unit/%.c lib/%.c lib/%.h build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) $(sanitize) -o $@ $(filter %.c,$^)

build/unit/faults: tests/unit/faults.c tools/flatiommu/faults.c tools/flatiommu/faults.h tools/flatiommu/address.c \
		tools/flatiommu/address.h $(shared) build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) $(sanitize) -o $@ $(filter %.c,$^)

build/unit/addresses: tests/unit/addresses.c lib/sysfs.c lib/sysfs.h tools/flatiommu/address.c tools/flatiommu/address.h \
		$(shared) build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) $(sanitize) -o $@ $(filter %.c,$^)

# preload/, on the model of a machine in tests/unit/pagemap
pagemap-model := tests/unit/pagemap/model.c preload/pins.c preload/ranges.c
pagemap-headers := tests/unit/pagemap/model.h $(wildcard preload/*.h) include/linux/flatiommu.h

build/unit/pagemap: tests/unit/pagemap.c $(pagemap-model) $(pagemap-headers) build/toolchain
	mkdir -p $(@D)
	$(CC) $(flags) $(sanitize) -o $@ $(filter %.c,$^)

# Its functions replace libc's in the test itself. Without ASan, which has functions with these names, too.
build/unit/preload: tests/unit/preload.c tests/unit/pagemap/node.c $(filter-out preload/node.c,$(wildcard preload/*.c)) \
		$(pagemap-headers) build/toolchain
	mkdir -p $(@D)
	$(CC) $(preload-flags) -o $@ $(filter %.c,$^) -ldl -pthread

# tests/unit/library/NAME.c tests the whole library on a machine that fake.c simulates: with ASan, and again with TSan, except
# fork, because TSan does not support children of programs with threads.
build/tsan/lib/%.o: lib/%.c $(wildcard lib/*.h include/*.h include/*/*.h) $(shared) VERSION build/toolchain
	mkdir -p $(@D)
	$(CC) $(lib-flags) -fsanitize=thread -c -o $@ $<

library-asan := $(patsubst lib/%.c,build/asan/lib/%.o,$(wildcard lib/*.c))
library-tsan := $(patsubst lib/%.c,build/tsan/lib/%.o,$(wildcard lib/*.c))
library-units := $(patsubst tests/unit/library/%.c,%,$(filter-out %/fake.c,$(wildcard tests/unit/library/*.c)))
wrapped-units := access close getrlimit ioctl open opendir pread pwrite readlink

$(library-units:%=build/unit/library/%): build/unit/library/%: tests/unit/library/%.c tests/unit/library/fake.c \
		tests/unit/library/fake.h $(library-asan) $(library-tsan)
	mkdir -p $(@D)
	$(CC) $(flags) $(sanitize) -o $@ $(filter %.c,$^) $(library-asan) $(wrapped-units:%=-Wl,--wrap=%)
	$(CC) $(flags) -fsanitize=thread -o $@-tsan $(filter %.c,$^) $(library-tsan) $(wrapped-units:%=-Wl,--wrap=%)

units += $(library-units:%=build/unit/library/%)

.PHONY: unit-programs
unit-programs: $(units)

.PHONY: unit
unit: $(units)
	@for unit in $(units) $(patsubst %,build/unit/library/%-tsan,$(filter-out fork,$(library-units))) tests/unit/dead-processor tests/unit/stale-int3; do $$unit || exit; done
	@! command -v valgrind >/dev/null || UNDER_VALGRIND=1 valgrind -q --error-exitcode=9 build/unit/preload
	@prove --quiet --exec bash tests/unit/kernel

# tests/fuzz/NAME.c gives inputs of libFuzzer to parsers. An input that crashes one is kept in build/fuzz.
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

.PHONY: fuzz
fuzz: $(fuzzers)
	@for fuzzer in $(fuzzers); do \
		$$fuzzer -artifact_prefix=$$fuzzer. -max_total_time=$(FUZZ_SECONDS) -max_len=4400 -print_final_stats=1 \
			>$$fuzzer.log 2>&1 || { cat $$fuzzer.log; exit 1; }; \
		echo "$$fuzzer: $$(sed -n 's/^stat::number_of_executed_units: *//p' $$fuzzer.log) inputs"; \
	done

.PHONY: model
model:
	mkdir -p build/log
	tests/model/run >build/log/model
	cat build/log/model

.PHONY: check
check:
	./check

.PHONY: check-all
check-all:
	FLATIOMMU_ALL=1 ./check

.PHONY: check-arm64
check-arm64:
	tests/vm/deps arm64
	tests/vm/kernel --update ARM64
	$(MAKE) -s $(arm64-kernels:%=build/%/flatiommu.ko) $(arm64-kernels:%=build/%/extra) guest-arm64 WERROR=-Werror
	prove --jobs $$(nproc) --exec tests/vm/run --timer $$(tests/vm/run --list ARM64)
	tests/counts

.PHONY: check-tomorrow
check-tomorrow:
	./check TOMORROW

.PHONY: check-builder
check-builder:
	tests/vm/deps mmdebstrap
	tests/builder/run bookworm trixie

# Builds library, command, examples and tests with the compilers of other suites than the builder's.
.PHONY: check-compilers
check-compilers:
	for in in 'bookworm gcc-12' 'trixie gcc-14' 'sid gcc-16'; do \
		tests/vm/in $$in -dumpfullversion && \
		tests/vm/in $${in% *} $(MAKE) -s WERROR=-Werror CC=$${in#* } tools examples tests asan unit-programs || exit; \
	done

.PHONY: check-packages
check-packages:
	tests/vm/deps debhelper dh-dkms dh-python lintian mmdebstrap
	$(MAKE) deb
	lintian --allow-root --fail-on error,warning build/dist/*.changes
	tests/packages/rpm
	tests/packages/run bookworm
	tests/packages/run trixie
	$(MAKE) -s guest GUEST=examples
	$(MAKE) -s build/$$(tests/vm/kernel --list STABLE)/flatiommu.ko
	tests/packages/containers
	tests/packages/secure-boot
	$(MAKE) bench BENCH=quick

.PHONY: abi
abi:
	tests/abi

.PHONY: lint
lint:
	tests/lint
