// SPDX-License-Identifier: GPL-2.0-only
/*
 * Look-up mode: who has declared to look addresses up, which IOVAs are for that, and the look-up.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/ioport.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <linux/flatiommu.h>

#include "file.h"
#include "flatiommu.h"
#include "lookup.h"
#include "segments.h"

/**
 * struct flat_declaration - a program looks addresses up for a function
 * @of_file:	in the file's declarations; flat_attach_lock
 * @of_claim:	in the claim's declarations; flat_attach_lock
 * @mm:		the program's address space, the file holds a reference
 * @claim:	the function's claim, which ends the declaration before it ends
 */
struct flat_declaration {
	struct list_head of_file;
	struct list_head of_claim;
	const struct mm_struct *mm;
	struct flat_claim *claim;
};

/* Has @mm declared to look addresses up for @claim's function? Caller holds flat_attach_lock. */
bool flat_is_declared(const struct flat_claim *claim, const struct mm_struct *mm)
{
	const struct flat_declaration *decl;

	list_for_each_entry(decl, &claim->declarations, of_claim)
		if (decl->mm == mm)
			return true;
	return false;
}

/* The same for all functions of @d, of which there is one at least. */
bool flat_all_declared(const struct flat_domain *d, const struct mm_struct *mm)
{
	const struct flat_claim *claim;

	list_for_each_entry(claim, &d->claims, attached)
		if (!flat_is_declared(claim, mm))
			return false;
	return mm && !list_empty(&d->claims);
}

/**
 * flat_is_lookup_iova() - is there nothing at these bus addresses?
 * @map:	how the functions of the domain see memory
 * @iova:	first byte
 * @size:	bytes
 *
 * Only then is a range good for looking up: who forgets to do so reaches nothing.
 */
bool flat_is_lookup_iova(const struct flat_bus_map *map, u64 iova, size_t size)
{
	const struct bus_dma_region *r = map->regions;

	for (; r && r->size; r++)
		if (iova < r->dma_start + r->size && r->dma_start < iova + size)
			return false;
	if (map->mmio_last && iova <= map->mmio_last)
		return false;
	/* Memory, PCI windows and whatever else has an address. */
	return region_intersects(iova, size, IORESOURCE_MEM, IORES_DESC_NONE) == REGION_DISJOINT;
}

static void unlink_declaration(struct flat_declaration *decl)
{
	list_del(&decl->of_file);
	list_del(&decl->of_claim);
	kfree(decl);
}

/* The claim ends. */
void flat_forget_declarations(struct flat_claim *claim)
{
	struct flat_declaration *decl, *next;

	spin_lock(&flat_attach_lock);
	list_for_each_entry_safe(decl, next, &claim->declarations, of_claim)
		unlink_declaration(decl);
	spin_unlock(&flat_attach_lock);
}

/* The file is closed. */
void flat_end_declarations(struct flat_file *f)
{
	struct flat_declaration *decl, *next;

	spin_lock(&flat_attach_lock);
	list_for_each_entry_safe(decl, next, &f->declarations, of_file)
		unlink_declaration(decl);
	spin_unlock(&flat_attach_lock);
}

/* Caller holds flat_attach_lock. */
static struct flat_declaration *find_declaration(struct flat_file *f, const struct pci_dev *pdev)
{
	struct flat_declaration *decl;

	list_for_each_entry(decl, &f->declarations, of_file)
		if (decl->claim->pdev == pdev)
			return decl;
	return NULL;
}

/* Is @pdev declared through @f? */
bool flat_has_declared(struct flat_file *f, struct pci_dev *pdev)
{
	bool declared;

	spin_lock(&flat_attach_lock);
	declared = find_declaration(f, pdev);
	spin_unlock(&flat_attach_lock);
	return declared;
}

/* Caller holds flat_claims_lock(). Takes @decl unless the function is declared already. */
static void link_declaration(struct flat_file *f, struct flat_claim *claim,
			     struct flat_declaration *decl)
{
	decl->claim = claim;
	decl->mm = f->mm;
	spin_lock(&flat_attach_lock);
	if (find_declaration(f, claim->pdev)) {
		kfree(decl);
	} else {
		list_add(&decl->of_file, &f->declarations);
		list_add(&decl->of_claim, &claim->declarations);
		pr_info("%s: %s[%d] looks addresses up\n", pci_name(claim->pdev), current->comm,
			task_tgid_nr(current));
	}
	spin_unlock(&flat_attach_lock);
}

static int declare_all(struct flat_file *f, struct pci_dev **pdevs,
		       struct flat_declaration **decls, unsigned int n)
{
	unsigned int i;
	int ret = 0;

	flat_claims_lock();
	for (i = 0; i < n && !ret; i++)
		if (!flat_claim_of(pdevs[i]))
			ret = -ENOENT;
	for (i = 0; i < n && !ret; i++) {
		link_declaration(f, flat_claim_of(pdevs[i]), decls[i]);
		decls[i] = NULL;
	}
	flat_claims_unlock();
	return ret;
}

/* FLATIOMMU_DECLARE */
int flat_declare(struct flat_file *f, struct flatiommu_declare *arg)
{
	struct flat_declaration *decls[FLATIOMMU_MAX_FUNCTIONS] = { };
	struct pci_dev *pdevs[FLATIOMMU_MAX_FUNCTIONS];
	unsigned int i, n = arg->nr_functions;
	int ret;

	if (f->mm != current->mm || !capable(CAP_SYS_RAWIO))
		return -EPERM;
	ret = flat_get_functions(arg->functions, n, pdevs);
	if (ret)
		return ret;
	for (i = 0; i < n && !ret; i++) {
		decls[i] = kmalloc(sizeof(*decls[i]), GFP_KERNEL_ACCOUNT);
		if (!decls[i])
			ret = -ENOMEM;
		else if (flat_locked_down(pdevs[i]))
			ret = -EACCES;
	}
	if (!ret)
		ret = declare_all(f, pdevs, decls, n);
	for (i = 0; i < n; i++)
		kfree(decls[i]);
	flat_put_functions(pdevs, n);
	return ret;
}

/* The domain of a function that is declared through @f; the caller puts it. */
static struct flat_domain *get_domain(struct flat_file *f, const struct pci_dev *pdev)
{
	struct flat_domain *d = ERR_PTR(-ENODEV);
	struct flat_declaration *decl;

	spin_lock(&flat_attach_lock);
	decl = find_declaration(f, pdev);
	if (decl)
		d = decl->claim->domain ? : ERR_PTR(-ENOENT);
	if (!IS_ERR(d))
		refcount_inc(&d->refs);
	spin_unlock(&flat_attach_lock);
	return d;
}

/* How many extents are looked at without a chance for maps and unmaps. */
#define EXTENTS_AT_ONCE 256

/*
 * Adds what is mapped from @start on, up to @length bytes. Returns the bytes added, which are less
 * at a hole, when @s is full, or after EXTENTS_AT_ONCE. What is mapped has a bus address.
 */
static u64 add_extents(struct flat_domain *d, u64 start, u64 length, struct flat_segments *s)
{
	unsigned int budget = EXTENTS_AT_ONCE;
	struct flat_extent *e;
	u64 done = 0;

	spin_lock(&d->lock);
	for (e = flat_extents_find(&d->extents, start);
	     e && done < length && budget-- && e->iova <= start + done;
	     e = flat_extents_next(e)) {
		u64 size = min(e->last - (start + done) + 1, length - done);
		phys_addr_t phys = e->phys + (start + done - e->iova);
		dma_addr_t bus = flat_bus_address(&d->bus_map, phys, size);

		if (bus == DMA_MAPPING_ERROR || !flat_segments_add(s, bus, phys, size))
			break;
		done += size;
	}
	spin_unlock(&d->lock);
	return done;
}

/* FLATIOMMU_LOOKUP of an IOVA */
int flat_lookup_iova(struct flat_file *f, struct flatiommu_lookup *arg)
{
	struct flat_segments s;
	struct flat_domain *d;
	struct pci_dev *pdev;
	u64 done = 0, n;
	int ret;

	if (f->mm != current->mm)
		return -EPERM;
	ret = flat_get_function(&arg->function, &pdev);
	if (ret)
		return ret;
	ret = flat_segments_begin(&s, arg);
	if (ret)
		goto put_function;
	d = get_domain(f, pdev);
	if (IS_ERR(d)) {
		ret = flat_segments_end(&s, arg, 0, PTR_ERR(d));
		goto put_function;
	}
	/* The array is written with no lock held: a page fault may take as long as it likes. */
	do {
		n = add_extents(d, arg->start + done, arg->length - done, &s);
		done += n;
		ret = flat_segments_flush(&s, false);
		cond_resched();
		if (fatal_signal_pending(current))
			ret = -EINTR;
	} while (!ret && n && done < arg->length);
	ret = flat_segments_end(&s, arg, done, ret);
	flat_domain_put(d);
put_function:
	pci_dev_put(pdev);
	return ret;
}
