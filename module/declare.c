// SPDX-License-Identifier: GPL-2.0-only
/* Which programs have declared to look addresses up, and for which functions. */
#include <linux/capability.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include <linux/flatiommu.h>

#include "declare.h"
#include "file.h"
#include "flatiommu.h"
#include "function.h"

/*
 * At most this many programs, besides the function's owner, may declare a function. Look-up maps
 * search the list of declarations under flat_attach_lock.
 */
#define MAX_DECLARATIONS 64

/**
 * struct flat_declaration - a program's statement that it looks addresses up for a function
 * @of_claim:	in @claim->declarations, unless @claim is NULL
 * @claim:	the function's claim, or NULL once it has ended
 * @mm:		the program's address space; the files hold a reference
 * @files:	number of open files that have this declaration; the last one frees it
 *
 * flat_attach_lock protects all fields.
 */
struct flat_declaration {
	struct list_head of_claim;
	struct flat_claim *claim;
	const struct mm_struct *mm;
	unsigned long files;
};

/**
 * struct flat_declared - a declaration in the list of a file
 * @entry:	in the file's list of declarations; flat_attach_lock
 * @decl:	the declaration; other files of the program may have it, too
 */
struct flat_declared {
	struct list_head entry;
	struct flat_declaration *decl;
};

/*
 * Number of changes to declarations and to the list of functions in any domain: each may change
 * the answer of flat_all_declared(). Written under flat_attach_lock.
 */
static u64 changes;

/*
 * Counts a change, just before declarations or a domain's claims change. Caller holds
 * flat_attach_lock.
 */
void flat_declared_changes(void)
{
	lockdep_assert_held(&flat_attach_lock);
	WRITE_ONCE(changes, changes + 1);
}

/* Returns the declaration of @mm, or NULL with *@n set to the number of declarations. */
static struct flat_declaration *find_declaration(const struct flat_claim *claim,
						 const struct mm_struct *mm, unsigned int *n)
{
	struct flat_declaration *decl;

	lockdep_assert_held(&flat_attach_lock);
	*n = 0;
	list_for_each_entry(decl, &claim->declarations, of_claim) {
		if (decl->mm == mm)
			return decl;
		++*n;
	}
	return NULL;
}

/* Has @mm declared to look addresses up for @claim's function? Caller holds flat_attach_lock. */
bool flat_is_declared(const struct flat_claim *claim, const struct mm_struct *mm)
{
	unsigned int n;

	return find_declaration(claim, mm, &n);
}

/*
 * Has flat_all_declared() found that @mm has declared all functions of @d, and has nothing changed
 * since? Maps ask this first, because it needs only d->lock.
 *
 * A function that joins @d is counted as a change before its attach takes d->lock. So a map that
 * does not see the new count is made before the attach, which then finds the map, see admits().
 */
bool flat_was_declared(const struct flat_domain *d, const struct mm_struct *mm)
{
	lockdep_assert_held(&d->lock);
	/*
	 * Equal pointers mean one address space: a file ends its declarations, which counts as a
	 * change, before it drops the reference to its address space.
	 */
	return mm && d->declared_mm == mm && d->declared_at == READ_ONCE(changes);
}

/*
 * Does @d have functions, and has @mm declared all of them? Caller holds flat_attach_lock and
 * d->lock.
 */
bool flat_all_declared(struct flat_domain *d, const struct mm_struct *mm)
{
	const struct flat_claim *claim;

	lockdep_assert_held(&flat_attach_lock);
	lockdep_assert_held(&d->lock);
	if (!mm || list_empty(&d->claims))
		return false;
	list_for_each_entry(claim, &d->claims, attached)
		if (!flat_is_declared(claim, mm))
			return false;
	d->declared_mm = mm;
	d->declared_at = changes;
	return true;
}

/*
 * Removes the declarations from a claim that ends. They exist until the files that have them are
 * closed.
 */
void flat_forget_declarations(struct flat_claim *claim)
{
	struct flat_declaration *decl, *next;

	spin_lock(&flat_attach_lock);
	flat_declared_changes();
	list_for_each_entry_safe(decl, next, &claim->declarations, of_claim) {
		list_del(&decl->of_claim);
		decl->claim = NULL;
	}
	spin_unlock(&flat_attach_lock);
}

/*
 * Moves all declarations of a file to @list, for free_declared(). With @ended, moves only
 * declarations whose claim has ended.
 */
static void unlink_declared(struct flat_file *f, bool ended, struct list_head *list)
{
	struct flat_declared *it, *next;

	flat_declared_changes();
	list_for_each_entry_safe(it, next, &f->declared, entry) {
		if (ended && it->decl->claim)
			continue;
		list_move(&it->entry, list);
		if (--it->decl->files)
			it->decl = NULL;
		else if (it->decl->claim)
			list_del(&it->decl->of_claim);
	}
}

static void free_declared(struct list_head *list)
{
	struct flat_declared *it, *next;

	list_for_each_entry_safe(it, next, list, entry) {
		kfree(it->decl);
		kfree(it);
	}
}

/* Ends the declarations of a file that is being closed. */
void flat_end_declarations(struct flat_file *f)
{
	LIST_HEAD(list);

	spin_lock(&flat_attach_lock);
	unlink_declared(f, false, &list);
	spin_unlock(&flat_attach_lock);
	free_declared(&list);
}

/* Returns the claim of @pdev if @pdev is declared through @f, or NULL. */
static struct flat_claim *declared_claim(struct flat_file *f, const struct pci_dev *pdev)
{
	struct flat_declared *it;

	lockdep_assert_held(&flat_attach_lock);
	list_for_each_entry(it, &f->declared, entry)
		if (it->decl->claim && it->decl->claim->pdev == pdev)
			return it->decl->claim;
	return NULL;
}

/* Is @pdev declared through @f? */
bool flat_has_declared(struct flat_file *f, struct pci_dev *pdev)
{
	bool declared;

	spin_lock(&flat_attach_lock);
	declared = declared_claim(f, pdev);
	spin_unlock(&flat_attach_lock);
	return declared;
}

/* Returns an entry for a file with a new declaration, or NULL if there is no memory. */
static struct flat_declared *new_declared(void)
{
	struct flat_declared *new = kmalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);

	if (!new)
		return NULL;
	new->decl = kzalloc(sizeof(*new->decl), GFP_KERNEL_ACCOUNT);
	if (!new->decl) {
		kfree(new);
		return NULL;
	}
	return new;
}

/*
 * Adds @new to the file's list. If the program has declared the function through another file,
 * @new gets that declaration, and *@spare gets the new one, to be freed. Returns whether the
 * function is newly declared.
 */
static bool link_declared(struct flat_file *f, struct flat_claim *claim, struct flat_declared *new,
			  struct flat_declaration **spare)
{
	struct flat_declaration *decl;
	unsigned int n;

	lockdep_assert_held(&flat_attach_lock);
	decl = find_declaration(claim, f->mm, &n);
	if (decl) {
		*spare = new->decl;
		new->decl = decl;
	} else {
		decl = new->decl;
		decl->claim = claim;
		decl->mm = f->mm;
		list_add(&decl->of_claim, &claim->declarations);
	}
	decl->files++;
	list_add(&new->entry, &f->declared);
	return decl->files == 1;
}

/* May this program have a declaration? The limit does not apply to the function's owner. */
static bool may_be_declared(struct flat_file *f, const struct flat_claim *claim)
{
	unsigned int n;

	return find_declaration(claim, f->mm, &n) || n < MAX_DECLARATIONS ||
	       claim->owner == f->mm;
}

/*
 * Declares all of @pdevs or, on an error, none.
 * @new:	an entry for each of @pdevs; set to NULL if it is used
 * @spares:	gets declarations that the caller frees
 * @n:		length of @pdevs, @new and @spares
 * @first:	gets a bit for each function that the program had not declared
 * @ended:	gets the file's declarations whose claim has ended
 */
static int declare_all(struct flat_file *f, struct pci_dev **pdevs, struct flat_declared **new,
		       struct flat_declaration **spares, unsigned int n, u64 *first,
		       struct list_head *ended)
{
	struct flat_claim *claim;
	unsigned int i;
	int ret = 0;

	mutex_lock(&flat_claims_lock);
	spin_lock(&flat_attach_lock);
	unlink_declared(f, true, ended);
	for (i = 0; i < n && !ret; i++) {
		claim = flat_claim_of(pdevs[i]);
		if (!claim)
			ret = -ENOENT;
		else if (!may_be_declared(f, claim))
			ret = -ENOSPC;
	}
	for (i = 0; i < n && !ret; i++) {
		if (declared_claim(f, pdevs[i]))
			continue;
		if (link_declared(f, flat_claim_of(pdevs[i]), new[i], &spares[i]))
			*first |= BIT_ULL(i);
		new[i] = NULL;
	}
	spin_unlock(&flat_attach_lock);
	mutex_unlock(&flat_claims_lock);
	return ret;
}

/* Memory that a DECLARE needs for each of its functions. */
struct declaring {
	struct flat_declared *new[FLATIOMMU_MAX_FUNCTIONS];
	struct flat_declaration *spares[FLATIOMMU_MAX_FUNCTIONS];
};

static int declare(struct flat_file *f, struct pci_dev **pdevs, unsigned int n)
{
	struct declaring *d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	LIST_HEAD(ended);
	unsigned int i;
	u64 first = 0;
	int ret = 0;

	if (!d)
		return -ENOMEM;
	for (i = 0; i < n && !ret; i++) {
		d->new[i] = new_declared();
		if (!d->new[i])
			ret = -ENOMEM;
		else if (flat_locked_down(pdevs[i]))
			ret = -EACCES;
		else if (flat_is_incoherent(pdevs[i], "not declared"))
			ret = -EPROTONOSUPPORT;
	}
	if (!ret)
		ret = declare_all(f, pdevs, d->new, d->spares, n, &first, &ended);
	for (i = 0; i < n; i++) {
		if (first & BIT_ULL(i))
			pr_info_ratelimited("%s: %s[%d] looks addresses up\n", pci_name(pdevs[i]),
					    current->comm, task_tgid_nr(current));
		if (d->new[i])
			kfree(d->new[i]->decl);
		kfree(d->new[i]);
		kfree(d->spares[i]);
	}
	free_declared(&ended);
	kfree(d);
	return ret;
}

/* FLATIOMMU_DECLARE */
int flat_declare(struct flat_file *f, struct flatiommu_declare *arg)
{
	struct pci_dev *pdevs[FLATIOMMU_MAX_FUNCTIONS];
	int ret;

	if (f->mm != current->mm || !capable(CAP_SYS_RAWIO))
		return -EPERM;
	ret = flat_get_functions(arg->functions, arg->nr_functions, pdevs);
	if (ret)
		return ret;
	ret = declare(f, pdevs, arg->nr_functions);
	flat_put_functions(pdevs, arg->nr_functions);
	return ret;
}

/*
 * Returns the domain of a function, which the caller puts, or an error pointer:
 * -ENODEV	the function is not declared through @f
 * -ENOENT	it is in no domain
 */
struct flat_domain *flat_declared_domain(struct flat_file *f, const struct pci_dev *pdev)
{
	struct flat_domain *d = ERR_PTR(-ENODEV);
	struct flat_claim *claim;

	spin_lock(&flat_attach_lock);
	claim = declared_claim(f, pdev);
	if (claim)
		d = claim->domain ? : ERR_PTR(-ENOENT);
	if (!IS_ERR(d))
		refcount_inc(&d->refs);
	spin_unlock(&flat_attach_lock);
	return d;
}

/**
 * flat_shared_domain() - the domain of functions that the program has through VFIO
 * @f:		the caller's file
 * @pdevs:	the functions
 * @n:		length of @pdevs, not 0
 *
 * Returns the domain, which the caller puts, or an error pointer:
 * -ENODEV	a function is not declared through @f
 * -EPERM	the program has not taken a function over
 * -ENOENT	the functions share no domain
 */
struct flat_domain *flat_shared_domain(struct flat_file *f, struct pci_dev **pdevs, unsigned int n)
{
	struct flat_domain *d = NULL;
	unsigned int i;
	int ret = 0;

	spin_lock(&flat_attach_lock);
	for (i = 0; i < n && !ret; i++) {
		struct flat_claim *claim = declared_claim(f, pdevs[i]);

		if (!claim)
			ret = -ENODEV;
		else if (claim->owner != f->mm)
			ret = -EPERM;
		else if (!claim->domain || (i && claim->domain != d))
			ret = -ENOENT;
		else
			d = claim->domain;
	}
	if (!ret)
		refcount_inc(&d->refs);
	spin_unlock(&flat_attach_lock);
	return ret ? ERR_PTR(ret) : d;
}
