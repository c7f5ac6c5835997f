# SPDX-License-Identifier: MIT
#
# The part of the Makefile for measurements.

BENCH_KERNEL ?= $(shell tests/vm/kernel --list STABLE)

# bench/NAME.c runs in the machine like a test, and prints its results. It has no debugging information, because valgrind
# cannot read that of every compiler.
benches := $(patsubst bench/%.c,%,$(wildcard bench/*.c))

build/tests/%.t: bench/%.c bench/figure.h $(test-lib) $(wildcard tests/guest/lib/*.h) build/lib/libflatiommu.a
	mkdir -p $(@D)
	$(CC) $(flags) -Itests/guest/lib -Wl,--strip-debug -o $@ $< $(test-lib) build/lib/libflatiommu.a -lcmocka

build/tests/nvme-io: bench/nvme/io.c examples/nvme/nvme.c $(wildcard examples/*.h examples/nvme/*.h) build/lib/libflatiommu.a
	mkdir -p $(@D)
	$(CC) $(flags) -o $@ $(filter %.c %.a,$^)

.PHONY: benches
benches: $(benches:%=build/tests/%.t) build/tests/nvme-io
	install -m 755 bench/*.t build/tests

.PHONY: bench
bench:
	BENCH_KERNEL=$(BENCH_KERNEL) bench/run $(BENCH)
