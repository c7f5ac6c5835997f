// SPDX-License-Identifier: GPL-2.0-only
/*
 * FLATIOMMU_ALLOC: memory that a function can reach, as a file.
 *
 * The end of the file stops no function. The file gives no bus addresses: a program gets those from
 * VFIO or PIN, which pins the pages. A pinned page stays until VFIO or PIN lets it go, which stops
 * the function first.
 */
#include <linux/anon_inodes.h>
#include <linux/atomic.h>
#include <linux/capability.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <linux/flatiommu.h>

#include "account.h"
#include "alloc.h"
#include "compat.h"
#include "file.h"
#include "function.h"
#include "guard.h"
#include "reach.h"

/**
 * struct flat_buffer - memory of a file; does not change
 * @id:		unique among all buffers since the module was loaded
 * @mm:		the program whose RLIMIT_MEMLOCK it counts against; a reference to the struct is
 *		held
 * @n:		number of pages
 * @pages:	the memory, each page with a reference
 */
struct flat_buffer {
	u64 id;
	struct mm_struct *mm;
	unsigned long n;
	struct page **pages;
};

static vm_fault_t buffer_fault(struct vm_fault *vmf)
{
	const struct flat_buffer *b = vmf->vma->vm_file->private_data;

	if (vmf->pgoff >= b->n)
		return VM_FAULT_SIGBUS;
	vmf->page = b->pages[vmf->pgoff];
	get_page(vmf->page);
	return 0;
}

static const struct vm_operations_struct buffer_vm_ops = {
	.fault = buffer_fault,
};

/* Only shared mappings: the copies of pages in a private one could be anywhere in memory. */
static int buffer_mmap(struct file *file, struct vm_area_struct *vma)
{
	const struct flat_buffer *b = file->private_data;

	if (!(vma->vm_flags & VM_SHARED) || vma->vm_pgoff >= b->n ||
	    vma_pages(vma) > b->n - vma->vm_pgoff)
		return -EINVAL;
	/* With this flag, mlockall() does not count the memory a second time. */
	flat_compat_vm_flags_set(vma, VM_DONTEXPAND);
	vma->vm_ops = &buffer_vm_ops;
	return 0;
}

/* FLATIOMMU_BUFFER */
static long buffer_ioctl(struct file *file, unsigned int cmd, unsigned long user)
{
	const struct flat_buffer *b = file->private_data;
	struct flatiommu_buffer __user *to = (void __user *)user;
	struct flatiommu_buffer arg;
	u32 size;
	int ret;

	if (cmd != FLATIOMMU_BUFFER)
		return -ENOTTY;
	ret = flat_get_arg(&arg, sizeof(arg), sizeof(arg), to, &size);
	if (ret)
		return ret;
	if (arg.flags)
		return -EOPNOTSUPP;
	arg.size = size;
	arg.out_length = PFN_PHYS(b->n);
	arg.out_id = b->id;
	return copy_to_user(to, &arg, min_t(size_t, size, sizeof(arg))) ? -EFAULT : 0;
}

static void free_buffer(struct flat_buffer *b)
{
	flat_reach_free(b->pages, b->n);
	flat_unaccount(b->mm, b->n);
	mmdrop(b->mm);
	kvfree(b->pages);
	kfree(b);
}

static int buffer_release(struct inode *inode, struct file *file)
{
	free_buffer(file->private_data);
	return 0;
}

static const struct file_operations buffer_fops = {
	.owner = THIS_MODULE,
	.release = buffer_release,
	.mmap = buffer_mmap,
	.unlocked_ioctl = buffer_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

/* Allocates the memory, and accounts it to the caller. */
static struct flat_buffer *new_buffer(const struct flat_reach *r, unsigned long n)
{
	static atomic64_t last_id;
	struct flat_buffer *b;
	int ret = -ENOMEM;

	b = kzalloc(sizeof(*b), GFP_KERNEL_ACCOUNT);
	if (!b)
		return ERR_PTR(ret);
	b->id = atomic64_inc_return(&last_id);
	b->n = n;
	b->pages = kvmalloc_array(n, sizeof(*b->pages), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!b->pages)
		goto free;
	b->mm = current->mm;
	ret = flat_account(b->mm, n);
	if (ret)
		goto free;
	ret = flat_reach_alloc(r, b->pages, n);
	if (ret)
		goto unaccount;
	mmgrab(b->mm);
	return b;

unaccount:
	flat_unaccount(b->mm, n);
free:
	kvfree(b->pages);
	kfree(b);
	return ERR_PTR(ret);
}

static struct file *new_file(const struct flat_reach *r, unsigned long n)
{
	struct flat_buffer *b;
	struct file *file;

	b = new_buffer(r, n);
	if (IS_ERR(b))
		return ERR_CAST(b);
	file = anon_inode_getfile("[flatiommu]", &buffer_fops, b, O_RDWR);
	if (IS_ERR(file))
		free_buffer(b);
	return file;
}

/* Is arg->node an online node, or -1 (any node) without FLATIOMMU_ALLOC_THIS_NODE? */
static bool is_node(const struct flatiommu_alloc *arg)
{
	if (arg->node == NUMA_NO_NODE)
		return !(arg->flags & FLATIOMMU_ALLOC_THIS_NODE);
	return arg->node >= 0 && arg->node < MAX_NUMNODES && node_online(arg->node);
}

/* Returns the node that is asked for, else the function's, else this processor's. */
static int nearest_node(const struct flatiommu_alloc *arg, struct pci_dev *pdev)
{
	int node = arg->node == NUMA_NO_NODE ? dev_to_node(&pdev->dev) : arg->node;

	return node != NUMA_NO_NODE && node_online(node) ? node : numa_mem_id();
}

static int alloc_for(struct flatiommu_alloc *arg, struct pci_dev *pdev, struct file **buffer)
{
	struct flat_guard *guard = flat_guard_get(pdev, true);
	struct flat_reach r = {
		.last = U64_MAX >> (64 - arg->address_bits),
		.node = nearest_node(arg, pdev),
		.this_node = arg->flags & FLATIOMMU_ALLOC_THIS_NODE,
		.contiguous = arg->flags & FLATIOMMU_ALLOC_CONTIGUOUS,
	};
	int ret;

	if (IS_ERR(guard))
		return PTR_ERR(guard);
	r.map = &guard->bus_map;
	ret = get_unused_fd_flags(O_CLOEXEC);
	if (ret < 0)
		goto put_guard;
	arg->out_fd = ret;
	*buffer = new_file(&r, DIV_ROUND_UP_ULL(arg->length, PAGE_SIZE));
	ret = PTR_ERR_OR_ZERO(*buffer);
	if (ret)
		put_unused_fd(arg->out_fd);
put_guard:
	flat_guard_put(guard);
	return ret;
}

/* FLATIOMMU_ALLOC; after success the caller calls flat_end_alloc(). */
int flat_alloc(struct flat_file *f, struct flatiommu_alloc *arg, struct file **buffer)
{
	struct pci_dev *pdev;
	int ret;

	if (f->mm != current->mm || !capable(CAP_SYS_RAWIO))
		return -EPERM;
	if (!arg->length || arg->address_bits < 12 || arg->address_bits > 64 || !is_node(arg))
		return -EINVAL;
	/* Otherwise the kernel might kill programs to get the memory. */
	if (arg->length > PFN_PHYS(max(si_mem_available(), 0L)))
		return -ENOMEM;
	ret = flat_get_function(&arg->function, &pdev);
	if (ret)
		return ret;
	ret = alloc_for(arg, pdev, buffer);
	pci_dev_put(pdev);
	return ret;
}

/*
 * Second half of FLATIOMMU_ALLOC, after the file descriptor was copied to the program. Frees the
 * file if that has failed.
 */
void flat_end_alloc(int fd, struct file *buffer, bool told)
{
	if (told) {
		fd_install(fd, buffer);
	} else {
		put_unused_fd(fd);
		fput(buffer);
	}
}
