// SPDX-License-Identifier: GPL-2.0-only
/*
 * A refused map: find the likely cause, log it with its cure, and count it. With fence also stop
 * the functions, because some programs go on with DMA.
 */
#include <linux/dma-mapping.h>
#include <linux/ioport.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include <linux/flatiommu.h>

#include "attach.h"
#include "declare.h"
#include "flatiommu.h"
#include "history.h"
#include "refusal.h"
#include "trace.h"

enum cause { ZERO_PAGE, UNREACHABLE, LOOKUP_IOVA, VIRTUAL_ADDRESS, OTHER_PAGE, NO_ADDRESS };

/* The module cannot tell whether a program chose its IOVA, or looked it up when it was valid. */
#define DECLARE "declare that the program looks addresses up (FLATIOMMU_DECLARE), and map from IOVA 2^46 on"

/*
 * The log gets the IOVA only if it cannot be an address of memory or of the program: not every
 * reader of the log may know those. The tracepoints have all of them, see trace.h.
 */
static const struct {
	const char *name;
	const char *text;
	const char *cure;
	bool tell_iova;
} causes[] = {
	[ZERO_PAGE] = {
		"zero-page",
		"nothing was written to the memory yet, it is the kernel's shared zero page",
		"write to it, then look its address up and map it",
	},
	[UNREACHABLE] = {
		"unreachable",
		"the function has no bus address for all of the memory",
		"map other memory (firmware and bridges limit what a function reaches)",
	},
	[LOOKUP_IOVA] = {
		"lookup-iova",
		"the program looks addresses up, but the IOVA is below 2^46, or memory or a PCI window is at it, or another program looks addresses up in the same container",
		"map at any IOVA from 2^46 on where nothing is, in a container of its own",
	},
	[VIRTUAL_ADDRESS] = {
		"virtual-address",
		"the IOVA is a virtual address of the program",
		"map at the bus address (DPDK and SPDK: --iova-mode=pa), or " DECLARE,
	},
	[OTHER_PAGE] = {
		"other-page",
		"another page is at that address",
		"if the program chose the IOVA, " DECLARE
		"; if the program looked the address up, the page has moved since or the range is not contiguous: look the address up again, and map each contiguous run by itself (a page in ZONE_MOVABLE or CMA moves once)",
	},
	[NO_ADDRESS] = {
		"no-bus-address",
		"no memory has that bus address",
		"map at the bus address of the page, or " DECLARE,
		.tell_iova = true,
	},
};

static bool is_ram(u64 address, size_t size)
{
	return region_intersects(address, size, IORESOURCE_SYSTEM_RAM,
				 IORES_DESC_NONE) == REGION_INTERSECTS;
}

/*
 * Is this memory mapped at this virtual address? It is not enough that something is mapped there:
 * DPDK reserves ranges whose addresses are also those of memory. A BAR has no page to compare.
 */
static bool is_virtual_address(u64 address, phys_addr_t phys)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	struct page *page;
	bool found;

	if (!mm)
		return false;
	if (get_user_pages_fast_only(address, 1, 0, &page) == 1) {
		found = page_to_pfn(page) == PHYS_PFN(phys);
		put_page(page);
		return found;
	}
	/* Do not wait: iommufd may hold another program's lock. This is only for the log. */
	if (!mmap_read_trylock(mm))
		return false;
	vma = find_vma(mm, address);
	found = vma && vma->vm_start <= address && vma->vm_flags & VM_PFNMAP;
	mmap_read_unlock(mm);
	return found;
}

/**
 * flat_is_zero_page() - is this the kernel's zero page, or the huge one?
 * @phys:	any address
 *
 * The huge zero page is not exported to modules. Recognise it as a PMD-sized folio that
 * - has no mapping,
 * - is not hugetlb, because a free hugetlb folio has no mapping either,
 * - is not counted as mapped in a page table, as pages of a driver are, such as a ring of packets.
 */
bool flat_is_zero_page(phys_addr_t phys)
{
	struct folio *folio;
	struct page *page;
	bool zero;

	if (is_zero_pfn(PHYS_PFN(phys)))
		return true;
	page = pfn_to_online_page(PHYS_PFN(phys));
	if (!page)
		return false;
	/* The page may belong to any process, and may be freed or split at this moment. */
	folio = page_folio(page);
	if (!folio_try_get(folio))
		return false;
	zero = page_folio(page) == folio && folio_order(folio) == PMD_SHIFT - PAGE_SHIFT &&
	       !folio->mapping && !folio_test_hugetlb(folio) && !folio_mapped(folio);
	folio_put(folio);
	return zero;
}

static bool is_for_lookup(struct flat_domain *d)
{
	bool declared;

	spin_lock(&flat_attach_lock);
	spin_lock(&d->lock);
	declared = flat_all_declared(d, current->mm);
	spin_unlock(&d->lock);
	spin_unlock(&flat_attach_lock);
	return declared;
}

static enum cause find_cause(struct flat_domain *d, u64 iova, phys_addr_t phys, size_t size)
{
	if (flat_is_zero_page(phys) || flat_is_zero_page(iova))
		return ZERO_PAGE;
	if (flat_bus_address(&d->bus_map, phys, size) == DMA_MAPPING_ERROR)
		return UNREACHABLE;
	if (is_for_lookup(d))
		return LOOKUP_IOVA;
	if (is_virtual_address(iova, phys))
		return VIRTUAL_ADDRESS;
	return is_ram(iova, PAGE_SIZE) ? OTHER_PAGE : NO_ADDRESS;
}

/*
 * At every attach type1 maps two pages of its own to see how unmaps behave, and accepts a refusal.
 * Recognise these pages: they are fresh, and not pinned as a program's would be.
 */
static bool is_probe_of_type1(phys_addr_t phys, size_t size)
{
	struct page *page = pfn_to_online_page(PHYS_PFN(phys));

	/* Reserved pages, which type1 maps for a program, are not pinned either. */
	return size == 2 * PAGE_SIZE && page && !PageReserved(page) && page_count(page) == 1 &&
	       !folio_maybe_dma_pinned(page_folio(page));
}

/* Refusals of one process. The latest MAX_PROCESSES are kept, even after the process has ended. */
struct refused {
	struct list_head entry;
	struct pid *tgid;
	char comm[TASK_COMM_LEN];
	char device[FLAT_NAME_LEN];
	enum cause cause;
	u64 refusals;
};

#define MAX_PROCESSES 32

static DEFINE_MUTEX(processes_lock);	/* protects all of these */
static LIST_HEAD(processes);		/* latest first */
static unsigned int nr_processes;
static u64 refusals_by[ARRAY_SIZE(causes)];	/* since the module was loaded */

static struct refused *find_refused(struct pid *tgid)
{
	struct refused *p;

	lockdep_assert_held(&processes_lock);
	list_for_each_entry(p, &processes, entry)
		if (p->tgid == tgid)
			return p;
	if (nr_processes == MAX_PROCESSES) {
		p = list_last_entry(&processes, struct refused, entry);
		put_pid(p->tgid);
	} else {
		p = kzalloc(sizeof(*p), GFP_KERNEL);
		if (!p)
			return NULL;
		list_add(&p->entry, &processes);
		nr_processes++;
	}
	p->tgid = get_pid(tgid);
	p->refusals = 0;
	return p;
}

static void count_refusal(const struct flat_domain *d, enum cause cause)
{
	struct refused *p;

	mutex_lock(&processes_lock);
	refusals_by[cause]++;
	p = find_refused(task_tgid(current));
	if (p) {
		list_move(&p->entry, &processes);
		strscpy(p->comm, current->group_leader->comm, sizeof(p->comm));
		strscpy(p->device, d->name, sizeof(p->device));
		p->cause = cause;
		p->refusals++;
	}
	mutex_unlock(&processes_lock);
}

/**
 * flat_refusals_show() - processes that were refused a map
 * @buf:	a page
 *
 * One line for each process, latest first: its id, the number of refusals, the function and the
 * cause of the latest one, and the program's name, escaped.
 */
ssize_t flat_refusals_show(char *buf)
{
	struct refused *p;
	int len = 0;

	mutex_lock(&processes_lock);
	list_for_each_entry(p, &processes, entry)
		len += sysfs_emit_at(buf, len, "%d %llu %s %s %*pE\n", pid_nr(p->tgid),
				     p->refusals, p->device, causes[p->cause].name,
				     (int)strlen(p->comm), p->comm);
	mutex_unlock(&processes_lock);
	return len;
}

/**
 * flat_refusal_causes_show() - number of refused maps for each cause
 * @buf:	a page
 *
 * One line for each cause: its name, and the number since the module was loaded.
 */
ssize_t flat_refusal_causes_show(char *buf)
{
	unsigned int i;
	int len = 0;

	mutex_lock(&processes_lock);
	for (i = 0; i < ARRAY_SIZE(causes); i++)
		len += sysfs_emit_at(buf, len, "%s %llu\n", causes[i].name, refusals_by[i]);
	mutex_unlock(&processes_lock);
	return len;
}

void flat_refusal_exit(void)
{
	struct refused *p, *next;

	list_for_each_entry_safe(p, next, &processes, entry) {
		put_pid(p->tgid);
		kfree(p);
	}
}

/* One limit for all domains together: a program may make many domains, one after another. */
static DEFINE_RATELIMIT_STATE(log_limit, DEFAULT_RATELIMIT_INTERVAL, 5 * DEFAULT_RATELIMIT_BURST);

static bool may_log(struct flat_domain *d)
{
	return __ratelimit(&d->ratelimit) && __ratelimit(&log_limit);
}

static bool fence_devices(struct flat_domain *d)
{
	struct flat_claim *claim;
	bool any = false;

	spin_lock(&flat_attach_lock);
	list_for_each_entry(claim, &d->claims, attached) {
		claim->paused = false;
		if (!flat_clear_master(claim->pdev))
			continue;
		flat_record_event(claim->history, FLATIOMMU_EVENT_FENCE);
		any = true;
	}
	spin_unlock(&flat_attach_lock);
	return any;
}

/* Returns function @i of @d with a reference, or NULL. */
static struct pci_dev *get_function(struct flat_domain *d, unsigned int i)
{
	struct pci_dev *pdev = NULL;
	struct flat_claim *claim;

	spin_lock(&flat_attach_lock);
	list_for_each_entry(claim, &d->claims, attached)
		if (!i--) {
			pdev = pci_dev_get(claim->pdev);
			break;
		}
	spin_unlock(&flat_attach_lock);
	return pdev;
}

/* Stops the functions of @d, and waits for their transactions. A suspended one is not woken up. */
void flat_fence_and_wait(struct flat_domain *d)
{
	struct pci_dev *pdev;
	unsigned int i;

	fence_devices(d);
	for (i = 0; (pdev = get_function(d, i)); i++) {
		flat_wait_for_pending(pdev);
		pci_dev_put(pdev);
	}
}

/**
 * flat_map_failed() - handle a map that was not refused, but failed
 * @d:		the domain
 * @size:	bytes
 * @error:	such as -ENOMEM
 *
 * A program that goes on with DMA does as much harm as after a refusal.
 */
void flat_map_failed(struct flat_domain *d, size_t size, int error)
{
	if (flat_domain_fences(d) && fence_devices(d) && may_log(d))
		pr_warn("%s: a map of %zu bytes failed (%d), bus mastering is cleared\n", d->name,
			size, error);
}

/**
 * flat_refuse() - log, count and trace a refused map
 * @d:		the domain
 * @iova:	first byte
 * @phys:	CPU address of the memory, in system RAM or in a BAR
 * @size:	bytes
 *
 * Called in the program's context, with locks of VFIO or iommufd held, and none of the module's.
 */
void flat_refuse(struct flat_domain *d, u64 iova, phys_addr_t phys, size_t size)
{
	char at[32] = "";
	enum cause cause;
	bool fenced;

	if (is_probe_of_type1(phys, size))
		return;
	/* Fence first: finding the cause may wait. */
	fenced = flat_domain_fences(d) && fence_devices(d);
	spin_lock(&d->lock);
	flat_record(&d->histories, FLATIOMMU_EVENT_REFUSE, iova, phys, size);
	spin_unlock(&d->lock);
	cause = find_cause(d, iova, phys, size);
	trace_flat_refuse(d->name, iova, phys, size);
	count_refusal(d, cause);
	if (!may_log(d))
		return;
	if (causes[cause].tell_iova && iova < FLATIOMMU_LOOKUP_FIRST)
		snprintf(at, sizeof(at), " at IOVA %#llx", iova);
	pr_warn("%s: %s[%d] is refused a map of %zu bytes%s%s: %s; %s\n", d->name, current->comm,
		task_tgid_nr(current), size, at, fenced ? ", bus mastering is cleared" : "",
		causes[cause].text, causes[cause].cure);
}
