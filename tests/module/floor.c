// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel's own part of a pin costs, for bench/translate: pin_user_pages_fast() and its
 * end, and nothing besides. It is for one caller, who does nothing wrong.
 */
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "floor.h"

#define BATCH (PAGE_SIZE / sizeof(struct page *))

static struct page **pages;
static unsigned long nr_pinned, nr_pages;

static void unpin(void)
{
	unpin_user_pages_dirty_lock(pages, nr_pinned, true);
	nr_pinned = 0;
}

/* One page of each @step pages: of a huge page of hugetlb one pin is enough. */
static int pin(const struct floor_pin *arg)
{
	unsigned long at = arg->addr, left = arg->size >> PAGE_SHIFT;

	while (left) {
		unsigned long n = arg->step > 1 ? 1 : min(left, BATCH);
		int got = pin_user_pages_fast(at, n, FOLL_LONGTERM | FOLL_WRITE, pages + nr_pinned);

		if (got <= 0) {
			unpin();
			return got ? got : -EFAULT;
		}
		nr_pinned += got;
		at += got * arg->step * PAGE_SIZE;
		left -= min(left, got * arg->step);
	}
	return 0;
}

static long floor_ioctl(struct file *file, unsigned int cmd, unsigned long user)
{
	struct floor_pin arg;

	switch (cmd) {
	case FLOOR_ROOM:
		if (nr_pinned)
			return -EBUSY;
		kvfree(pages);
		nr_pages = user;
		pages = kvmalloc_array(nr_pages, sizeof(*pages), GFP_KERNEL);
		return pages ? 0 : -ENOMEM;
	case FLOOR_PIN:
		if (copy_from_user(&arg, (void __user *)user, sizeof(arg)))
			return -EFAULT;
		return pages && arg.step && !nr_pinned && arg.size >> PAGE_SHIFT <= nr_pages ?
		       pin(&arg) : -EINVAL;
	case FLOOR_UNPIN:
		unpin();
		return 0;
	}
	return -ENOTTY;
}

static const struct file_operations floor_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = floor_ioctl,
};

static struct miscdevice floor_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "floor",
	.fops = &floor_fops,
	.mode = 0600,
};

static int __init floor_init(void)
{
	return misc_register(&floor_misc);
}
module_init(floor_init);

static void __exit floor_exit(void)
{
	misc_deregister(&floor_misc);
	kvfree(pages);
}
module_exit(floor_exit);

MODULE_DESCRIPTION("What a pin costs the kernel");
MODULE_LICENSE("GPL");
