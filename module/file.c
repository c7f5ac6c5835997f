// SPDX-License-Identifier: GPL-2.0-only
/* /dev/flatiommu: open, close and the dispatch of ioctls. <linux/flatiommu.h> describes them. */
#include <linux/capability.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/pci.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <linux/flatiommu.h>

#include "alloc.h"
#include "declare.h"
#include "file.h"
#include "flatiommu.h"
#include "function.h"
#include "history.h"
#include "hold.h"
#include "lookup.h"
#include "pin.h"
#include "wc.h"

static u32 state_of(struct flat_file *f, struct pci_dev *pdev, u32 *wc_bars)
{
	struct flat_claim *claim;
	u32 state = 0;
	int ret = flat_uses_bus_addresses(pdev);

	if (!ret)
		state |= FLATIOMMU_STATE_BUS_ADDRESSES;
	if (ret == -EALREADY)
		state |= FLATIOMMU_STATE_TRANSLATED;
	mutex_lock(&flat_claims_lock);
	claim = flat_claim_of(pdev);
	if (claim)
		state |= FLATIOMMU_STATE_CLAIMED |
			 (claim->hold ? FLATIOMMU_STATE_HOLD : 0) |
			 (claim->fence ? FLATIOMMU_STATE_FENCE : 0);
	*wc_bars = claim ? flat_wc_bars(claim) : 0;
	mutex_unlock(&flat_claims_lock);
	if (flat_has_declared(f, pdev))
		state |= FLATIOMMU_STATE_DECLARED;
	return state;
}

static int get_info(struct flat_file *f, struct flatiommu_info *arg)
{
	struct pci_dev *pdev = NULL;
	int ret = 0;

	switch (arg->flags) {
	case 0:
		arg->group = -1;
		break;
	case FLATIOMMU_INFO_FUNCTION:
		ret = flat_get_function(&arg->function, &pdev);
		break;
	case FLATIOMMU_INFO_GROUP:
		pdev = flat_claimed_with_group(arg->group);
		ret = pdev ? 0 : -ENOENT;
		break;
	default:
		return -EINVAL;
	}
	if (ret)
		return ret;
	arg->out_version = FLATIOMMU_VERSION;
	arg->out_state = 0;
	arg->out_wc_bars = 0;
	if (!pdev)
		return 0;
	arg->function.segment = pci_domain_nr(pdev->bus);
	arg->function.bus = pdev->bus->number;
	arg->function.devfn = pdev->devfn;
	arg->group = flat_group_of(pdev);
	arg->out_state = state_of(f, pdev, &arg->out_wc_bars);
	pci_dev_put(pdev);
	return 0;
}

static int look_up(struct flat_file *f, struct flatiommu_lookup *arg)
{
	if (arg->flags & FLATIOMMU_LOOKUP_PIN)
		return flat_lookup_pin(f, arg);
	return arg->pin ? -EOPNOTSUPP : flat_lookup_iova(f, arg);
}

/* The argument of a call. It begins with its size. Flags follow, unless the call has @no_flags. */
union flat_arg {
	u32 size;
	struct {
		u32 size;
		u32 flags;
	} head;
	struct flatiommu_info info;
	struct flatiommu_declare declare;
	struct flatiommu_lookup lookup;
	struct flatiommu_pin pin;
	struct flatiommu_unpin unpin;
	struct {
		struct flatiommu_alloc alloc;
		struct file *buffer;	/* for end_alloc() */
	};
	struct flatiommu_history history;
	struct flatiommu_who who;
	struct flatiommu_quiet quiet;
};

static int do_info(struct flat_file *f, union flat_arg *arg)
{
	return arg->info.function.reserved ? -EOPNOTSUPP : get_info(f, &arg->info);
}

static int do_declare(struct flat_file *f, union flat_arg *arg)
{
	return arg->declare.reserved ? -EOPNOTSUPP : flat_declare(f, &arg->declare);
}

static int do_lookup(struct flat_file *f, union flat_arg *arg)
{
	return look_up(f, &arg->lookup);
}

static int do_pin(struct flat_file *f, union flat_arg *arg)
{
	bool dmabuf = arg->pin.flags & FLATIOMMU_PIN_DMABUF;

	/* The struct of an older header ends before @dmabuf, which would be read as fd 0. */
	if (dmabuf && arg->pin.size < offsetofend(struct flatiommu_pin, dmabuf))
		return -EINVAL;
	if (arg->pin.reserved || arg->pin.reserved_2 || (arg->pin.dmabuf && !dmabuf))
		return -EOPNOTSUPP;
	return flat_pin(f, &arg->pin);
}

static int do_unpin(struct flat_file *f, union flat_arg *arg)
{
	return flat_unpin(f, arg->unpin.pin);
}

static void end_pin(struct flat_file *f, union flat_arg *arg, bool told)
{
	flat_end_pin(f, arg->pin.out_pin, told);
}

static int do_alloc(struct flat_file *f, union flat_arg *arg)
{
	return arg->alloc.reserved ? -EOPNOTSUPP : flat_alloc(f, &arg->alloc, &arg->buffer);
}

static void end_alloc(struct flat_file *f, union flat_arg *arg, bool told)
{
	flat_end_alloc(arg->alloc.out_fd, arg->buffer, told);
}

static int do_history(struct flat_file *f, union flat_arg *arg)
{
	return flat_read_history(f, &arg->history);
}

static int do_who(struct flat_file *f, union flat_arg *arg)
{
	return arg->who.reserved ? -EOPNOTSUPP : flat_read_who(f, &arg->who);
}

static int do_quiet(struct flat_file *f, union flat_arg *arg)
{
	return arg->quiet.reserved ? -EOPNOTSUPP : flat_quiet(f, &arg->quiet);
}

#define CALL_NR(cmd) (_IOC_NR(cmd) - _IOC_NR(FLATIOMMU_INFO))

/* The row of a call without flags. @last: last member of the argument in the first version. */
#define ROW(cmd, name, last, ...)					\
	[CALL_NR(cmd)] = {						\
		.size = sizeof_field(union flat_arg, name) +		\
			BUILD_BUG_ON_ZERO(offsetof(struct flatiommu_##name, size)),	\
		.first_size = offsetofend(struct flatiommu_##name, last),	\
		.fn = do_##name,					\
		__VA_ARGS__						\
	}

/* The row of a call with flags, which follow the size. */
#define CALL(cmd, name, last, known_flags, ...)				\
	ROW(cmd, name, last,						\
	    .flags = (known_flags) +					\
		     BUILD_BUG_ON_ZERO(offsetof(struct flatiommu_##name, flags) !=	\
				       offsetof(union flat_arg, head.flags)),	\
	    __VA_ARGS__)

/**
 * struct flat_call - an ioctl of /dev/flatiommu
 * @size:	size of the argument
 * @first_size:	size of the argument in the first version of <linux/flatiommu.h>
 * @flags:	flags that the call knows
 * @no_flags:	the argument has no flags
 * @writes:	the argument is copied back to the program
 * @fn:		does the work
 * @end:	called after @fn has succeeded and the copy back to the program was tried; @told:
 *		the copy succeeded
 */
static const struct flat_call {
	size_t size;
	size_t first_size;
	u32 flags;
	bool no_flags;
	bool writes;
	int (*fn)(struct flat_file *f, union flat_arg *arg);
	void (*end)(struct flat_file *f, union flat_arg *arg, bool told);
} calls[] = {
	CALL(FLATIOMMU_INFO, info, out_wc_bars, FLATIOMMU_INFO_FUNCTION | FLATIOMMU_INFO_GROUP,
	     .writes = true),
	CALL(FLATIOMMU_DECLARE, declare, functions, 0),
	CALL(FLATIOMMU_LOOKUP, lookup, segments, FLATIOMMU_LOOKUP_PIN, .writes = true),
	CALL(FLATIOMMU_PIN, pin, length,
	     FLATIOMMU_PIN_READ_ONLY | FLATIOMMU_PIN_VFIO | FLATIOMMU_PIN_NO_STOP |
	     FLATIOMMU_PIN_DMABUF, .writes = true, .end = end_pin),
	ROW(FLATIOMMU_UNPIN, unpin, pin, .no_flags = true),
	CALL(FLATIOMMU_ALLOC, alloc, reserved,
	     FLATIOMMU_ALLOC_CONTIGUOUS | FLATIOMMU_ALLOC_THIS_NODE, .writes = true,
	     .end = end_alloc),
	/* FLATIOMMU_BUFFER is a call of another file. */
	CALL(FLATIOMMU_HISTORY, history, events, 0, .writes = true),
	CALL(FLATIOMMU_WHO, who, out_since, 0, .writes = true),
	CALL(FLATIOMMU_QUIET, quiet, out_length, 0, .writes = true),
};

/**
 * flat_get_arg() - copy the argument of a call
 * @arg:	gets the argument
 * @size:	size of @arg
 * @first_size:	size of the argument in the first version of <linux/flatiommu.h>
 * @from:	address of the argument in the program
 * @user_size:	set to the size that the program gave
 *
 * Returns 0, or
 * -EFAULT	@from cannot be read
 * -EINVAL	the argument is shorter than @first_size
 * -E2BIG	it is longer than a page, or bytes beyond @size are not 0
 */
int flat_get_arg(void *arg, size_t size, size_t first_size, const void __user *from, u32 *user_size)
{
	if (get_user(*user_size, (const u32 __user *)from))
		return -EFAULT;
	if (*user_size < first_size)
		return -EINVAL;
	/* copy_struct_from_user() reads all of it, to check for zeros. */
	if (*user_size > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(arg, size, from, *user_size);
}

static long flat_ioctl(struct file *file, unsigned int cmd, unsigned long user)
{
	unsigned int nr = CALL_NR(cmd);
	void __user *to = (void __user *)user;
	const struct flat_call *call;
	union flat_arg arg = { };
	u32 size;
	int ret;

	if (cmd != _IO(FLATIOMMU_TYPE, _IOC_NR(cmd)) || nr >= ARRAY_SIZE(calls))
		return -ENOTTY;
	call = &calls[array_index_nospec(nr, ARRAY_SIZE(calls))];
	if (!call->fn)
		return -ENOTTY;
	ret = flat_get_arg(&arg, call->size, call->first_size, to, &size);
	if (ret)
		return ret;
	if (!call->no_flags && arg.head.flags & ~call->flags)
		return -EOPNOTSUPP;
	ret = call->fn(file->private_data, &arg);
	if (ret || !call->writes)
		return ret;
	arg.size = size;
	if (copy_to_user(to, &arg, min_t(size_t, size, call->size)))
		ret = -EFAULT;
	if (call->end)
		call->end(file->private_data, &arg, !ret);
	return ret;
}

static int flat_open(struct inode *inode, struct file *file)
{
	struct flat_file *f;

	/* A kernel thread has no address space. */
	if (!current->mm || !capable(CAP_SYS_RAWIO))
		return -EPERM;
	f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;
	f->mm = current->mm;
	mmgrab(f->mm);
	INIT_LIST_HEAD(&f->declared);
	xa_init_flags(&f->pins, XA_FLAGS_ALLOC1);
	flat_hold_init(&f->hold, NULL);
	file->private_data = f;
	return nonseekable_open(inode, file);
}

/* No ioctl of this file runs any more. Functions may be doing DMA, see flat_unpin_all(). */
static int flat_release(struct inode *inode, struct file *file)
{
	struct flat_file *f = file->private_data;

	flat_end_declarations(f);
	flat_unpin_all(f);
	mmdrop(f->mm);
	kfree(f);
	return 0;
}

const struct file_operations flat_fops = {
	.owner = THIS_MODULE,
	.open = flat_open,
	.release = flat_release,
	.unlocked_ioctl = flat_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};
