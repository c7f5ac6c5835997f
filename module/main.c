// SPDX-License-Identifier: GPL-2.0-only
/* The misc device, its files and the life of the module. */
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sysfs.h>

#include "dmabuf.h"
#include "extent.h"
#include "file.h"
#include "flatiommu.h"
#include "hold.h"
#include "refusal.h"
#include "routes.h"

struct workqueue_struct *flat_wq;

static ssize_t refusals_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return flat_refusals_show(buf);
}
static DEVICE_ATTR_ADMIN_RO(refusals);

static ssize_t refusal_causes_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return flat_refusal_causes_show(buf);
}
static DEVICE_ATTR_ADMIN_RO(refusal_causes);

static ssize_t held_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return flat_held_show(buf);
}
static DEVICE_ATTR_ADMIN_RO(held);

static ssize_t held_released_at_limit_show(struct device *dev, struct device_attribute *attr,
					   char *buf)
{
	return flat_held_released_show(buf);
}
static DEVICE_ATTR_ADMIN_RO(held_released_at_limit);

static struct attribute *flat_attrs[] = {
	&dev_attr_claim.attr,
	&dev_attr_release.attr,
	&dev_attr_refusals.attr,
	&dev_attr_refusal_causes.attr,
	&dev_attr_held.attr,
	&dev_attr_held_released_at_limit.attr,
	NULL
};
ATTRIBUTE_GROUPS(flat);

static struct miscdevice flat_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "flatiommu",
	.fops = &flat_fops,
	.mode = 0600,
	.groups = flat_groups,
};

/* The module's own device. No IOMMU is in front of it. It exists while the node can be open. */
struct device *flat_device(void)
{
	return flat_misc.this_device;
}

static int __init flat_init(void)
{
	int ret;

	ret = flat_extent_init();
	if (ret)
		return ret;
	flat_wq = alloc_ordered_workqueue("flatiommu", 0);
	if (!flat_wq) {
		ret = -ENOMEM;
		goto exit_extent;
	}
	ret = flat_dmabuf_init();
	if (ret)
		goto destroy_wq;
	ret = flat_routes_init();
	if (ret)
		goto exit_dmabuf;
	ret = misc_register(&flat_misc);
	if (ret)
		goto exit_routes;
	/* Must be last, and must not fail: a claim would outlive the module. */
	flat_routes_start();
	return 0;

exit_routes:
	flat_routes_exit();
	flat_claim_exit();
exit_dmabuf:
	flat_dmabuf_exit();
destroy_wq:
	destroy_workqueue(flat_wq);
exit_extent:
	flat_extent_exit();
	return ret;
}
module_init(flat_init);

/* No claim and no domain is left: each holds a reference to the module. */
static void __exit flat_exit(void)
{
	/* This waits for writers of claim and release: no claim begins after it. */
	misc_deregister(&flat_misc);
	flat_routes_exit();
	flat_claim_exit();
	/* The last work item of dmabuf.c has put a domain, and may not have returned yet. */
	flat_dmabuf_exit();
	destroy_workqueue(flat_wq);
	flat_hold_exit();
	flat_refusal_exit();
	flat_extent_exit();
}
module_exit(flat_exit);

MODULE_DESCRIPTION("A dummy IOMMU for each PCI function, for VFIO on machines without an IOMMU");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
