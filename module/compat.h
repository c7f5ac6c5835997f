/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every difference between the kernels that flatiommu builds for, Linux 6.1 to 7.3. The HAVE_*
 * come from probe.sh.
 */
#ifndef FLATIOMMU_COMPAT_H
#define FLATIOMMU_COMPAT_H

#include <linux/acpi.h>
#include <linux/amba/bus.h>
#include <linux/device.h>
#include <linux/fsl/mc.h>
#include <linux/gfp.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/of.h>
#include <linux/of_device.h>
#include <linux/pci-ats.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/pm_runtime.h>
#include <linux/property.h>
#include <linux/slab.h>
#ifdef CONFIG_TEGRA_HOST1X_CONTEXT_BUS
#include <linux/host1x_context_bus.h>
#endif
#ifdef CONFIG_CDX_BUS
#include <linux/cdx/cdx_bus.h>
#endif

#ifdef FLATIOMMU_PROBES_FAILED
#error "probe.sh failed, see its message"
#endif
#ifndef CONFIG_64BIT
#error "an aperture of 57 bits needs a 64-bit kernel"
#endif

/* The head of an attach_dev() called @name: from 6.19 it is told the domain that it replaces. */
#ifdef HAVE_ATTACH_OLD_DOMAIN
#define FLAT_ATTACH_DEV(name) \
	int name(struct iommu_domain *domain, struct device *dev, struct iommu_domain *old)
#else
#define FLAT_ATTACH_DEV(name) \
	int name(struct iommu_domain *domain, struct device *dev)
#endif

/* The kernel's answer: 1 a reference was taken, 0 not active, -EINVAL runtime PM is off. */
static inline int flat_compat_pm_get_if_active(struct device *dev)
{
#ifdef HAVE_PM_GET_IF_ACTIVE_ONE_ARG
	return pm_runtime_get_if_active(dev);
#else
	return pm_runtime_get_if_active(dev, true);
#endif
}

/* Up to 6.1 a pin to read of memory that nothing was written to gets the page of zeros. */
#ifdef HAVE_GUP_READS_COW
#define FLAT_PINS_ZERO_PAGE true
#else
#define FLAT_PINS_ZERO_PAGE false
#endif

/*
 * How to pin a page to read: more flags for pin_user_pages_fast(), and for how many pages, up to
 * @n, they are right. Up to 6.1 such a pin gets the page that is there, which the first write of
 * the program may replace by one of its own; a pin to write makes that one, also where the program
 * may not write.
 */
static inline unsigned int flat_compat_pin_to_read(unsigned long addr, unsigned long *n)
{
	unsigned int flags = 0;
#ifdef HAVE_GUP_READS_COW
	struct vm_area_struct *vma;

	mmap_read_lock(current->mm);
	vma = find_vma(current->mm, addr);
	/* Below a stack, which grows; elsewhere there is nothing to pin. */
	if (!vma || vma->vm_start > addr) {
		flags = FOLL_WRITE;
	} else if (vma->vm_flags & VM_READ) {
		*n = min(*n, (vma->vm_end - addr) >> PAGE_SHIFT);
		if (vma->vm_flags & VM_WRITE && !(vma->vm_flags & VM_SHARED))
			flags = FOLL_WRITE;
		else if (!(vma->vm_flags & (VM_SHARED | VM_HUGETLB)))
			flags = FOLL_WRITE | FOLL_FORCE;
	}
	mmap_read_unlock(current->mm);
#endif
	return flags;
}

/*
 * Takes the pages from @start to @end, which are of one zone, each with a reference of its own, and
 * moves away what is there: 0, -EBUSY, -EINTR or another error. No memory cgroup is charged for
 * them.
 */
static inline int flat_compat_alloc_range(unsigned long start, unsigned long end)
{
#ifdef CONFIG_CONTIG_ALLOC
	const gfp_t gfp = GFP_KERNEL | __GFP_NOWARN | __GFP_RETRY_MAYFAIL;

#ifdef HAVE_ACR_FLAGS
	return alloc_contig_range(start, end, ACR_FLAGS_NONE, gfp);
#else
	return alloc_contig_range(start, end, MIGRATE_MOVABLE, gfp);
#endif
#else
	return -EOPNOTSUPP;
#endif
}

static inline void flat_compat_vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
#ifdef HAVE_VM_FLAGS_SET
	vm_flags_set(vma, flags);
#else
	vma->vm_flags |= flags;
#endif
}

/*
 * What the caller's memory cgroup is charged for @from, which it is charged for by itself, it is
 * charged for @to instead.
 */
static inline void flat_compat_move_charge(struct page *from, struct page *to)
{
#ifdef HAVE_MEMCG_DATA
	to->memcg_data = from->memcg_data;
	from->memcg_data = 0;
#endif
}

/*
 * Does a reset of @pdev, or a look whether it has one, attach the blocked domain, and then what was
 * attached before? It says nothing that tells it from somebody who takes the function over.
 */
static inline bool flat_compat_reset_blocks(struct pci_dev *pdev)
{
#ifdef HAVE_RESET_BLOCKS
	return pci_ats_supported(pdev);
#else
	return false;
#endif
}

/* Is @dev meant for a vfio driver? Caller holds device_lock(), which guards the older field. */
static inline bool flat_compat_override_is_vfio(struct pci_dev *pdev)
{
	bool vfio;

	device_lock_assert(&pdev->dev);
#ifdef HAVE_DEVICE_DRIVER_OVERRIDE
	spin_lock(&pdev->dev.driver_override.lock);
	vfio = pdev->dev.driver_override.name && strstr(pdev->dev.driver_override.name, "vfio");
	spin_unlock(&pdev->dev.driver_override.lock);
#else
	vfio = pdev->driver_override && strstr(pdev->driver_override, "vfio");
#endif
	return vfio;
}

/*
 * Has the IOMMU core been told of @pdev? A new function is found on the bus before that. Up to 6.3
 * the core does not see then that the function has got an IOMMU meanwhile: it asks for one, is told
 * that there is none, and frees what the other one stands on. Later kernels look.
 */
static inline bool flat_compat_is_added(struct pci_dev *pdev)
{
#ifdef HAVE_PCI_MATCH_DRIVER
	return pdev->match_driver;
#else
	return true;
#endif
}

/*
 * Finds out what firmware says of a function's DMA: whether an IOMMU is in front of it, which takes
 * it then, and whether it is coherent. On x86 that does not hang on the function, and from 6.15 on
 * it is known since the function was added; else the driver core asks no sooner than a driver
 * binds. Caller holds device_lock(), or no driver can bind yet. Returns 0, or -EPROBE_DEFER where
 * the IOMMU's driver is not there yet.
 */
static inline int flat_compat_configure_dma(struct pci_dev *pdev)
{
	int ret = 0;
#if !defined(CONFIG_X86) && !defined(HAVE_DOMAIN_COOKIE)
	struct device *bridge = &pci_find_host_bridge(pdev->bus)->dev;

	if (IS_ENABLED(CONFIG_OF) && bridge->parent && bridge->parent->of_node)
		ret = of_dma_configure_id(&pdev->dev, bridge->parent->of_node, true, NULL);
	else if (has_acpi_companion(bridge))
		ret = acpi_dma_configure_id(&pdev->dev, device_get_dma_attr(bridge), NULL);
	/* There is one while a driver is bound, which is given its own. */
	kfree(pdev->dev.dma_range_map);
	pdev->dev.dma_range_map = NULL;
#endif
	return ret;
}

/*
 * Must a domain that type1 makes be told where MSIs go? On x86 they go to a window that is no
 * memory's, and up to 6.14 nobody asks.
 */
static inline bool flat_compat_needs_doorbell(void)
{
#if !defined(CONFIG_X86) && defined(HAVE_DOMAIN_COOKIE)
	return IS_ENABLED(CONFIG_IRQ_MSI_IOMMU);
#else
	return false;
#endif
}

/*
 * iommu_device_register() for one function that may just be binding to its driver. From 6.15 the
 * core warns of a "late IOMMU probe" when it finds dev->driver set. It means drivers that may have
 * mapped something already; BUS_NOTIFY_BIND_DRIVER comes before the probe. Hidden, the core
 * configures the function's DMA a second time, which changes nothing, but for a copy of
 * dma_range_map that takes the place of the first one. Nobody else sets these fields meanwhile: the
 * caller holds device_lock(), or no driver can bind yet. Hidden wherever the one-driver rule is
 * gone (6.8), as the warning cannot be probed for.
 */
static inline int flat_compat_register(struct iommu_device *iommu, const struct iommu_ops *ops,
				       struct device *dev)
{
#ifndef HAVE_BUS_IOMMU_OPS
	const struct bus_dma_region *regions = dev->dma_range_map;
	struct device_driver *driver = dev->driver;
	int ret;

	WRITE_ONCE(dev->driver, NULL);
	ret = iommu_device_register(iommu, ops, NULL);
	WRITE_ONCE(dev->driver, driver);
	if (dev->dma_range_map != regions)
		kfree(regions);
	return ret;
#else
	return iommu_device_register(iommu, ops, NULL);
#endif
}

/* The buses whose devices the core asks our IOMMUs for; NULL behind the last one. */
static inline struct bus_type *flat_compat_bus(unsigned int i)
{
	static const struct bus_type *const buses[] = {
		&pci_bus_type,
		&platform_bus_type,
#ifdef CONFIG_ARM_AMBA
		&amba_bustype,
#endif
#ifdef CONFIG_FSL_MC_BUS
		&fsl_mc_bus_type,
#endif
#ifdef CONFIG_TEGRA_HOST1X_CONTEXT_BUS
		&host1x_context_device_bus_type,
#endif
#ifdef CONFIG_CDX_BUS
		&cdx_bus_type,
#endif
	};

	/* Newer kernels have them const. */
	return i < ARRAY_SIZE(buses) ? (struct bus_type *)buses[i] : NULL;
}

/*
 * Up to 6.7 the core leaves bus->iommu_ops behind on these buses when the last IOMMU unregisters,
 * and refuses every other IOMMU driver because of it. Caller excludes registrations.
 */
static inline void flat_compat_forget_ops(const struct iommu_ops *ops)
{
#ifdef HAVE_BUS_IOMMU_OPS
	struct bus_type *bus;
	unsigned int i;

	for (i = 0; (bus = flat_compat_bus(i)); i++)
		cmpxchg(&bus->iommu_ops, ops, NULL);
#endif
}

#endif /* FLATIOMMU_COMPAT_H */
