// SPDX-License-Identifier: GPL-2.0-only
/*
 * BARs that are write-combined while their function is claimed.
 *
 * With PAT, x86 gives all mappings of a physical range the memory type of the first one. While the
 * module holds a write-combined mapping of a BAR (the alias), a request for an uncached mapping
 * returns a write-combined one, for vfio-pci and its programs as well as for a kernel driver.
 *
 * The alias is never read or written. It stays where the BAR was at the claim, so a BAR must be
 * resized before the claim.
 */
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/pci.h>

#include "flatiommu.h"
#include "wc.h"

#ifdef CONFIG_X86
#include <asm/memtype.h>
#include <asm/pgtable_types.h>

static bool can_write_combine(void)
{
	return pat_enabled();
}

/* ioremap_wc() also succeeds with an uncached mapping, if another mapping is uncached. */
static bool is_write_combined(void __iomem *alias)
{
	unsigned long wanted = cachemode2protval(_PAGE_CACHE_MODE_WC), mask = _PAGE_CACHE_MASK;
	unsigned int level;
	pte_t *pte = lookup_address((unsigned long __force)alias, &level);

	if (!pte)
		return false;
	if (level != PG_LEVEL_4K) {
		wanted = protval_4k_2_large(wanted);
		mask = _PAGE_LARGE_CACHE_MASK;
	}
	return (pte_val(*pte) & mask) == wanted;
}
#else
static bool can_write_combine(void)
{
	return false;
}

static bool is_write_combined(void __iomem *alias)
{
	return false;
}
#endif

/* Returns true also if it cannot tell: a read from a function in D3cold returns all ones. */
static bool may_have_msix_table(struct pci_dev *pdev, int bar)
{
	u32 table;

	if (!pdev->msix_cap)
		return false;
	pci_read_config_dword(pdev, pdev->msix_cap + PCI_MSIX_TABLE, &table);
	return PCI_POSSIBLE_ERROR(table) || (table & PCI_MSIX_TABLE_BIR) == bar;
}

/* Returns why a BAR must not be write-combined, or NULL. */
static const char *not_combinable(struct pci_dev *pdev, int bar)
{
	const struct resource *r = &pdev->resource[bar];

	if (!r->flags && bar && r[-1].flags & IORESOURCE_MEM_64)
		return "it is the upper half of the one before it";
	if (r->flags & IORESOURCE_IO)
		return "it is not memory";
	/* The kernel may have cleared the resource of a BAR that it found no room for. */
	if (!(r->flags & IORESOURCE_MEM) || r->flags & IORESOURCE_UNSET || !r->parent)
		return "there is none, or it has no address";
	/* The kernel writes to the MSI-X table, and does not expect combined writes. */
	if (may_have_msix_table(pdev, bar))
		return "the MSI-X table is in it, or the function is asleep";
	/* The memory type applies to whole pages. */
	if (!PAGE_ALIGNED(r->start) || !PAGE_ALIGNED(resource_size(r)))
		return "it may share a page with something else";
	if (!(r->flags & IORESOURCE_PREFETCH))
		return "it is not prefetchable";
	return NULL;
}

static int cannot_hold(struct pci_dev *pdev, int bar, const char *why, int error)
{
	pr_warn("%s: not claimed: BAR %d cannot be write-combined: %s\n", pci_name(pdev), bar, why);
	return error;
}

static int hold_bar(struct flat_claim *claim, int bar)
{
	struct flat_wc_bar wc = {
		.start = pci_resource_start(claim->pdev, bar),
		.size = pci_resource_len(claim->pdev, bar),
	};
	struct pci_dev *pdev = claim->pdev;
	const char *why;

	if (!can_write_combine())
		return cannot_hold(pdev, bar, "that needs an x86 processor, and PAT switched on",
				   -EOPNOTSUPP);
	why = not_combinable(pdev, bar);
	if (why)
		return cannot_hold(pdev, bar, why, -ENXIO);
	wc.alias = ioremap_wc(wc.start, wc.size);
	if (!wc.alias)
		return cannot_hold(pdev, bar,
				   "the kernel cannot map it; programs may have parts of it mapped",
				   -ENOMEM);
	if (!is_write_combined(wc.alias)) {
		iounmap(wc.alias);
		return cannot_hold(pdev, bar,
				   "it is mapped uncached already, by a program through sysfs perhaps",
				   -EADDRINUSE);
	}
	claim->wc[bar] = wc;
	return 0;
}

/**
 * flat_wc_hold() - make BARs write-combined for all later mappings
 * @claim:	has made no BAR write-combined yet; no driver has mapped one. Caller holds
 *		flat_claims_lock
 * @bars:	a bit for each BAR
 *
 * Returns 0, or logs the BAR and the reason, makes no BAR write-combined and returns
 * -EOPNOTSUPP		no x86, or no PAT
 * -ENXIO		not a memory BAR with an address, not prefetchable, or it must stay uncached
 * -EADDRINUSE		it is mapped uncached already
 * -ENOMEM		it cannot be mapped
 */
int flat_wc_hold(struct flat_claim *claim, unsigned long bars)
{
	int bar, ret;

	lockdep_assert_held(&flat_claims_lock);
	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
		if (!(bars & BIT(bar)))
			continue;
		ret = hold_bar(claim, bar);
		if (ret) {
			flat_wc_release(claim);
			return ret;
		}
	}
	return 0;
}

/*
 * Warns if a BAR is still write-combined: a program's mapping through sysfs keeps the type, and
 * some kernels, among them 6.1 and 6.12, leak the range when a program unmaps a BAR in parts.
 */
static void warn_if_it_stays(struct flat_claim *claim, int bar)
{
	void __iomem *probe = ioremap(claim->wc[bar].start, claim->wc[bar].size);

	if (!probe)
		return;
	if (is_write_combined(probe))
		pr_warn("%s: BAR %d stays write-combined after its claim: a program has it mapped through sysfs, or the kernel has leaked a mapping of it\n",
			pci_name(claim->pdev), bar);
	iounmap(probe);
}

/* Ends the write combining. The function has no driver any more. Caller holds flat_claims_lock. */
void flat_wc_release(struct flat_claim *claim)
{
	int bar;

	lockdep_assert_held(&flat_claims_lock);
	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
		if (!claim->wc[bar].alias)
			continue;
		iounmap(claim->wc[bar].alias);
		claim->wc[bar].alias = NULL;
		warn_if_it_stays(claim, bar);
	}
}

static bool is_where_it_was(const struct flat_claim *claim, int bar)
{
	return claim->wc[bar].start == pci_resource_start(claim->pdev, bar) &&
	       claim->wc[bar].size == pci_resource_len(claim->pdev, bar);
}

/*
 * Returns a bit for each BAR that the claim has made write-combined, and that was not moved or
 * resized since. Caller holds flat_claims_lock.
 */
unsigned long flat_wc_bars(const struct flat_claim *claim)
{
	unsigned long bars = 0;
	int bar;

	lockdep_assert_held(&flat_claims_lock);
	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++)
		if (claim->wc[bar].alias && is_where_it_was(claim, bar))
			bars |= BIT(bar);
	return bars;
}
