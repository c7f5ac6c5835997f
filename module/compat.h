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
#include <linux/dma-buf.h>
#include <linux/dma-map-ops.h>
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

/* The head of an attach_dev() called @name: from 6.19 it has one more argument, the old domain. */
#ifdef HAVE_ATTACH_OLD_DOMAIN
#define FLAT_ATTACH_DEV(name) \
	int name(struct iommu_domain *domain, struct device *dev, struct iommu_domain *old)
#else
#define FLAT_ATTACH_DEV(name) \
	int name(struct iommu_domain *domain, struct device *dev)
#endif

/* Returns 1 and takes a reference, 0 if @dev is not active, or -EINVAL if runtime PM is off. */
static inline int flat_compat_pm_get_if_active(struct device *dev)
{
#ifdef HAVE_PM_GET_IF_ACTIVE_ONE_ARG
	return pm_runtime_get_if_active(dev);
#else
	return pm_runtime_get_if_active(dev, true);
#endif
}

/* Up to 6.1 a read-only pin of memory that was never written to gets the zero page. */
#ifdef HAVE_GUP_READS_COW
#define FLAT_PINS_ZERO_PAGE true
#else
#define FLAT_PINS_ZERO_PAGE false
#endif

/*
 * Returns extra pin_user_pages_fast() flags for a read-only pin at @addr, and lowers *@n to the
 * pages that they apply to. Up to 6.1 a read-only pin does not break copy-on-write, so the
 * program's next write would replace the pinned page. So pin for writing, with FOLL_FORCE if the
 * program may not write.
 */
static inline unsigned int flat_compat_pin_to_read(unsigned long addr, unsigned long *n)
{
	unsigned int flags = 0;
#ifdef HAVE_GUP_READS_COW
	struct vm_area_struct *vma;

	mmap_read_lock(current->mm);
	addr = untagged_addr(addr);
	vma = find_vma(current->mm, addr);
	/* @addr may be below a stack, which the pin makes grow. Otherwise the pin fails. */
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
 * Allocates the pages from @start to @end, which must be of one zone, by moving their contents
 * away. Each page gets a reference of its own. No memory cgroup is charged for them. Returns 0,
 * -EBUSY, -EINTR, -EOPNOTSUPP if the kernel has no such function, or another error.
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

/* Marks @dev as coherent with the processor's caches, if the kernel keeps that for each device. */
static inline void flat_compat_set_coherent(struct device *dev)
{
#if defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE) || defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_CPU) || \
	defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_CPU_ALL)
#ifdef HAVE_SET_DMA_COHERENT
	dev_set_dma_coherent(dev);
#else
	dev->dma_coherent = true;
#endif
#endif
}

#ifdef CONFIG_DMA_SHARED_BUFFER
/*
 * Up to 6.1 a dma-buf has no lock that an importer takes, and no functions called *_unlocked.
 * Updates of 6.1 have these functions, too.
 */
static inline struct sg_table *flat_compat_dmabuf_map(struct dma_buf_attachment *attachment,
						      enum dma_data_direction direction)
{
#ifdef HAVE_DMA_BUF_UNLOCKED
	return dma_buf_map_attachment_unlocked(attachment, direction);
#else
	return dma_buf_map_attachment(attachment, direction);
#endif
}

static inline void flat_compat_dmabuf_unmap(struct dma_buf_attachment *attachment,
					    struct sg_table *sgt, enum dma_data_direction direction)
{
#ifdef HAVE_DMA_BUF_UNLOCKED
	dma_buf_unmap_attachment_unlocked(attachment, sgt, direction);
#else
	dma_buf_unmap_attachment(attachment, sgt, direction);
#endif
}
#endif

static inline void flat_compat_vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
#ifdef HAVE_VM_FLAGS_SET
	vm_flags_set(vma, flags);
#else
	vma->vm_flags |= flags;
#endif
}

/*
 * Moves the charge for @from to @to. @from is a single page, charged to the caller's memory cgroup;
 * @to is not charged yet.
 */
static inline void flat_compat_move_charge(struct page *from, struct page *to)
{
#ifdef HAVE_MEMCG_DATA
	to->memcg_data = from->memcg_data;
	from->memcg_data = 0;
#endif
}

/*
 * Does a reset of @pdev, or the query whether it can be reset, attach the blocked domain and then
 * the old domain again? If so, such an attach looks like a take-over, see may_be_reset().
 */
static inline bool flat_compat_reset_blocks(struct pci_dev *pdev)
{
#ifdef HAVE_RESET_BLOCKS
	return pci_ats_supported(pdev);
#else
	return false;
#endif
}

/* Is driver_override a vfio driver? Caller holds device_lock(), which protects the older field. */
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
 * Has the IOMMU core been told of @pdev? A new function can be found on the bus before that. Up to
 * 6.3 the core does not notice that such a function has got an IOMMU in the meantime: it probes for
 * one, finds none, and frees dev->iommu, which the existing IOMMU uses. Later kernels check.
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
 * Configures a function's DMA from firmware's description: whether it is coherent, and which IOMMU
 * is in front of the function. That IOMMU then makes a group for the function. The kernel does this
 * - up to 6.14: only when a driver binds;
 * - from 6.15 on: when the function is added, but not for the functions that ACPI finds at boot,
 *   because the IOMMU core listens too late for these.
 *
 * A function that is not configured looks as if it were not coherent, except on riscv64, where a
 * device is coherent until it is configured. On x86 the description has nothing about single
 * functions.
 *
 * Caller holds device_lock(), or no driver can bind yet. Returns 0, or -EPROBE_DEFER if the IOMMU's
 * driver is not there yet.
 */
static inline int flat_compat_configure_dma(struct pci_dev *pdev)
{
	int ret = 0;
#ifndef CONFIG_X86
	struct device *bridge = &pci_find_host_bridge(pdev->bus)->dev;

#ifdef HAVE_DOMAIN_COOKIE
	if (!IS_ENABLED(CONFIG_ARCH_DMA_DEFAULT_COHERENT) && dev_is_dma_coherent(&pdev->dev))
		return 0;
#endif
	/* Nothing uses the dma_range_map that the core made when it added the function. */
	kfree(pdev->dev.dma_range_map);
	pdev->dev.dma_range_map = NULL;
	if (IS_ENABLED(CONFIG_OF) && bridge->parent && bridge->parent->of_node)
		ret = of_dma_configure_id(&pdev->dev, bridge->parent->of_node, true, NULL);
	else if (has_acpi_companion(bridge))
		ret = acpi_dma_configure_id(&pdev->dev, device_get_dma_attr(bridge), NULL);
	/* Nothing uses this dma_range_map, either: a bind makes a new one. */
	kfree(pdev->dev.dma_range_map);
	pdev->dev.dma_range_map = NULL;
#endif
	return ret;
}

/*
 * Must type1 know where MSIs go? On x86 they go to a window where no memory is, and up to 6.14 the
 * kernel does not map the doorbell.
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
 * iommu_device_register() for the IOMMU of one function, whose driver may be binding.
 *
 * From 6.15 on the core warns of a "late IOMMU probe" if dev->driver is set, because the driver may
 * have mapped memory. Here it has not: BUS_NOTIFY_BIND_DRIVER comes before its probe(). So this
 * sets dev->driver to NULL during the call. The core then configures the function's DMA a second
 * time, which only replaces dma_range_map by a copy.
 *
 * No other task writes these fields meanwhile: the caller holds device_lock(), or no driver can
 * bind yet. The headers do not show whether the core warns, so this is done from 6.8 on, where it
 * does no harm.
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

/* The core offers devices of several buses to an IOMMU. Returns bus @i, or NULL after the last. */
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

	/* Newer kernels declare the buses const. */
	return i < ARRAY_SIZE(buses) ? (struct bus_type *)buses[i] : NULL;
}

/*
 * Up to 6.7 the core does not clear bus->iommu_ops of these buses when the last IOMMU unregisters.
 * Without this call no other IOMMU driver could register. Caller excludes registrations.
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
