#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Usage: CC=... probe.sh CFLAGS...
# Prints -DHAVE_NAME for each feature that the kernel headers have. Vendor kernels backport the
# IOMMU API, so the headers are asked, not the version.

# compat.h stops the build on this: make does not see an exit status.
give_up()
{
	echo "probe.sh: $1" >&2
	echo "-DFLATIOMMU_PROBES_FAILED"
	exit 1
}

flags=$*
tmp=$(mktemp -d) || give_up "no temporary directory"
trap 'rm -rf "$tmp"' EXIT

compiles()
{
	# shellcheck disable=SC2086 # two lists of words
	$CC $flags -Werror -fsyntax-only -x c "$tmp/$1.c" 2> "$tmp/$1.log"
}

# probe NAME: compiles standard input; in the background, as each one reads all of the headers.
probe()
{
	cat > "$tmp/$1.c" || give_up "cannot write to $tmp"
	(compiles "$1" && echo "-DHAVE_$1" > "$tmp/$1.have") &
}

# The probes are worth nothing when the plain headers do not compile, or when everything does.
cat > "$tmp/good.c" << 'END' || give_up "cannot write to $tmp"
#include <linux/iommu.h>
#include <linux/pci.h>
#include <linux/pm_runtime.h>
END
cat > "$tmp/bad.c" << 'END' || give_up "cannot write to $tmp"
#include <linux/iommu.h>
unsigned long at = offsetof(struct iommu_ops, no_such_member);
END
if ! compiles good; then
	cat "$tmp/good.log" >&2
	give_up "the kernel's headers do not compile, see above"
fi
if compiles bad; then
	give_up "the compiler accepts what is wrong"
fi

probe ACR_FLAGS << 'END'
#include <linux/gfp.h>
acr_flags_t none(void);
acr_flags_t none(void) { return ACR_FLAGS_NONE; }
END

probe DOMAIN_ALLOC_PAGING << 'END'
#include <linux/iommu.h>
struct iommu_domain *alloc(struct device *dev);
struct iommu_ops ops = { .domain_alloc_paging = alloc, .blocked_domain = 0 };
END

probe ATTACH_OLD_DOMAIN << 'END'
#include <linux/iommu.h>
int attach(struct iommu_domain *domain, struct device *dev, struct iommu_domain *old);
struct iommu_domain_ops ops = { .attach_dev = attach };
END

probe BUS_IOMMU_OPS << 'END'
#include <linux/device.h>
unsigned long at = offsetof(struct bus_type, iommu_ops);
END

probe DEVICE_DRIVER_OVERRIDE << 'END'
#include <linux/device.h>
const char *name(struct device *dev);
const char *name(struct device *dev) { return dev->driver_override.name; }
END

probe DOMAIN_COOKIE << 'END'
#include <linux/iommu.h>
unsigned long at = offsetof(struct iommu_domain, cookie_type);
END

probe GUP_READS_COW << 'END'
#include <linux/mm.h>
int unshare(void);
int unshare(void) { return gup_must_unshare(0, (struct page *)0); }
END

probe MEMCG_DATA << 'END'
#include <linux/mm.h>
unsigned long charge(const struct page *page);
unsigned long charge(const struct page *page) { return page->memcg_data; }
END

probe PCI_MATCH_DRIVER << 'END'
#include <linux/pci.h>
int may_bind(struct pci_dev *pdev);
int may_bind(struct pci_dev *pdev) { return pdev->match_driver; }
END

probe PM_GET_IF_ACTIVE_ONE_ARG << 'END'
#include <linux/pm_runtime.h>
int get(struct device *dev);
int get(struct device *dev) { return pm_runtime_get_if_active(dev); }
END

probe RESET_BLOCKS << 'END'
#include <linux/iommu.h>
int (*prepare)(struct pci_dev *pdev);
int (*prepare)(struct pci_dev *pdev) = pci_dev_reset_iommu_prepare;
END

probe VM_FLAGS_SET << 'END'
#include <linux/mm.h>
void set(struct vm_area_struct *vma);
void set(struct vm_area_struct *vma) { vm_flags_set(vma, VM_DONTEXPAND); }
END

wait
cat "$tmp"/*.have 2> /dev/null
exit 0
