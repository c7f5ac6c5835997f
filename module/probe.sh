#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Usage: CC=... probe.sh CFLAGS...
# Prints -DHAVE_NAME for each feature that the kernel headers have. Vendor kernels backport the
# IOMMU API, so the headers are asked, not the version.

# compat.h stops the build if this is defined, because make does not see the exit status.
give_up()
{
	echo "probe.sh: $1" >&2
	echo "-DFLATIOMMU_PROBES_FAILED"
	exit 1
}

flags=$*
tmp=$(mktemp -d) || give_up "no temporary directory"
trap 'rm -rf "$tmp"' EXIT

# One file has all probes, because each compilation reads all of the headers. After a line marker,
# the compiler reports errors as if they were in the file that the marker names. So the headers have
# a feature if no error is in the file of that name. An error in a macro of a header would be
# reported in the header.
cat > "$tmp/probes.c" << 'END' || give_up "cannot write to $tmp"
#include <linux/device.h>
#include <linux/dma-buf.h>
#include <linux/gfp.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/pm_runtime.h>

# 1 "ACR_FLAGS"
acr_flags_t probe_acr_flags(void);
acr_flags_t probe_acr_flags(void) { return ACR_FLAGS_NONE; }

# 1 "DOMAIN_ALLOC_PAGING"
struct iommu_domain *probe_alloc(struct device *dev);
struct iommu_ops probe_ops = { .domain_alloc_paging = probe_alloc, .blocked_domain = 0 };

# 1 "ATTACH_OLD_DOMAIN"
int probe_attach(struct iommu_domain *domain, struct device *dev, struct iommu_domain *old);
struct iommu_domain_ops probe_domain_ops = { .attach_dev = probe_attach };

# 1 "BUS_IOMMU_OPS"
unsigned long probe_bus_ops = sizeof(((struct bus_type *)0)->iommu_ops);

# 1 "DEVICE_DRIVER_OVERRIDE"
const char *probe_override(struct device *dev);
const char *probe_override(struct device *dev) { return dev->driver_override.name; }

# 1 "DMA_BUF_UNLOCKED"
struct sg_table *probe_unlocked(struct dma_buf_attachment *at);
struct sg_table *probe_unlocked(struct dma_buf_attachment *at)
{
	return dma_buf_map_attachment_unlocked(at, DMA_TO_DEVICE);
}

# 1 "DOMAIN_COOKIE"
unsigned long probe_cookie = sizeof(((struct iommu_domain *)0)->cookie_type);

# 1 "GUP_READS_COW"
int probe_unshare(void);
int probe_unshare(void) { return gup_must_unshare(0, (struct page *)0); }

# 1 "MEMCG_DATA"
unsigned long probe_charge(const struct page *page);
unsigned long probe_charge(const struct page *page) { return page->memcg_data; }

# 1 "PCI_MATCH_DRIVER"
int probe_match(struct pci_dev *pdev);
int probe_match(struct pci_dev *pdev) { return pdev->match_driver; }

# 1 "PM_GET_IF_ACTIVE_ONE_ARG"
int probe_get(struct device *dev);
int probe_get(struct device *dev) { return pm_runtime_get_if_active(dev); }

# 1 "RESET_BLOCKS"
int (*probe_prepare)(struct pci_dev *pdev);
int (*probe_prepare)(struct pci_dev *pdev) = pci_dev_reset_iommu_prepare;

# 1 "SET_DMA_COHERENT"
void probe_coherent(struct device *dev);
void probe_coherent(struct device *dev) { dev_set_dma_coherent(dev); }

# 1 "VM_FLAGS_SET"
void probe_flags(struct vm_area_struct *vma);
void probe_flags(struct vm_area_struct *vma) { vm_flags_set(vma, VM_DONTEXPAND); }

# 1 "NOTHING"
unsigned long probe_nothing = sizeof(((struct iommu_ops *)0)->no_such_member);
END
# shellcheck disable=SC2086 # two lists of words
LC_ALL=C $CC $flags -Werror -fsyntax-only -fmax-errors=0 -x c "$tmp/probes.c" 2> "$tmp/log"

features=$(sed -n 's/^# 1 "\(.*\)"$/\1/p' "$tmp/probes.c")
failed=$(sed -n 's/^\([^:]*\):[0-9:]* \(fatal \)\{0,1\}error: .*/\1/p' "$tmp/log" | sort -u)
# The probes are worth nothing if the headers do not compile, or if the wrong code of NOTHING does.
if echo "$failed" | grep . | grep -qvxF "$features"; then
	cat "$tmp/log" >&2
	give_up "the kernel's headers do not compile, see above"
fi
if ! echo "$failed" | grep -qx NOTHING; then
	cat "$tmp/log" >&2
	give_up "the compiler finds no error in what is wrong"
fi
echo "$features" | grep -vxF "$failed" | sed 's/^/-DHAVE_/'
exit 0
