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

	lockdep_assert_held(&flat_attach_lock);
	list_for_each_entry(decl, &claim->declarations, of_claim)
		if (decl->mm == mm)
			return true;
	return false;
}

/* The same for all functions of @d, of which there is one at least. */
bool flat_all_declared(const struct flat_domain *d, const struct mm_struct *mm)
{
	const struct flat_claim *claim;

	lockdep_assert_held(&flat_attach_lock);
	list_for_each_entry(claim, &d->claims, attached)
		if (!flat_is_declared(claim, mm))
			return false;
	return mm && !list_empty(&d->claims);
}

static void unlink_declaration(struct flat_declaration *decl)
{
	lockdep_assert_held(&flat_attach_lock);
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

	lockdep_assert_held(&flat_attach_lock);
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
	flat_assert_claims_locked();
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
struct flat_domain *flat_declared_domain(struct flat_file *f, const struct pci_dev *pdev)
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
