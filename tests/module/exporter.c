// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests/guest/pin-dmabuf.c: /dev/exporter makes dma-bufs, of memory and of what a pin must not
 * have. The module's parameters count what importers have of them.
 */
#include <linux/atomic.h>
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "exporter.h"

#ifdef CONFIG_DMA_SHARED_BUFFER

/* MODULE_IMPORT_NS() has quotation marks from 6.13 on. */
MODULE_INFO(import_ns, "DMA_BUF");

#define ORDER 2

struct buffer {
	enum exporter_kind kind;
	u64 address;
	struct page *pages;
};

static atomic_t buffers, attached, mapped, pinned, by_workers;

static int count_get(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%d\n", atomic_read((atomic_t *)kp->arg));
}

static const struct kernel_param_ops count_ops = { .get = count_get };

module_param_cb(buffers, &count_ops, &buffers, 0444);
MODULE_PARM_DESC(buffers, "dma-bufs that exist");
module_param_cb(attached, &count_ops, &attached, 0444);
MODULE_PARM_DESC(attached, "attachments to them");
module_param_cb(mapped, &count_ops, &mapped, 0444);
MODULE_PARM_DESC(mapped, "attachments that are mapped");
module_param_cb(pinned, &count_ops, &pinned, 0444);
MODULE_PARM_DESC(pinned, "attachments that are pinned");
module_param_cb(by_workers, &count_ops, &by_workers, 0444);
MODULE_PARM_DESC(by_workers, "attachments that a worker of the kernel has ended, up to now");

static int exporter_attach(struct dma_buf *buf, struct dma_buf_attachment *attachment)
{
	const struct buffer *b = buf->priv;

	if (b->kind == EXPORTER_PEERS && !attachment->peer2peer)
		return -EOPNOTSUPP;
	atomic_inc(&attached);
	return 0;
}

static void exporter_detach(struct dma_buf *buf, struct dma_buf_attachment *attachment)
{
	if (current->flags & PF_WQ_WORKER)
		atomic_inc(&by_workers);
	atomic_dec(&attached);
}

static int exporter_pin(struct dma_buf_attachment *attachment)
{
	atomic_inc(&pinned);
	return 0;
}

static void exporter_unpin(struct dma_buf_attachment *attachment)
{
	atomic_dec(&pinned);
}

/* Two pieces of @first and @second bytes. In memory the second one comes first. */
static int set_pieces(const struct buffer *b, struct sg_table *sgt, unsigned int first,
		      unsigned int second)
{
	int ret = sg_alloc_table(sgt, 2, GFP_KERNEL);

	if (ret)
		return ret;
	sg_set_page(sgt->sgl, b->pages + second / PAGE_SIZE, first,
		    second % PAGE_SIZE);
	sg_set_page(sg_next(sgt->sgl), b->pages, second, 0);
	return 0;
}

static int set_registers(const struct buffer *b, struct sg_table *sgt)
{
	int ret = sg_alloc_table(sgt, 1, GFP_KERNEL);

	if (ret)
		return ret;
	sg_dma_address(sgt->sgl) = b->address;
	sg_dma_len(sgt->sgl) = EXPORTER_PAGES * PAGE_SIZE;
	return 0;
}

static int fill_table(const struct buffer *b, struct sg_table *sgt)
{
	switch (b->kind) {
	case EXPORTER_REGISTERS:
		return set_registers(b, sgt);
	case EXPORTER_UNEVEN:
		return set_pieces(b, sgt, PAGE_SIZE * 3 / 2, PAGE_SIZE * 5 / 2);
	case EXPORTER_SHORT:
		return set_pieces(b, sgt, PAGE_SIZE, PAGE_SIZE * 2);
	case EXPORTER_BUSY:
		return -EBUSY;
	default:
		return set_pieces(b, sgt, PAGE_SIZE, PAGE_SIZE * 3);
	}
}

static struct sg_table *exporter_map(struct dma_buf_attachment *attachment,
				     enum dma_data_direction direction)
{
	const struct buffer *b = attachment->dmabuf->priv;
	struct sg_table *sgt;
	int ret;

	sgt = kzalloc(sizeof(*sgt), GFP_KERNEL);
	if (!sgt)
		return ERR_PTR(-ENOMEM);
	ret = fill_table(b, sgt);
	if (ret)
		goto free;
	if (b->kind != EXPORTER_REGISTERS)
		ret = dma_map_sgtable(attachment->dev, sgt, direction, 0);
	if (ret)
		goto free_table;
	atomic_inc(&mapped);
	return sgt;

free_table:
	sg_free_table(sgt);
free:
	kfree(sgt);
	return ERR_PTR(ret);
}

static void exporter_unmap(struct dma_buf_attachment *attachment, struct sg_table *sgt,
			   enum dma_data_direction direction)
{
	const struct buffer *b = attachment->dmabuf->priv;

	if (b->kind != EXPORTER_REGISTERS)
		dma_unmap_sgtable(attachment->dev, sgt, direction, 0);
	sg_free_table(sgt);
	kfree(sgt);
	atomic_dec(&mapped);
}

static void free_buffer(struct buffer *b)
{
	__free_pages(b->pages, ORDER);
	kfree(b);
	atomic_dec(&buffers);
}

static void exporter_release(struct dma_buf *buf)
{
	free_buffer(buf->priv);
}

static const struct dma_buf_ops ops = {
	.attach = exporter_attach,
	.detach = exporter_detach,
	.map_dma_buf = exporter_map,
	.unmap_dma_buf = exporter_unmap,
	.release = exporter_release,
};

static const struct dma_buf_ops moving_ops = {
	.attach = exporter_attach,
	.detach = exporter_detach,
	.pin = exporter_pin,
	.unpin = exporter_unpin,
	.map_dma_buf = exporter_map,
	.unmap_dma_buf = exporter_unmap,
	.release = exporter_release,
};

static struct dma_buf *make(struct exporter_buffer *arg)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct dma_buf *buf;
	struct buffer *b;

	b = kzalloc(sizeof(*b), GFP_KERNEL);
	if (!b)
		return ERR_PTR(-ENOMEM);
	b->pages = alloc_pages(GFP_KERNEL | __GFP_ZERO, ORDER);
	if (!b->pages) {
		kfree(b);
		return ERR_PTR(-ENOMEM);
	}
	atomic_inc(&buffers);
	b->kind = arg->kind;
	b->address = arg->address;
	info.ops = b->kind == EXPORTER_MOVES ? &moving_ops : &ops;
	info.size = EXPORTER_PAGES * PAGE_SIZE;
	info.flags = arg->flags;
	info.priv = b;
	buf = dma_buf_export(&info);
	if (IS_ERR(buf))
		free_buffer(b);
	else if (b->kind != EXPORTER_REGISTERS)
		arg->address = page_to_phys(b->pages);
	return buf;
}

static long exporter_ioctl(struct file *file, unsigned int cmd, unsigned long user)
{
	void __user *at = (void __user *)user;
	struct exporter_buffer arg;
	struct dma_buf *buf;
	int fd;

	if (cmd != EXPORTER_MAKE)
		return -ENOTTY;
	if (copy_from_user(&arg, at, sizeof(arg)))
		return -EFAULT;
	buf = make(&arg);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	fd = copy_to_user(at, &arg, sizeof(arg)) ? -EFAULT : dma_buf_fd(buf, O_CLOEXEC);
	if (fd < 0)
		dma_buf_put(buf);
	return fd;
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = exporter_ioctl,
};

static struct miscdevice misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "exporter",
	.fops = &fops,
	.mode = 0600,
};

static int __init exporter_init(void)
{
	return misc_register(&misc);
}

static void __exit exporter_exit(void)
{
	misc_deregister(&misc);
}

#else

static int __init exporter_init(void)
{
	return -EOPNOTSUPP;
}

static void __exit exporter_exit(void)
{
}

#endif

module_init(exporter_init);
module_exit(exporter_exit);
MODULE_DESCRIPTION("dma-bufs of each kind");
MODULE_LICENSE("GPL");
