// SPDX-License-Identifier: MIT
/*
 * doctor --run: attaches doctor->subject with libflatiommu, as a program would, tries steps that
 * are harmless to any device, and detaches it. It maps registers but does not read them, because a
 * read may have side effects. It starts no DMA.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <flatiommu.h>

#include "doctor.h"
#include "memory.h"
#include "output.h"
#include "privilege.h"
#include "sysfs.h"

#define NR_BARS 6
/* Maximum of vectors of a kind to try: a device may have more than a program may have files. */
#define TRIED_VECTORS 32

/**
 * struct run - one function that is tried
 * @doctor:	the examination; its subject is the function
 * @flat:	a context for this function alone
 * @device:	the function
 * @info:	its properties
 */
struct run {
	struct doctor *doctor;
	struct flatiommu *flat;
	struct flatiommu_device *device;
	struct flatiommu_device_info info;
};

static void say_reason(struct run *run, enum verdict verdict)
{
	say(run->doctor, verdict, "%s", flatiommu_reason(run->flat));
}

/* May the function be tried? Says why if it is a bridge, not on VFIO, or open by a program. */
static bool is_free(struct doctor *doctor)
{
	const struct function *f = doctor->subject;
	struct json_object *others;
	char open[256];
	bool sure;

	if (is_bridge(f)) {
		say(doctor, PROBLEM, "not tried: a bridge");
		return false;
	}
	if (!is_on_vfio(f)) {
		mend(doctor, "flatiommu bind %s", f->address);
		say(doctor, PROBLEM, "not tried: %s has it, not vfio-pci",
		    *f->driver ? f->driver : "no driver");
		return false;
	}
	others = processes_of(&doctor->processes, f);
	processes_text(open, sizeof(open), others);
	/* if a program only maybe has it, the attempt will tell */
	sure = processes_are_sure(others);
	if (sure) {
		mend(doctor, "kill %s", get_string(json_object_array_get_idx(others, 0), "pid"));
		say(doctor, PROBLEM, "not tried: open by %s", open);
	}
	json_object_put(others);
	return !sure;
}

/* Sets the cure of a failed attach, if the cause is the machine or this user. */
static void mend_attach(struct doctor *doctor, int err)
{
	static const char *const modules[] = { "vfio_iommu_type1", "iommufd" };
	const struct function *f = doctor->subject;
	char value[8];
	size_t i;

	/* No command helps inside of a user namespace. */
	if (in_user_namespace())
		return;
	if (geteuid() && (err == -EACCES || err == -EBUSY ||
			  (err == -EPERM && !has_capability(CAP_SYS_RAWIO)))) {
		mend(doctor, "flatiommu doctor --run %s", f->address);
		return;
	}
	for (i = 0; i < ARRAY_SIZE(modules) && err == -EPERM; i++) {
		if (file_read(value, sizeof(value), ALLOW_INTERRUPTS, modules[i]) || *value != 'N')
			continue;
		mend(doctor, "echo Y >" ALLOW_INTERRUPTS, modules[i]);
		return;
	}
}

static bool attach(struct run *run)
{
	struct doctor *doctor = run->doctor;
	int err;

	if (!is_free(doctor))
		return false;
	err = flatiommu_open(&run->flat);
	if (err) {
		say(doctor, PROBLEM, "libflatiommu: %s", strerror(-err));
		return false;
	}
	err = flatiommu_device_open(run->flat, doctor->subject->address, &run->device);
	if (!err)
		err = flatiommu_device_get_info(run->device, &run->info);
	if (err) {
		mend_attach(doctor, err);
		say_reason(run, PROBLEM);
		return false;
	}
	say(doctor, OK, "%s", flatiommu_backend_reason(run->flat));
	return true;
}

/* Does the function answer, and has it the ids that the kernel knows? */
static void read_config(struct run *run)
{
	const struct function *f = run->doctor->subject;
	uint16_t vendor, device;

	if (flatiommu_config_read16(run->device, PCI_VENDOR_ID, &vendor) ||
	    flatiommu_config_read16(run->device, PCI_DEVICE_ID, &device))
		say_reason(run, PROBLEM);
	else if (vendor != f->vendor || device != f->device)
		say(run->doctor, PROBLEM, "it answers %04x:%04x, and was %04x:%04x", vendor, device,
		    f->vendor, f->device);
	else
		say(run->doctor, OK, "it answers: %04x:%04x", vendor, device);
}

static void map_bar(struct run *run, unsigned int bar)
{
	bool wc = run->info.wc_bars & 1U << bar;
	void *memory;
	int err;

	err = flatiommu_bar_map(run->device, bar, 0, 0, wc ? FLATIOMMU_BAR_WRITE_COMBINED : 0,
				&memory);
	if (!err)
		err = flatiommu_bar_unmap(run->device, memory);
	if (err == -EOPNOTSUPP)
		say(run->doctor, OK, "%u: ports, or a part of a page: for read and write calls only",
		    bar);
	else if (err)
		say_reason(run, PROBLEM);
	else
		say(run->doctor, OK, "%u: mapped, %s", bar, wc ? "write-combined" : "uncached");
}

static void map_bars(struct run *run)
{
	unsigned int bar;

	for (bar = 0; bar < NR_BARS; bar++) {
		int64_t size = flatiommu_region_size(run->device, bar);

		if (size < 0)
			say_reason(run, PROBLEM);
		else if (size)
			map_bar(run, bar);
	}
}

/* Do the segments cover the whole buffer? */
static bool is_whole(const struct flatiommu_dma *dma)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < dma->nr_segments; i++) {
		if (flatiommu_dma_address(dma, sum) != dma->segments[i].address)
			return false;
		sum += dma->segments[i].length;
	}
	return sum == dma->length;
}

static void map_memory(struct run *run)
{
	const size_t page = sysconf(_SC_PAGESIZE), huge = page / 8 * page;
	const struct {
		enum flatiommu_dma_pages pages;
		size_t length;
		const char *before, *after;
	} kinds[] = {
		{ FLATIOMMU_PAGES_1G, 1UL << 30, "a huge page of ", "" },
		{ FLATIOMMU_PAGES_HUGE, huge, "a huge page of ", "" },
		{ FLATIOMMU_PAGES_TRANSPARENT, huge, "", ", transparent huge pages if any" },
		{ FLATIOMMU_PAGES_SMALL, 16 * page, "", " of ordinary pages" },
	};
	struct flatiommu_dma *dma;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct flatiommu_dma_options options = {
			.flags = FLATIOMMU_DMA_NO_FALLBACK,
			.pages = kinds[i].pages,
		};

		if (*kinds[i].before &&
		    !file_number(0, HUGEPAGES "/hugepages-%zukB/free_hugepages", kinds[i].length >> 10))
			continue;
		if (flatiommu_dma_alloc(run->flat, kinds[i].length, &options, &dma)) {
			if (!may_lock(kinds[i].length))
				mend_memlock(run->doctor);
			say_reason(run, PROBLEM);
			continue;
		}
		if (is_whole(dma))
			say(run->doctor, OK, "%s%s%s: pinned, %zu bus address%s", kinds[i].before,
			    SIZE_TEXT(kinds[i].length), kinds[i].after, dma->nr_segments,
			    dma->nr_segments == 1 ? "" : "es");
		else
			say(run->doctor, PROBLEM, "%s%s%s: its bus addresses are only of a part of "
			    "it",
			    kinds[i].before, SIZE_TEXT(kinds[i].length), kinds[i].after);
		flatiommu_dma_free(dma);
	}
}

static void say_vectors(struct run *run, enum flatiommu_irq irq, int signalled, int tried, int all)
{
	static const char *const names[] = { "INTx", "MSI", "MSI-X", "error", "request" };

	if (signalled < tried)
		say(run->doctor, PROBLEM, "%s: %d of %d vectors signal their eventfd", names[irq],
		    signalled, tried);
	else
		say(run->doctor, OK, "%s: %d of %d vectors tried, and each signals its eventfd",
		    names[irq], tried, all);
}

/* A warning only: another driver may have the INTx line for itself, or no vectors may be left. */
static enum verdict verdict_of(enum flatiommu_irq irq, int err)
{
	return irq == FLATIOMMU_IRQ_INTX || err == -ENOSPC ? WARNING : PROBLEM;
}

/* Has VFIO signal the vectors as if the device had interrupted, and checks the eventfds. */
static void trigger_irq(struct run *run, enum flatiommu_irq irq, int all)
{
	int events[TRIED_VECTORS], n = all < TRIED_VECTORS ? all : TRIED_VECTORS;
	int i, opened, signalled = 0, err = 0;
	uint64_t count;

	for (opened = 0; opened < n; opened++) {
		events[opened] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (events[opened] < 0) {
			say(run->doctor, PROBLEM, "eventfd: %s", strerror(errno));
			goto close;
		}
	}
	err = flatiommu_irq_enable(run->device, irq, 0, n, events);
	for (i = 0; i < n && !err; i++) {
		err = flatiommu_irq_trigger(run->device, irq, i);
		if (!err && read(events[i], &count, sizeof(count)) == sizeof(count))
			signalled++;
	}
	if (err)
		say_reason(run, verdict_of(irq, err));
	else
		say_vectors(run, irq, signalled, n, all);
	flatiommu_irq_disable(run->device, irq);
close:
	while (opened--)
		close(events[opened]);
}

static void trigger_irqs(struct run *run)
{
	unsigned int irq;

	for (irq = FLATIOMMU_IRQ_INTX; irq <= FLATIOMMU_IRQ_REQUEST; irq++) {
		int all = flatiommu_irq_vectors(run->device, irq);

		if (all < 0)
			say_reason(run, PROBLEM);
		else if (all)
			trigger_irq(run, irq, all);
	}
}

static void reset(struct run *run)
{
	if (!(run->info.flags & FLATIOMMU_DEVICE_CAN_RESET))
		say(run->doctor, OK, "not tried: it has none of its own");
	else if (flatiommu_reset(run->device))
		say_reason(run, PROBLEM);
	else
		say(run->doctor, OK, "done");
}

static const struct {
	const char *name;
	void (*run)(struct run *run);
} steps[] = {
	{ "run-config", read_config },
	{ "run-bars", map_bars },
	{ "run-memory", map_memory },
	{ "run-irq", trigger_irqs },
	{ "run-reset", reset },
	/* once more: does it still answer after the reset? */
	{ "run-config", read_config },
};

static void detach(struct doctor *doctor)
{
	const struct function *before = doctor->subject;
	struct function now;

	if (function_read(&now, before->address))
		say(doctor, PROBLEM, "it is gone");
	else if (strcmp(now.driver, before->driver) || now.group != before->group)
		say(doctor, PROBLEM, "%s has it now, and its group is another one",
		    *now.driver ? now.driver : "no driver");
	else
		say(doctor, OK, "it is bound to vfio-pci, as before");
}

void doctor_try(struct doctor *doctor)
{
	struct run run = { .doctor = doctor };
	bool attached;
	size_t i;

	doctor->check = "run-attach";
	attached = attach(&run);
	for (i = 0; i < ARRAY_SIZE(steps) && attached; i++) {
		doctor->check = steps[i].name;
		steps[i].run(&run);
	}
	flatiommu_close(run.flat);
	doctor->check = "run-detach";
	if (attached)
		detach(doctor);
}
