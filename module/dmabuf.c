// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of a dma-buf, as the pages of a pin. Programs can mmap() a dma-buf, but the kernel
 * pins no pages of such a mapping. Instead a driver attaches to the dma-buf, and the exporter keeps
 * the memory where it is. Here the module's own device attaches. No IOMMU is in front of it, so the
 * exporter returns physical addresses, and a function's bus addresses come from those, as for any
 * other pin.
 *
 * The attachment is a static one: an exporter that moves its memory pins it, or fails. The module
 * does not accept registers of other devices, because an exporter may revoke these at any time.
 */
#include <linux/dma-buf.h>
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/pfn.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/swiotlb.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "dmabuf.h"
#include "file.h"
#include "flatiommu.h"
#include "pages.h"
#include "segments.h"

/* MODULE_IMPORT_NS() has quotation marks from 6.13 on. */
MODULE_INFO(import_ns, "DMA_BUF");

/* Steps before cond_resched(). */
#define AT_ONCE 1024

/* Ends attachments. Not flat_wq, because an exporter may wait for its hardware meanwhile. */
static struct workqueue_struct *put_wq;

/**
 * struct flat_dmabuf - an attachment to a dma-buf, which keeps its memory in place
 * @attachment:	the attachment; a reference to its dma-buf is held, and so one to the exporter
 * @sgt:	the memory
 * @direction:	what the functions do with it
 * @work:	ends the attachment
 * @domain:	the pin's domain while @work is queued or runs; a reference is held
 */
struct flat_dmabuf {
	struct dma_buf_attachment *attachment;
	struct sg_table *sgt;
	enum dma_data_direction direction;
	struct work_struct work;
	struct flat_domain *domain;
};

/*
 * Returns the device that attaches, or an error pointer. It reaches all memory, and sees the
 * processor's caches, as each function that has a pin does: the end of a mapping must not
 * invalidate what a function has written.
 */
static struct device *attaching_device(void)
{
	static struct device_dma_parameters parms = {
		.max_segment_size = UINT_MAX,
		.segment_boundary_mask = ULONG_MAX,
	};
	static DEFINE_MUTEX(lock);
	struct device *dev = flat_device();
	int ret = 0;

	mutex_lock(&lock);
	if (!dev->dma_parms) {
		flat_compat_set_coherent(dev);
		ret = dma_coerce_mask_and_coherent(dev, DMA_BIT_MASK(64));
		if (!ret)
			dev->dma_parms = &parms;
	}
	mutex_unlock(&lock);
	/* As flat_not_plain(): a function must not get the address of a bounce buffer. */
	return ret || is_swiotlb_force_bounce(dev) ? ERR_PTR(-EFAULT) : dev;
}

/* Exporters return different errors for memory that they do not give to this device. */
static int to_error(long err)
{
	return err == -ENOMEM || err == -EINTR || err == -ERESTARTSYS ? err : -EFAULT;
}

/* Attaches to the dma-buf @buf, and maps it. */
static int attach(struct flat_dmabuf *d, struct dma_buf *buf)
{
	struct device *dev = attaching_device();
	struct dma_buf_attachment *attachment;
	struct sg_table *sgt;

	if (IS_ERR(dev))
		return PTR_ERR(dev);
	attachment = dma_buf_attach(buf, dev);
	if (IS_ERR(attachment))
		return to_error(PTR_ERR(attachment));
	sgt = flat_compat_dmabuf_map(attachment, d->direction);
	if (IS_ERR(sgt)) {
		dma_buf_detach(buf, attachment);
		return to_error(PTR_ERR(sgt));
	}
	d->attachment = attachment;
	d->sgt = sgt;
	return 0;
}

/* Undoes attach(). */
static void detach(struct flat_dmabuf *d)
{
	flat_compat_dmabuf_unmap(d->attachment, d->sgt, d->direction);
	dma_buf_detach(d->attachment->dmabuf, d->attachment);
}

/* Undoes flat_dmabuf_get(). */
static void put(struct flat_dmabuf *d)
{
	struct dma_buf *buf = d->attachment->dmabuf;

	detach(d);
	dma_buf_put(buf);
	kfree(d);
}

static void put_work(struct work_struct *work)
{
	struct flat_dmabuf *d = container_of(work, struct flat_dmabuf, work);
	struct flat_domain *domain = d->domain;

	put(d);
	/* Until here the domain's reference keeps the module loaded. */
	flat_domain_put(domain);
}

/* Are these pages memory of the machine? An exporter may return addresses in a device's BAR. */
static bool is_ram(u64 pfn, u64 n)
{
	u64 at;

	for (at = pfn; at < pfn + n; at++) {
		if (!pfn_to_online_page(at) || flat_segment_flags(PFN_PHYS(at)))
			return false;
		if (!(at % AT_ONCE))
			cond_resched();
	}
	return true;
}

/*
 * Appends @n pages from @first on to @p. Uses the DMA addresses in the table, because an importer
 * must not look at its struct pages.
 */
static int append_pages(const struct flat_dmabuf *d, struct flat_pages *p, u64 first, u64 n)
{
	struct scatterlist *sg;
	int i, ret;

	for_each_sgtable_dma_sg(d->sgt, sg, i) {
		phys_addr_t phys = dma_to_phys(d->attachment->dev, sg_dma_address(sg));
		u64 pfn = PHYS_PFN(phys), pages = PHYS_PFN(sg_dma_len(sg));

		if (!PAGE_ALIGNED(phys) || !PAGE_ALIGNED(sg_dma_len(sg)))
			return -EFAULT;
		/* There may be an entry for each page. */
		if (!(i % AT_ONCE))
			cond_resched();
		if (first >= pages) {
			first -= pages;
			continue;
		}
		pages = min(pages - first, n - p->n);
		if (!is_ram(pfn + first, pages))
			return -EFAULT;
		ret = flat_pages_add(p, pfn + first, pages, n);
		if (ret || p->n == n)
			return ret;
		if (fatal_signal_pending(current))
			return -EINTR;
		first = 0;
	}
	return -EFAULT;
}

static struct flat_dmabuf *get(struct dma_buf *buf, struct flat_pages *p, u64 first, u64 n,
			       bool writable)
{
	struct flat_dmabuf *d;
	u64 end;
	int ret;

	/*
	 * mmap(MAP_SHARED) for writing also needs FMODE_WRITE. Other importers in the kernel do not
	 * check this.
	 */
	if (writable && !(buf->file->f_mode & FMODE_WRITE))
		return ERR_PTR(-EFAULT);
	if (check_add_overflow(first, n, &end) || end > PHYS_PFN(buf->size))
		return ERR_PTR(-EFAULT);
	d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	if (!d)
		return ERR_PTR(-ENOMEM);
	d->direction = writable ? DMA_BIDIRECTIONAL : DMA_TO_DEVICE;
	ret = attach(d, buf);
	if (ret)
		goto free;
	ret = append_pages(d, p, first, n);
	if (!ret)
		return d;
	detach(d);
free:
	kfree(d);
	return ERR_PTR(ret);
}

/**
 * flat_dmabuf_get() - keep the memory of a dma-buf in place
 * @p:		gets the pages, or some of them before an error
 * @fd:		file descriptor of the dma-buf
 * @first:	index of the first page in the dma-buf
 * @n:		number of pages
 * @writable:	the functions may write to them
 *
 * Returns the attachment, for flat_dmabuf_put(), or an error pointer:
 * -EBADF		@fd is not open
 * -EINVAL		it is no dma-buf
 * -EFAULT		the dma-buf is shorter, is not open for writing, or is no memory of the
 *			machine; or its exporter does not give its memory to devices in general
 * -EINTR, -ERESTARTSYS	a signal
 * -ENOMEM		no memory
 */
struct flat_dmabuf *flat_dmabuf_get(struct flat_pages *p, int fd, u64 first, u64 n, bool writable)
{
	struct dma_buf *buf = dma_buf_get(fd);
	struct flat_dmabuf *d;

	if (IS_ERR(buf))
		return ERR_CAST(buf);
	d = get(buf, p, first, n, writable);
	if (IS_ERR(d))
		dma_buf_put(buf);
	return d;
}

/*
 * Ends the attachment @d, which may be NULL. With a @domain, a work item does so: the caller may
 * hold locks of VFIO or iommufd, under which the lock of a dma-buf must not be taken.
 */
void flat_dmabuf_put(struct flat_dmabuf *d, struct flat_domain *domain)
{
	if (!d)
		return;
	if (!domain) {
		put(d);
		return;
	}
	refcount_inc(&domain->refs);
	d->domain = domain;
	INIT_WORK(&d->work, put_work);
	queue_work(put_wq, &d->work);
}

/* Returns how many pages the attachment @d keeps in place: those of the whole dma-buf. */
unsigned long flat_dmabuf_pages(const struct flat_dmabuf *d)
{
	return PHYS_PFN(d->attachment->dmabuf->size);
}

/*
 * Returns how many pages of kernel memory the attachment @d needs. Most of them are the table of
 * addresses. An exporter makes a table for each attachment, and no memory cgroup is charged for it.
 */
unsigned long flat_dmabuf_overhead(const struct flat_dmabuf *d)
{
	return 1 + PFN_UP((u64)d->sgt->orig_nents * sizeof(struct scatterlist));
}

int flat_dmabuf_init(void)
{
	put_wq = alloc_workqueue("flatiommu-dmabuf", WQ_UNBOUND, 0);
	return put_wq ? 0 : -ENOMEM;
}

/* No domain is left. */
void flat_dmabuf_exit(void)
{
	destroy_workqueue(put_wq);
}
