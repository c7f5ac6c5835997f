// SPDX-License-Identifier: GPL-2.0-only
/*
 * The paging domain. It translates nothing. It accepts and remembers bus-address maps, whose IOVA
 * is the bus address of the memory, and look-up maps, of programs that look the bus address up.
 * VFIO unpins each page that iova_to_phys() returns, so iova_to_phys() returns 0 for an IOVA that
 * is not mapped. Pins that belong to a domain (pin.c) have no IOVA.
 */
#include <linux/capability.h>
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "attach.h"
#include "compat.h"
#include "declare.h"
#include "extent.h"
#include "flatiommu.h"
#include "history.h"
#include "hold.h"
#include "lookup.h"
#include "pin.h"
#include "refusal.h"
#include "trace.h"

/*
 * Sets *@mapper to the caller's address space. The reference keeps another address space from being
 * mistaken for it. Returns the previous address space, which the caller drops, or NULL.
 */
static struct mm_struct *set_mapper(struct mm_struct **mapper)
{
	struct mm_struct *old = *mapper;

	if (old == current->mm)
		return NULL;
	if (current->mm)
		mmgrab(current->mm);
	*mapper = current->mm;
	return old;
}

/*
 * Inserts a look-up map of a program that has declared all functions in @d. Only one program may
 * have look-up maps in a domain. If another program maps now, sets *@old to the previous one, which
 * the caller drops.
 */
static int insert_lookup(struct flat_domain *d, struct flat_extent *new, struct mm_struct **old)
{
	int ret;

	lockdep_assert_held(&d->lock);
	if (!flat_is_lookup_iova(d, new->iova, new->last - new->iova + 1) ||
	    (d->extents.lookup && d->lookup_mm != current->mm))
		return -EADDRNOTAVAIL;
	new->lookup = true;
	ret = flat_extents_insert(&d->extents, new);
	if (!ret)
		*old = set_mapper(&d->lookup_mm);
	return ret;
}

static void record_map(struct flat_domain *d, const struct flat_extent *new)
{
	lockdep_assert_held(&d->lock);
	flat_record(&d->histories, FLATIOMMU_EVENT_MAP, new->iova, new->phys,
		    new->last - new->iova + 1);
}

/*
 * As insert_lookup(), if flat_was_declared() has returned false: searches the lists of declarations
 * first, and records the map. Caller does not hold d->lock.
 */
static int insert_undeclared(struct flat_domain *d, struct flat_extent *new, struct mm_struct **old)
{
	int ret = -EADDRNOTAVAIL;

	spin_lock(&flat_attach_lock);
	spin_lock(&d->lock);
	if (flat_all_declared(d, current->mm))
		ret = insert_lookup(d, new, old);
	if (!ret)
		record_map(d, new);
	spin_unlock(&d->lock);
	spin_unlock(&flat_attach_lock);
	return ret;
}

/*
 * Inserts a bus-address map. If another program maps now, sets *@old to the previous one, which the
 * caller drops.
 */
static int insert_strict(struct flat_domain *d, struct flat_extent *new, struct mm_struct **old)
{
	bool first = RB_EMPTY_ROOT(&d->extents.root) || !d->strict_mm;
	int ret;

	lockdep_assert_held(&d->lock);
	ret = flat_extents_insert(&d->extents, new);
	if (ret)
		return ret;
	if (first) {
		*old = set_mapper(&d->strict_mm);
		d->strict_mixed = false;
	} else if (d->strict_mm != current->mm) {
		d->strict_mixed = true;
	}
	return 0;
}

/*
 * Inserts a map. Refuses the zero page (@zero) even at its own bus address: up to 6.1 a read-only
 * pin of memory that was never written to gets that page, and the program's first write then goes
 * to another one.
 */
static int insert(struct flat_domain *d, u64 iova, phys_addr_t phys, size_t size, bool zero,
		  gfp_t gfp)
{
	struct flat_extent *new, *spare = NULL;
	struct mm_struct *old = NULL;
	bool asks = false;
	int ret = -ENOMEM;
	dma_addr_t bus;

	new = flat_extent_alloc(gfp | __GFP_ACCOUNT);
	if (!new)
		return ret;
	/* An unmap from the middle of an extent needs the spare. VFIO unmaps from the ends. */
	if (!READ_ONCE(d->extents.spare)) {
		spare = flat_extent_alloc(gfp | __GFP_ACCOUNT);
		if (!spare)
			goto free;
	}
	new->iova = iova;
	new->last = iova + size - 1;
	new->phys = phys;
	new->lookup = false;

	spin_lock(&d->lock);
	bus = flat_bus_address(&d->bus_map, phys, size);
	if (zero || bus == DMA_MAPPING_ERROR)
		ret = -EADDRNOTAVAIL;
	else if (bus == iova)
		ret = insert_strict(d, new, &old);
	else if (flat_was_declared(d, current->mm))
		ret = insert_lookup(d, new, &old);
	else
		asks = true;
	if (!ret)
		record_map(d, new);
	if (!d->extents.spare)
		swap(d->extents.spare, spare);
	spin_unlock(&d->lock);
	if (asks)
		ret = insert_undeclared(d, new, &old);
	if (old)
		mmdrop(old);
	if (!ret)
		new = NULL;
free:
	flat_extent_free(spare);
	flat_extent_free(new);
	return ret;
}

/*
 * Is this the map of a doorbell? The core makes that map when a program enables the first MSI, and
 * iommufd also before it attaches a function that has used MSIs. The core neither unmaps it nor
 * asks where it is, and it belongs to no program: so it is no extent. Memory of programs is mapped
 * without IOMMU_MMIO.
 */
static bool is_doorbell(u64 iova, phys_addr_t phys, size_t size, int prot)
{
	return flat_compat_needs_doorbell() && prot & IOMMU_MMIO && phys == iova &&
	       size == PAGE_SIZE && flat_is_doorbell(iova);
}

/*
 * Is this the map of another doorbell than the domain's? If a GICv2m frame has no vector left, its
 * driver takes one of the next frame. The core chooses the IOVAs: the domain's doorbell for the
 * first one, and a page more for each other one.
 */
static bool is_other_doorbell(const struct flat_domain *d, u64 iova, size_t size, int prot)
{
	u64 doorbell = READ_ONCE(d->doorbell);

	return flat_compat_needs_doorbell() && prot & IOMMU_MMIO && size == PAGE_SIZE && doorbell &&
	       iova >= doorbell && iova - doorbell < 64 * PAGE_SIZE;
}

static int flat_map_pages(struct iommu_domain *domain, unsigned long iova, phys_addr_t phys,
			  size_t pgsize, size_t pgcount, int prot, gfp_t gfp, size_t *mapped)
{
	struct flat_domain *d = to_flat_domain(domain);
	bool zero = FLAT_PINS_ZERO_PAGE && !(prot & IOMMU_WRITE) && flat_is_zero_page(phys);
	size_t size = pgsize * pgcount;
	int ret;

	if (is_doorbell(iova, phys, size, prot)) {
		*mapped = size;
		return 0;
	}
	ret = insert(d, iova, phys, size, zero, gfp);
	if (!ret) {
		*mapped = size;
		trace_flat_map(d->name, iova, phys, size);
	} else if (ret == -EADDRNOTAVAIL && is_other_doorbell(d, iova, size, prot)) {
		/* The program did not ask for it, and gets no MSIs. */
		pr_warn_ratelimited("%s: no MSIs for %s[%d]: no vector is left of the page that its MSIs go to; bind the function again\n",
				    d->name, current->comm, task_tgid_nr(current));
	} else if (ret == -EADDRNOTAVAIL) {
		flat_refuse(d, iova, phys, size);
	} else {
		flat_map_failed(d, size, ret);
	}
	return ret;
}

static size_t flat_unmap_pages(struct iommu_domain *domain, unsigned long iova, size_t pgsize,
			       size_t pgcount, struct iommu_iotlb_gather *gather)
{
	struct flat_domain *d = to_flat_domain(domain);
	struct flat_erased erased = { .parts = flat_domain_holds(d) };
	size_t unmapped;

again:
	/* This may return early, as the range can be all of memory: the core calls again. */
	spin_lock(&d->lock);
	unmapped = flat_extents_erase(&d->extents, iova, pgsize * pgcount, &d->histories,
				      &erased);
	d->unmaps++;
	spin_unlock(&d->lock);
	if (erased.parts && !unmapped && !erased.part) {
		/* Rare, as VFIO mostly unmaps whole extents. An unmap must not fail. */
		erased.part = flat_extent_alloc(GFP_KERNEL | __GFP_NOFAIL);
		goto again;
	}
	flat_extent_free(erased.part);
	/* Ask after the erase: from then on go_on() starts no function that was paused before. */
	if (erased.parts && flat_is_attached(d)) {
		flat_hold_extents(d, erased.gone);
		flat_hold_limit_domain(d);
	} else {
		flat_extent_free_list(erased.gone);
	}
	cond_resched();
	trace_flat_unmap(d->name, iova, unmapped);
	return unmapped;
}

static phys_addr_t flat_iova_to_phys(struct iommu_domain *domain, dma_addr_t iova)
{
	struct flat_domain *d = to_flat_domain(domain);
	struct flat_extent *e;
	phys_addr_t phys = 0;

	spin_lock(&d->lock);
	e = flat_extents_find(&d->extents, iova);
	if (e)
		phys = e->phys + (iova - e->iova);
	spin_unlock(&d->lock);
	return phys;
}

/**
 * flat_domain_alloc() - make a paging domain
 *
 * The domain holds a reference to the module until it is freed.
 *
 * Returns the domain or an error pointer:
 * -EPERM	the caller has no CAP_SYS_RAWIO
 * -ENODEV	the module is being unloaded
 * -ENOMEM	no memory
 */
struct iommu_domain *flat_domain_alloc(void)
{
	struct flat_domain *d;

	if (!capable(CAP_SYS_RAWIO))
		return ERR_PTR(-EPERM);
	if (!try_module_get(THIS_MODULE))
		return ERR_PTR(-ENODEV);
	d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	if (!d) {
		module_put(THIS_MODULE);
		return ERR_PTR(-ENOMEM);
	}
	refcount_set(&d->refs, 1);
	INIT_LIST_HEAD(&d->claims);
	INIT_LIST_HEAD(&d->pins);
	INIT_LIST_HEAD(&d->histories);
	spin_lock_init(&d->lock);
	flat_hold_init(&d->hold, d);
	strscpy(d->name, "no function", sizeof(d->name));
	ratelimit_state_init(&d->ratelimit, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);

	d->domain.type = IOMMU_DOMAIN_UNMANAGED;
	d->domain.ops = &flat_paging_ops;
	/* One size, so that the core makes one map call for contiguous memory of any length. */
	d->domain.pgsize_bitmap = PAGE_SIZE;
	/*
	 * The aperture ends before 2^64: up to 6.17 type1 never unpins a map that ends there. A
	 * virtual address has at most 57 bits, with five levels of page tables.
	 */
	d->domain.geometry.aperture_end = (1ULL << 57) - 1;
	d->domain.geometry.force_aperture = true;
	return &d->domain;
}

static void free_domain(struct work_struct *work)
{
	struct flat_domain *d = container_of(work, struct flat_domain, free_work);
	struct flat_history *h;

	spin_lock(&flat_attach_lock);
	while ((h = list_first_entry_or_null(&d->histories, struct flat_history, of_domain)))
		flat_history_leave(h);
	spin_unlock(&flat_attach_lock);
	WARN_ON_ONCE(!list_empty(&d->claims) || !list_empty(&d->pins));
	WARN_ON_ONCE(!list_empty(&d->hold.items) || !list_empty(&d->hold.walked));
	flat_extents_free(&d->extents);
	if (d->lookup_mm)
		mmdrop(d->lookup_mm);
	if (d->strict_mm)
		mmdrop(d->strict_mm);
	flat_bus_map_drop(&d->bus_map);
	kfree(d);
	module_put(THIS_MODULE);
}

/*
 * Drops a reference. After the last one, a work item frees the domain and drops its reference to
 * the module; the module's exit waits for that. If this function did so itself, it might return
 * into code that is unloaded.
 */
void flat_domain_put(struct flat_domain *d)
{
	if (!refcount_dec_and_test(&d->refs))
		return;
	INIT_WORK(&d->free_work, free_domain);
	queue_work(flat_wq, &d->free_work);
}

static void flat_domain_free(struct iommu_domain *domain)
{
	struct flat_domain *d = to_flat_domain(domain);
	struct flat_claim *claim, *next;

	/* The list may have blocked functions, which would have returned to this domain. */
	spin_lock(&flat_attach_lock);
	list_for_each_entry_safe(claim, next, &d->claims, attached)
		flat_leave_domain(claim);
	spin_unlock(&flat_attach_lock);
	flat_let_pins_go(d);
	flat_hold_end(&d->hold);
	flat_domain_put(d);
}

const struct iommu_domain_ops flat_paging_ops = {
	.attach_dev = flat_domain_attach,
	.map_pages = flat_map_pages,
	.unmap_pages = flat_unmap_pages,
	.iova_to_phys = flat_iova_to_phys,
	.free = flat_domain_free,
};

