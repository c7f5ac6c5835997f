// SPDX-License-Identifier: GPL-2.0-only
/*
 * The paging domain: it maps nothing, it only accepts the maps that are true already, those whose
 * IOVA is the bus address of the memory, and those of programs that look the bus address up, and
 * remembers them. VFIO unpins what iova_to_phys() answers, so an address that is not mapped must
 * answer 0. What is pinned for it to hold (pin.c) is at no IOVA, and nobody asks for it.
 */
#include <linux/capability.h>
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "compat.h"
#include "declare.h"
#include "extent.h"
#include "flatiommu.h"
#include "lookup.h"
#include "pin.h"
#include "refusal.h"
#include "trace.h"

DEFINE_SPINLOCK(flat_attach_lock);

static struct flat_domain *to_flat_domain(struct iommu_domain *domain)
{
	return container_of(domain, struct flat_domain, domain);
}

/* Does @claim's function see memory as those before it, and do its MSIs go to where theirs go? */
static bool fits(const struct flat_domain *d, const struct flat_claim *claim)
{
	u64 doorbell = READ_ONCE(claim->doorbell);

	lockdep_assert_held(&d->lock);
	return flat_bus_map_fits(&d->bus_map, claim->pdev) &&
	       (!doorbell || doorbell == d->doorbell);
}

/* The first function attached says how the domain sees memory; the others must see it likewise. */
static int adopt_bus_map(struct flat_domain *d, struct flat_claim *claim)
{
	struct flat_bus_map map;
	bool known;
	int ret;

	/* An attach to what it was attached to before, after a reset, must not need memory. */
	spin_lock(&d->lock);
	known = d->bus_known;
	ret = known && !fits(d, claim) ? -EINVAL : 0;
	spin_unlock(&d->lock);
	if (known)
		return ret;

	ret = flat_bus_map_take(&map, claim->pdev);
	if (ret)
		return ret;
	spin_lock(&d->lock);
	if (!d->bus_known &&
	    (flat_bus_map_is_plain(&map) || RB_EMPTY_ROOT(&d->extents.root))) {
		swap(d->bus_map, map);
		d->doorbell = READ_ONCE(claim->doorbell);
		strscpy(d->name, pci_name(claim->pdev), sizeof(d->name));
		d->bus_known = true;
	} else if (!d->bus_known || !fits(d, claim)) {
		ret = -EINVAL;
	}
	spin_unlock(&d->lock);
	flat_bus_map_drop(&map);
	return ret;
}

/*
 * Must whoever programs @claim's function know that addresses in @d have to be looked up? Then only
 * who has declared so may join. What was blocked for a reset must be let back in; it has counted
 * among the functions in @d all the time. Caller holds flat_attach_lock.
 */
static bool admits(struct flat_domain *d, struct flat_claim *claim)
{
	bool may;

	lockdep_assert_held(&flat_attach_lock);
	spin_lock(&d->lock);
	may = !d->extents.lookup || claim->domain == d ||
	      flat_is_declared(claim, d->lookup_mm);
	spin_unlock(&d->lock);
	return may;
}

/**
 * flat_attach() - record what a function's DMA goes through from now on
 * @claim:	the function's
 * @attachment:	what
 * @domain:	with FLAT_PAGING, else NULL
 *
 * Returns 0, or -EINVAL where the function may not share what @domain has mapped.
 */
int flat_attach(struct flat_claim *claim, enum flat_attachment attachment,
		struct flat_domain *domain)
{
	struct mm_struct *old = NULL;
	int ret = 0;

	spin_lock(&flat_attach_lock);
	/* First: a map that goes by the answer from before is seen by admits(). */
	flat_declared_changes();
	if (domain && !admits(domain, claim)) {
		ret = -EINVAL;
		goto unlock;
	}
	claim->attachment = attachment;
	if (attachment == FLAT_IDENTITY) {
		swap(claim->owner, old);
	} else if (!claim->owner && current->mm && (domain || claim->judged)) {
		/* Who resets it does not have it. */
		claim->owner = current->mm;
		mmgrab(claim->owner);
	}
	/* Blocked for a reset, the function comes back to its domain. */
	if (attachment != FLAT_BLOCKED) {
		list_del_init(&claim->attached);
		/* It was paused with another one. */
		if (claim->domain != domain)
			claim->paused = false;
		claim->domain = domain;
	}
	if (domain)
		list_add_tail(&claim->attached, &domain->claims);
unlock:
	spin_unlock(&flat_attach_lock);
	if (old)
		mmdrop(old);
	return ret;
}

/*
 * Whoever takes ownership of the function may program it to write anywhere, with or without a
 * paging domain: VFIO's cdev opens a device with the blocked domain alone.
 */
bool flat_may_take_over(struct flat_claim *claim)
{
	struct pci_dev *pdev = claim->pdev;

	if (!capable(CAP_SYS_RAWIO)) {
		pr_warn_ratelimited("%s: %s[%d] may not take it over: that needs CAP_SYS_RAWIO in the initial user namespace\n",
				    pci_name(pdev), current->comm, task_tgid_nr(current));
		return false;
	}
	return !flat_locked_down(pdev);
}

/**
 * flat_pause() - stop a function that is being blocked
 * @claim:	the function's
 *
 * A mere look whether a function can be reset may block it and let it go on (see
 * flat_compat_reset_blocks()), while a program waits for its DMA.
 */
void flat_pause(struct flat_claim *claim)
{
	struct flat_domain *d;
	bool cleared;

	/* All at once: whoever stops it for good meanwhile would not be minded later. */
	spin_lock(&flat_attach_lock);
	cleared = flat_clear_master(claim->pdev);
	d = claim->domain;
	claim->paused = cleared && d && flat_compat_reset_blocks(claim->pdev);
	if (claim->paused) {
		spin_lock(&d->lock);
		claim->unmaps = d->unmaps;
		spin_unlock(&d->lock);
	}
	spin_unlock(&flat_attach_lock);
}

/*
 * A function that was paused, and comes back to all that was mapped then, goes on. Under the locks
 * of whoever stops it for good or unmaps: what is unmapped from here on is so while it runs.
 */
static void go_on(struct flat_claim *claim, struct flat_domain *d)
{
	spin_lock(&flat_attach_lock);
	spin_lock(&d->lock);
	if (claim->paused && claim->unmaps == d->unmaps)
		flat_set_master(claim->pdev);
	spin_unlock(&d->lock);
	claim->paused = false;
	spin_unlock(&flat_attach_lock);
}

static FLAT_ATTACH_DEV(flat_domain_attach)
{
	struct flat_claim *claim = dev_iommu_priv_get(dev);
	struct flat_domain *d = to_flat_domain(domain);
	int ret;

	/* VFIO comes by way of the blocked domain; vhost-vdpa, for one, does not. */
	if (!claim->judged && !flat_may_take_over(claim))
		return -EPERM;
	ret = adopt_bus_map(d, claim);
	if (ret == -EINVAL)
		pr_warn_ratelimited("%s: not attached: its bus addresses, or where its MSIs go, differ from those of what shares its address space\n",
				    pci_name(claim->pdev));
	if (ret)
		return ret;
	ret = flat_attach(claim, FLAT_PAGING, d);
	if (ret)
		return ret;
	claim->judged = true;
	go_on(claim, d);
	return 0;
}

/*
 * The maps that *@owner is for are the caller's from now on. A reference is held to the address
 * space, so that no other one can be mistaken for it. Returns the one before, to be dropped.
 */
static struct mm_struct *own(struct mm_struct **owner)
{
	struct mm_struct *old = *owner;

	if (old == current->mm)
		return NULL;
	if (current->mm)
		mmgrab(current->mm);
	*owner = current->mm;
	return old;
}

/*
 * A map at an IOVA that is looked up, by a program that has declared all functions in @d: nobody
 * else's look-up maps are there. Returns an address space to be dropped in *@old.
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
		*old = own(&d->lookup_mm);
	return ret;
}

/* The same, by a program that may have declared them; d->lock is not held. */
static int insert_undeclared(struct flat_domain *d, struct flat_extent *new, struct mm_struct **old)
{
	int ret = -EADDRNOTAVAIL;

	spin_lock(&flat_attach_lock);
	spin_lock(&d->lock);
	if (flat_all_declared(d, current->mm))
		ret = insert_lookup(d, new, old);
	spin_unlock(&d->lock);
	spin_unlock(&flat_attach_lock);
	return ret;
}

/* A map at its bus address. Returns an address space to be dropped in *@old. */
static int insert_strict(struct flat_domain *d, struct flat_extent *new, struct mm_struct **old)
{
	bool first = RB_EMPTY_ROOT(&d->extents.root) || !d->strict_mm;
	int ret;

	lockdep_assert_held(&d->lock);
	ret = flat_extents_insert(&d->extents, new);
	if (ret)
		return ret;
	if (first) {
		*old = own(&d->strict_mm);
		d->strict_mixed = false;
	} else if (d->strict_mm != current->mm) {
		d->strict_mixed = true;
	}
	return 0;
}

/*
 * The core maps it as a program asks for the first MSI, and never unmaps it. No program has it, and
 * messages are not moved on the bus by what moves memory.
 */
static bool is_doorbell(const struct flat_domain *d, u64 iova, phys_addr_t phys, size_t size)
{
	lockdep_assert_held(&d->lock);
	return d->doorbell && iova == d->doorbell && phys == iova && size == PAGE_SIZE;
}

/*
 * A page of zeros is refused at its own address, too: up to 6.1 that is what a read-only pin of
 * memory gets to which nothing was written yet, and the first write would go to another page.
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
	/* For an unmap out of the middle. VFIO's take from the ends, which needs none. */
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
	if (is_doorbell(d, iova, phys, size))
		ret = flat_extents_insert(&d->extents, new);
	else if (zero || bus == DMA_MAPPING_ERROR)
		ret = -EADDRNOTAVAIL;
	else if (bus == iova)
		ret = insert_strict(d, new, &old);
	else if (flat_was_declared(d, current->mm))
		ret = insert_lookup(d, new, &old);
	else
		asks = true;
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

static int flat_map_pages(struct iommu_domain *domain, unsigned long iova, phys_addr_t phys,
			  size_t pgsize, size_t pgcount, int prot, gfp_t gfp, size_t *mapped)
{
	struct flat_domain *d = to_flat_domain(domain);
	bool zero = FLAT_PINS_ZERO_PAGE && !(prot & IOMMU_WRITE) && flat_is_zero_page(phys);
	size_t size = pgsize * pgcount;
	int ret = insert(d, iova, phys, size, zero, gfp);

	if (!ret) {
		*mapped = size;
		trace_flat_map(d->name, iova, phys, size);
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
	struct flat_extent *gone = NULL;
	size_t unmapped;

	/* It may be all of memory, page by page. The core asks again for what is left. */
	spin_lock(&d->lock);
	unmapped = flat_extents_erase(&d->extents, iova, pgsize * pgcount, &gone);
	d->unmaps++;
	spin_unlock(&d->lock);
	flat_extent_free_list(gone);
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
 * For callers with CAP_SYS_RAWIO. The domain holds a reference to the module until it is freed.
 *
 * Returns the domain or an error pointer: -EPERM, -ENODEV when the module is going, -ENOMEM.
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
	spin_lock_init(&d->lock);
	strscpy(d->name, "no device", sizeof(d->name));
	ratelimit_state_init(&d->ratelimit, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);

	d->domain.type = IOMMU_DOMAIN_UNMANAGED;
	d->domain.ops = &flat_paging_ops;
	/* One size, so that one map call comes for a contiguous run, of whatever length. */
	d->domain.pgsize_bitmap = PAGE_SIZE;
	/* Below the last page: up to 6.17 type1 loses the pin of a map that ends at 2^64. */
	d->domain.geometry.aperture_end = (1ULL << 57) - 1;
	d->domain.geometry.force_aperture = true;
	return &d->domain;
}

static void free_domain(struct work_struct *work)
{
	struct flat_domain *d = container_of(work, struct flat_domain, free_work);

	WARN_ON_ONCE(!list_empty(&d->claims) || !list_empty(&d->pins));
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
 * The work puts the last reference to the module, and exit waits for its end. Whoever calls this
 * must not, as it would return to a module that is gone. Queueing is the last that it does here.
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

	/* Those that are blocked since. */
	spin_lock(&flat_attach_lock);
	list_for_each_entry_safe(claim, next, &d->claims, attached) {
		list_del_init(&claim->attached);
		claim->domain = NULL;
	}
	spin_unlock(&flat_attach_lock);
	flat_let_pins_go(d);
	flat_domain_put(d);
}

const struct iommu_domain_ops flat_paging_ops = {
	.attach_dev = flat_domain_attach,
	.map_pages = flat_map_pages,
	.unmap_pages = flat_unmap_pages,
	.iova_to_phys = flat_iova_to_phys,
	.free = flat_domain_free,
};

